"""Finding a clip by the beginning of its id, also in a table that it never came to.

Not here: what is told of the clip once it is found (`explain.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse.history import commits, effective
from dj_ops_lib.warehouse.locate import literal

if TYPE_CHECKING:
    import lance

    from dj_ops_lib.warehouse.provenance import Commit
    from dj_ops_lib.warehouse.store import Store

SHOWN = 10
"""Clips that are listed where several are meant."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a clip is.

    Attributes:
        asked: The table that was asked about.
        table: The table that has the clip: that one, or the nearest before it that does.
        clip_id: The whole id.
        next_table: The table that is made from `table` on the way to the one that was asked about;
            None where that is the same.
    """

    asked: str
    table: str
    clip_id: str
    next_table: str | None = None


def locate_clip(store: Store, table: str, prefix: str) -> Place:
    """The clip whose id is `prefix`, or begins with it, in `table` or a table that it is made from.

    Args:
        store: The warehouse.
        table: Name of the table.
        prefix: A clip_id, or enough of its beginning.

    Raises:
        WarehouseError: There is no such table, no such clip, or several.
    """
    store.open(table)
    if not prefix:
        raise WarehouseError("name a clip by its clip_id, or by the beginning of it")
    later = None
    for name in _backwards(store, table):
        dataset = store.open(name)
        found = _beginning_with(dataset, prefix) if "clip_id" in dataset.schema.names else []
        if len(found) == 1 or (found and found[0]["clip_id"] == prefix):
            return Place(table, name, found[0]["clip_id"], later)
        if found:
            listed = "\n".join(
                f"  {row['clip_id']}  video {row.get('source_id')}" for row in found[:SHOWN]
            )
            more = f"\n  and more than {SHOWN} in all" if len(found) > SHOWN else ""
            raise WarehouseError(
                f"several clips of table '{name}' begin with '{prefix}'; give more of the "
                f"id:\n{listed}{more}"
            )
        later = name
    raise WarehouseError(
        f"table '{table}' has no clip '{prefix}', nor has a table that it is made from"
        + _elsewhere(store, table, prefix)
    )


def pieces_of(store: Store, table: str, clip_id: str) -> list[str]:
    """Ids of the clips of a table that were cut from `clip_id`, in the order of their start."""
    dataset = store.open(table)
    if "parent_id" not in dataset.schema.names:
        return []
    scanner = dataset.scanner(
        columns=["clip_id", "start_s"], filter=f"parent_id = {literal(clip_id)}"
    )
    rows = sorted(scanner.to_table().to_pylist(), key=lambda row: row["start_s"] or 0.0)
    return [row["clip_id"] for row in rows]


def commit_of(
    store: Store, table: str, dataset: lance.LanceDataset, row: Mapping[str, Any]
) -> Commit | None:
    """The commit that wrote a row."""
    for commit in effective(commits(store, table, dataset)):
        if commit.shard == row.get("shard") or commit.kind == "overwrite":
            return commit
    return None


def _backwards(store: Store, table: str) -> Iterator[str]:
    """A table, the one that it was made from last, and so on."""
    seen: set[str] = set()
    upstream: str | None = table
    while upstream is not None and upstream not in seen and store.find(upstream) is not None:
        yield upstream
        seen.add(upstream)
        made = effective(commits(store, upstream, store.open(upstream)))
        origins = (c.provenance.input_table for c in made if c.provenance)
        upstream = next((origin for origin in origins if origin), None)


def _beginning_with(dataset: lance.LanceDataset, prefix: str) -> list[dict[str, Any]]:
    """At most one row more than is shown: that of the very id alone, else those it begins."""
    columns = [c for c in ("clip_id", "source_id") if c in dataset.schema.names]
    exact = dataset.scanner(columns=columns, filter=f"clip_id = {literal(prefix)}", limit=1)
    found: list[dict[str, Any]] = exact.to_table().to_pylist()
    if not found:
        where = f"starts_with(clip_id, {literal(prefix)})"
        found = (
            dataset.scanner(columns=columns, filter=where, limit=SHOWN + 1).to_table().to_pylist()
        )
    return found


def _elsewhere(store: Store, table: str, prefix: str) -> str:
    """The other tables of the source that have such a clip, as the end of a message."""
    source = table.split("/", maxsplit=1)[0]
    names = [
        name
        for name in store.tables()
        if name.split("/")[0] == source
        and {"clip_id", "keep"} <= set((dataset := store.open(name)).schema.names)
        and _beginning_with(dataset, prefix)
    ]
    return f"; it is in {', '.join(names)}" if names else ""
