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
from dj_ops_lib.errors import RecipeError, WarehouseError
from dj_ops_lib.operator import is_no_limit
from dj_ops_lib.registry import operator_class
from dj_ops_lib.rejection import why
from dj_ops_lib.warehouse.clips import Place, commit_of, locate_clip, pieces_of
from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.origins import Origin, origins

if TYPE_CHECKING:
    import lance

    from dj_ops_lib.warehouse.provenance import Provenance
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
        origins: The results that the operators' numbers come from, by operator; not of those that
            only read the row, nor of results that were pruned.
    """

    table: str
    version: int
    clip_id: str
    row: Mapping[str, Any]
    committed: int | None
    provenance: Provenance | None
    origins: Mapping[str, Origin] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """The way of a clip, last table first.

    Attributes:
        clip_id: The clip asked for.
        steps: Its row in every table, from the one asked about to the first.
        annotation_file: Name of the annotation file.
        annotation_row: 1-based line, record or entry in it.
        gap: What of the way could not be found, None if nothing is missing.
        absent: Why the table that was asked about does not have the clip, None if it does; the
            steps then begin at the table that has it last.
    """

    clip_id: str
    steps: Sequence[Step]
    annotation_file: str | None
    annotation_row: int | None
    gap: str | None = None
    absent: str | None = None

    def lines(self) -> list[str]:
        """The explanation as text, one fact a line."""
        found = [f"clip {self.clip_id}"]
        if self.absent:
            found.append(self.absent)
        for step in self.steps:
            found.extend(_step_lines(step))
        if self.gap:
            found.append(f"the way ends here: {self.gap}")
        if self.annotation_file is not None:
            found.append(f"annotation: {self.annotation_file}, row {self.annotation_row}")
        return found


def explain(store: Store, table: str, clip_id: str) -> Explanation:
    """See `Warehouse.explain`."""
    place = locate_clip(store, table, clip_id)
    steps: list[Step] = []
    gap = None
    table, version = place.table, None
    wanted = [place.clip_id]
    while True:
        dataset = _open(store, table, version)
        if steps and "clip_id" not in dataset.schema.names:
            break  # a table about annotation files, not about clips
        row = _row(dataset, wanted)
        if row is None:
            gap = f"table '{table}' no longer has clip {' or '.join(wanted)}"
            break
        commit = commit_of(store, table, dataset, row)
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
    found = origins(store, [(step.row, step.provenance) for step in steps])
    steps = [dataclasses.replace(s, origins=own) for s, own in zip(steps, found, strict=True)]
    absent = None
    if place.next_table is not None:
        absent = f"not in {place.asked}: {_why_absent(store, place, place.next_table, steps[0])}"
    last = steps[-1].row
    return Explanation(
        place.clip_id,
        tuple(steps),
        last.get("annotation_file"),
        last.get("annotation_row"),
        gap,
        absent,
    )


def _why_absent(store: Store, place: Place, next_table: str, last: Step) -> str:
    """Why the next table does not have a clip, from the last table that does."""
    row = last.row
    if row.get("error") or not row.get("keep"):
        return _fate(last, where=last.table)
    pieces = pieces_of(store, next_table, place.clip_id)
    if pieces:
        return f"cut in {next_table} into {', '.join(pieces)}"
    return f"kept in {last.table}, from which shard '{row.get('shard')}' was not made since"


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


def _step_lines(step: Step) -> list[str]:
    row = step.row
    found = [f"{step.table} (version {step.committed}): clip {step.clip_id}, {_fate(step)}"]
    found.append(f"  {_video(row)}")
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
    for use in made_by.operators:
        found.append(f"  {use.operator} {_parameters(use.parameters)} (version {use.version})")
        if use.operator in step.origins:
            found.append(f"    {_origin(step, step.origins[use.operator])}")
    own = {k: v for k, v in row.items() if k not in CLIP_SCHEMA.names and v is not None}
    found.extend(f"  {name} = {value}" for name, value in own.items())
    return found


def _origin(step: Step, origin: Origin) -> str:
    """Which result an operator's numbers come from, such as `measured 2026-11-26 02:20:11 UTC`."""
    named = f"{origin.digest[:8]}-{origin.subject[:8]}"
    of = "" if origin.clip_id in ("", step.clip_id) else f" of clip {origin.clip_id}"
    return (
        f"measured {origin.at:%Y-%m-%d %H:%M:%S} UTC{of} for shard {origin.shard}: result {named}"
    )


def _parameters(parameters: Mapping[str, Any]) -> str:
    limited = {k: "no limit" if is_no_limit(v) else v for k, v in parameters.items()}
    return json.dumps(limited, ensure_ascii=False)


def _video(row: Mapping[str, Any]) -> str:
    """Which part of which video a row is about."""
    named = f"video {row.get('source_id') or 'without an id'}"
    where = f", {row['video_uri']}" if row.get("video_uri") else ""
    if row.get("start_s") is None and row.get("end_s") is None:
        return named + where
    end = "its end" if row.get("end_s") is None else f"{row['end_s']:g} s"
    return f"{named}{where}, {row.get('start_s') or 0:g} ... {end}"


def _fate(step: Step, *, where: str = "") -> str:
    """What became of a row, in which table if that is to be said, and by which number."""
    row, place = step.row, f" in {where}" if where else ""
    if row.get("error"):
        error = row["error"]
        return f"error{place} in {error['operator']}: {error['class']}: {error['message']}"
    if row.get("keep"):
        return "kept"
    reason = _reason(step)
    return f"rejected{place} by {row.get('rejected_by')}" + (f": {reason}" if reason else "")


def _reason(step: Step) -> str:
    """Why the operator rejected the row, with the parameters of that commit.

    Nothing where the operator, or a parameter of that time, is not known any more.
    """
    name = step.row.get("rejected_by")
    uses = step.provenance.operators if step.provenance else ()
    for use in uses:
        if use.operator == name:
            try:
                return why(operator_class(name)(**use.parameters), step.row)
            except (RecipeError, ValueError, KeyError):
                return ""
    return ""
