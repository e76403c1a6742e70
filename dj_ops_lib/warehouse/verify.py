"""The check after compaction, before old versions may go: the same rows as before.

Lance has lost payloads in compaction (lance #7955, 2026-07), silently; so every
compaction is compared with what it replaced, row by row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse.commit import fragment

if TYPE_CHECKING:
    import lance


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """What some fragments hold, whatever the order of rows.

    Attributes:
        rows: Number of rows.
        ids: Sum of the hashes of `clip_id`, 0 where there is no such column.
        values: Sum of the hashes of whole rows.
    """

    rows: int
    ids: int
    values: int


def contents(
    dataset: lance.LanceDataset, fragments: Sequence[int], columns: Sequence[str]
) -> Contents:
    """The contents of the fragments with those ids, deleted rows left out."""
    if not fragments:
        return Contents(0, 0, 0)
    chosen = [fragment(dataset, i) for i in fragments]
    reader = dataset.scanner(columns=list(columns), fragments=chosen).to_reader()
    row = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
    ids = "sum(hash(clip_id)::HUGEINT)" if "clip_id" in columns else "0"
    query = f"SELECT count(*), {ids}, sum(hash(ROW({row}))::HUGEINT) FROM stored"  # noqa: S608
    connection = duckdb.connect()
    connection.from_arrow(reader).create_view("stored")
    (found,) = connection.execute(query).fetchall()
    return Contents(*(int(v or 0) for v in found))


def check_rewrite(
    table: str,
    before: lance.LanceDataset,
    after: lance.LanceDataset,
    old: Sequence[int],
    new: Sequence[int],
) -> int:
    """Compare the fragments (ids) that a compaction removed with those that it made.

    Returns:
        Rows compared.

    Raises:
        WarehouseError: They do not hold the same rows; the version before is tagged, so that no
            cleanup removes it.
    """
    columns = before.schema.names
    expected, found = contents(before, old, columns), contents(after, new, columns)
    if expected != found:
        name = f"before-compaction-{after.version}"
        before.tags.create(name, before.version)
        raise WarehouseError(
            f"table '{table}': compaction changed rows in version {after.version}: {expected} "
            f"became {found}. Nothing was cleaned up, and version {before.version} is tagged "
            f"'{name}'; run: dj table restore {table} {name}"
        )
    return found.rows
