"""From a clip back to the annotation line it came from, stage by stage.

Every commit names its input table and version, so the way back is: the clip's
row, the commit that wrote its shard, that commit's input table, there the same
clip or the one it was cut from, and so on until a table that was made from
annotation files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse.history import commits, effective
from dj_ops_lib.warehouse.locate import literal

if TYPE_CHECKING:
    import lance

    from dj_ops_lib.warehouse.provenance import Commit, Provenance
    from dj_ops_lib.warehouse.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One table on the way back.

    Attributes:
        table: Name of the table.
        version: Version that was read.
        clip_id: The clip there: the one asked for, or the one it was cut from.
        row: The clip's row, all columns.
        committed: Version that wrote the row.
        provenance: What that commit said about itself, operators and parameters included.
    """

    table: str
    version: int
    clip_id: str
    row: Mapping[str, Any]
    committed: int | None
    provenance: Provenance | None


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """The way of a clip, last table first.

    Attributes:
        clip_id: The clip asked for.
        steps: Its row in every table, from the one asked about to the first.
        annotation_file: Name of the annotation file.
        annotation_row: 1-based line, record or entry in it.
        gap: What of the way could not be found, None if nothing is missing.
    """

    clip_id: str
    steps: Sequence[Step]
    annotation_file: str | None
    annotation_row: int | None
    gap: str | None = None

    def lines(self) -> list[str]:
        """The explanation as text, one fact a line."""
        found = [f"clip {self.clip_id}"]
        for step in self.steps:
            found.extend(_step_lines(step))
        if self.gap:
            found.append(f"the way ends here: {self.gap}")
        found.append(f"annotation: {self.annotation_file}, row {self.annotation_row}")
        return found


def explain(store: Store, table: str, clip_id: str) -> Explanation:
    """See `Warehouse.explain`."""
    steps: list[Step] = []
    gap = None
    wanted, version = [clip_id], None
    while True:
        dataset = _open(store, table, version)
        if steps and "clip_id" not in dataset.schema.names:
            break  # a table about annotation files, not about clips
        row = _row(dataset, wanted)
        if row is None:
            if not steps:
                raise WarehouseError(
                    f"table '{table}' has no clip '{clip_id}'; it may have been replaced by the "
                    "pieces it was cut into, or be in an earlier stage's table"
                )
            gap = f"table '{table}' no longer has clip {' or '.join(wanted)}"
            break
        commit = _commit_of(store, table, dataset, row)
        made_by = commit.provenance if commit else None
        steps.append(
            Step(
                table,
                int(dataset.version),
                row["clip_id"],
                row,
                commit.version if commit else None,
                made_by,
            )
        )
        if made_by is None:
            gap = f"nothing is known about the commit that wrote the row in table '{table}'"
            break
        if made_by.input_table is None or (made_by.input_table, made_by.input_version) == (
            table,
            version,
        ):
            break
        # A clip that was not cut has its own id in the input table, a piece its parent's.
        wanted = [i for i in (row["clip_id"], row.get("parent_id")) if i]
        table, version = made_by.input_table, made_by.input_version
        if store.find(table) is None:
            gap = f"there is no table '{table}' any more"
            break
    last = steps[-1].row
    return Explanation(
        clip_id, tuple(steps), last.get("annotation_file"), last.get("annotation_row"), gap
    )


def _open(store: Store, table: str, version: int | None) -> lance.LanceDataset:
    if version:
        try:
            return store.open(table, version)
        except WarehouseError:
            pass  # that version was cleaned up: the latest is the nearest there is
    return store.open(table)


def _row(dataset: lance.LanceDataset, wanted: Sequence[str]) -> dict[str, Any] | None:
    for clip_id in wanted:
        rows = dataset.scanner(filter=f"clip_id = {literal(clip_id)}", limit=1).to_table()
        if rows.num_rows:
            found: dict[str, Any] = rows.to_pylist()[0]
            return found
    return None


def _commit_of(
    store: Store, table: str, dataset: lance.LanceDataset, row: Mapping[str, Any]
) -> Commit | None:
    for commit in effective(commits(store, table, dataset)):
        if commit.shard == row.get("shard") or commit.kind == "overwrite":
            return commit
    return None


def _step_lines(step: Step) -> list[str]:
    row = step.row
    kept = "kept" if row.get("keep") else f"rejected by {row.get('rejected_by')}"
    if row.get("error"):
        kept = f"error in {row['error']['operator']}: {row['error']['class']}"
    found = [f"{step.table} (version {step.committed}): clip {step.clip_id}, {kept}"]
    if row.get("parent_id"):
        found.append(
            f"  cut from {row['parent_id']} at {row.get('start_s')} ... {row.get('end_s')} s"
        )
    made_by = step.provenance
    if made_by is None:
        return found
    where = f"{made_by.input_table} at version {made_by.input_version}"
    found.append(
        f"  by stage {made_by.stage or step.table}"
        + (f" of recipe {made_by.recipe} ({made_by.recipe_hash})" if made_by.recipe else "")
        + f", run {made_by.run_id or 'unknown'}, code {made_by.code_version or 'unknown'}, from "
        + (where if made_by.input_table else "the annotation file")
    )
    if made_by.reason:
        found.append(f"  decided again by that run: {made_by.reason}")
    found.extend(
        f"  {o.operator} {json.dumps(dict(o.parameters), ensure_ascii=False)} (version {o.version})"
        for o in made_by.operators
    )
    own = {k: v for k, v in row.items() if k not in CLIP_SCHEMA.names and v is not None}
    found.extend(f"  {name} = {value}" for name, value in own.items())
    return found
