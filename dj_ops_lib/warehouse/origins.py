"""Where a row's numbers came from: the results that they rest on.

A commit names each operator's digest, the clip's signature says of what; both
together name a result, in whichever shard it was measured. A stage that cuts or
edits has operators that saw the clip before, too: as it entered the stage, or
on its way through it. Not here: the way back through tables (`explain.py`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Operator
from dj_ops_lib.registry import operator_class
from dj_ops_lib.warehouse import results
from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.provenance import OperatorUse, Provenance
from dj_ops_lib.warehouse.result_schema import results_table
from dj_ops_lib.warehouse.store import Store

_COLUMNS = ["shard", "source_id", "clip_id", "digest", "subject", "error", "at"]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """The result that an operator's columns in a row, or its cut or edit, come from.

    Attributes:
        digest: Of what the operator measures, 32 hex digits.
        subject: Of what it was measured of, 32 hex digits; both together name the result.
        shard: The shard that it was measured for, of this table or any other.
        clip_id: The clip that was looked at: this one, the one it was cut from, or one of the same
            content; empty where a file was.
        at: When.
    """

    digest: str
    subject: str
    shard: str
    clip_id: str
    at: dt.datetime


Passage = tuple[Mapping[str, Any], Provenance | None]
"""A clip's row in one table, and what the commit that wrote it said about itself."""


def origins(store: Store, way: Sequence[Passage]) -> list[dict[str, Origin]]:
    """The origins of what each row holds, by operator.

    Args:
        store: The warehouse.
        way: The clip's rows, that of the last table first, each made from the next.
    """
    source = way[0][0].get("source")
    if not source or store.find(results_table(source)) is None:
        return [{} for _ in way]
    wanted = [list(_subjects(way, place)) for place in range(len(way))]
    subjects = {bytes.fromhex(s) for step in wanted for _, own in step for s in own}
    by_print: dict[tuple[str, str], dict[str, Any]] = {}
    found = results.elsewhere(store, source, pa.array(sorted(subjects), pa.binary(16)))
    for row in found.select(_COLUMNS).to_pylist():
        by_print[row["digest"].hex(), row["subject"].hex()] = row
    by_clip = _by_clip(store, source, [row for row, _ in way])
    return [
        {
            use.operator: _origin(result)
            for use, own in step
            if (result := _result(use, own, by_print, by_clip, way[place][0])) is not None
        }
        for place, step in enumerate(wanted)
    ]


def _subjects(way: Sequence[Passage], place: int) -> Iterator[tuple[OperatorUse, list[str]]]:
    """The operators of a step, and what each may have measured: the row, or what it was before."""
    row, made_by = way[place]
    seen = [row, *(r for r, _ in way[place + 1 : place + 2])]
    for use in made_by.operators if made_by else ():
        if use.digest:
            kind = _kind(use.operator)
            found = (kind.subject(r) for r in seen if set(kind.reads) <= r.keys())
            yield use, [s for s in found if len(s) == 32]


def _kind(name: str) -> type[Operator]:
    try:
        return operator_class(name)
    except RecipeError:
        return Operator


def _by_clip(
    store: Store, source: str, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Results about the clip itself, its parents and its file, the latest of each operator."""
    ids = {row.get(n) for row in rows for n in ("clip_id", "parent_id")} - {None}
    where = f"clip_id IN ({', '.join(map(literal, sorted(map(str, ids))))})"
    source_id = rows[0].get("source_id")
    if source_id is not None:
        where += f" OR (clip_id = '' AND source_id = {literal(source_id)})"
    dataset = store.open(results_table(source))
    found = dataset.to_table(columns=_COLUMNS, filter=where).to_pylist()
    found = [r for r in found if (r["error"] or {}).get("class") is None]
    return {(r["digest"].hex(), r["clip_id"] or ""): r for r in sorted(found, key=_at)}


def _at(row: Mapping[str, Any]) -> dt.datetime:
    moment: dt.datetime = row["at"]
    return moment


def _result(
    use: OperatorUse,
    subjects: Sequence[str],
    by_print: Mapping[tuple[str, str], dict[str, Any]],
    by_clip: Mapping[tuple[str, str], dict[str, Any]],
    row: Mapping[str, Any],
) -> dict[str, Any] | None:
    """By content first; a clip as it was between two operators of a stage is in no table."""
    named = [by_print.get((use.digest, s)) for s in subjects]
    own = [row.get("clip_id"), row.get("parent_id"), ""]
    named += [by_clip.get((use.digest, i)) for i in own if i is not None]
    return next((r for r in named if r is not None), None)


def _origin(row: Mapping[str, Any]) -> Origin:
    return Origin(
        row["digest"].hex(), row["subject"].hex(), row["shard"], row["clip_id"] or "", row["at"]
    )
