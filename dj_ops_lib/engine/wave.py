"""One wave over the rows of a segment: look up, measure what is missing, decide.

Not here: cutting and editing at the end of a segment (`barriers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.decisions import Mask
from dj_ops_lib.engine.known_results import KnownResults
from dj_ops_lib.engine.measuring import OPERATOR_ERROR, Measurement, Outcome, Task, measure_row
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import Cost, passes
from dj_ops_lib.engine.planner import Wave
from dj_ops_lib.engine.segment import SegmentState
from dj_ops_lib.errors import PATH_CLASSES
from dj_ops_lib.operator import Filter, Operator

CHUNK_ROWS = 20_000
"""Rows that become Python objects at a time in header waves."""

Measure = Callable[[Sequence[Task]], Iterator[tuple[int, Outcome]]]
"""Runs tasks, in any order; yields (position of the task, its outcome) as they finish."""

Group = tuple[tuple[str | None, ...], list[int]]
"""Fingerprints of what is missing, None for what is not, and the rows that miss it."""


def run_wave(
    state: SegmentState,
    wave: Wave,
    *,
    known: KnownResults,
    measure: Measure,
    options: EngineOptions,
    costs: Mapping[str, Cost],
) -> set[int]:
    """Look up, measure and decide one wave.

    Returns:
        Positions of the rows for which a file was opened or a model asked now.
    """
    for operator in wave.operators:
        state.look_up(operator, known)
    decisions = state.decisions
    wanted = decisions.alive.copy()
    if options.measure_all:
        wanted[:] = True
        wanted[list(decisions.errors)] = False
    missing = {o.name: wanted & ~state.found(o) for o in wave.operators}
    if wave.opens_media:
        _search_elsewhere(state, wave, missing, known)
    attempts = _skip_quarantined(state, wave, missing, known, options)
    touched: set[int] = set()
    together = options.measure_all or not wave.opens_media
    seen: list[Operator] = []
    for group in (wave.operators,) if together else passes(wave.operators, costs):
        now = Wave(wave.level, group)
        if seen:
            _leave_out_settled(state, wave, seen, missing)
        touched |= _measure(state, now, missing, attempts, measure)
        for operator in group:
            state.apply(operator)
        seen += group
    for operator in wave.operators:
        if operator is not state.segment.barrier:
            decisions.decide(operator, _rejecting(operator, state.rows))
    return touched if wave.opens_media else set()


def _search_elsewhere(
    state: SegmentState, wave: Wave, missing: dict[str, Mask], known: KnownResults
) -> None:
    """Take what other shards of the source know of content that is about to be measured."""
    prints = [state.fingerprints[name].filter(pl.Series(m)) for name, m in missing.items()]
    if not known.search_elsewhere(pl.concat(prints)):
        return
    for operator in wave.operators:
        state.look_up(operator, known)
        missing[operator.name] &= ~state.found(operator)


def _measure(
    state: SegmentState,
    wave: Wave,
    missing: Mapping[str, Mask],
    attempts: Mapping[int, int],
    measure: Measure,
) -> set[int]:
    """Measure what is missing, in one pass a clip; returns the rows that were measured."""
    decisions = state.decisions
    measured: dict[str, dict[int, Measurement]] = {o.name: {} for o in wave.operators}
    groups = _groups(state, wave, missing)
    if wave.opens_media:
        outcomes = _in_workers(state, wave, groups, attempts, measure)
    else:
        outcomes = _in_this_process(state, wave, groups)
    for members, outcome in outcomes:
        for name, measurement in outcome.measurements.items():
            tally = decisions.tallies[name]
            tally.measured += 1
            tally.seconds += measurement.seconds
            tally.pass_seconds += outcome.cpu_seconds
            for row in members:
                measured[name][row] = measurement
                if measurement.failure is not None:
                    tried = attempts.get(row, 0) + 1
                    decisions.failures[name][row] = measurement.failure.as_error(name, tried)
    for operator in wave.operators:
        state.store(operator, measured[operator.name])
    return {row for rows in measured.values() for row in rows}


def _leave_out_settled(
    state: SegmentState, wave: Wave, seen: Sequence[Operator], missing: Mapping[str, Mask]
) -> None:
    """Do not measure what can no longer decide: an operator before it has rejected the clip."""
    settled = np.zeros(len(state.rows), dtype=bool)
    for operator in wave.operators:
        missing[operator.name][settled] = False
        if operator in seen:
            settled |= _rejecting(operator, state.rows)
            settled[list(state.decisions.failures[operator.name])] = True


def _rejecting(operator: Operator, rows: pl.DataFrame) -> Mask:
    """Rows that `operator` would reject; a statistic that is unknown rejects."""
    if not isinstance(operator, Filter):
        return np.zeros(len(rows), dtype=bool)
    kept = rows.select(operator.keep().fill_null(False).alias("keep"))["keep"]
    return ~np.asarray(kept.to_numpy(), dtype=bool)


def _skip_quarantined(
    state: SegmentState,
    wave: Wave,
    missing: dict[str, Mask],
    known: KnownResults,
    options: EngineOptions,
) -> dict[int, int]:
    """Take stored errors of clips that are not tried again.

    Where the whole pass failed, nobody looks at the clip: the error stands at the first operator
    that lacks a value, or one that never looked would reject it and hide why.

    Returns:
        How often a clip was tried before, by row, for those that are.
    """
    attempts: dict[int, int] = {}
    for operator in wave.operators:
        rows = np.flatnonzero(missing[operator.name])
        prints = state.fingerprints[operator.name].gather(rows)
        for position, failure in known.failures(prints).items():
            row, error = int(rows[position]), failure.error
            if not missing[operator.name][row]:
                continue  # another operator's failure says it already
            if failure.of_this_run or not options.may_try(error["class"], error["attempts"]):
                own = error["class"] == OPERATOR_ERROR
                lacking = [operator.name] if own else [n for n, m in missing.items() if m[row]]
                state.decisions.failures[lacking[0]][row] = error
                for name in lacking:
                    missing[name][row] = False
            else:
                attempts[row] = max(attempts.get(row, 0), error["attempts"])
    return attempts


def _groups(state: SegmentState, wave: Wave, missing: Mapping[str, Mask]) -> list[Group]:
    """Rows by what is to be measured of them: equal content is measured once."""
    union = np.zeros(len(state.rows), dtype=bool)
    for mask in missing.values():
        union |= mask
    rows = np.flatnonzero(union)
    columns = []
    for operator in wave.operators:
        prints = state.fingerprints[operator.name].gather(rows).to_list()
        mask = missing[operator.name][rows]
        columns.append([p if m else None for p, m in zip(prints, mask, strict=True)])
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for row, key in zip(rows.tolist(), zip(*columns, strict=True), strict=True):
        groups.setdefault(key, []).append(row)
    return list(groups.items())


def _in_this_process(
    state: SegmentState, wave: Wave, groups: Sequence[Group]
) -> Iterator[tuple[list[int], Outcome]]:
    for begin in range(0, len(groups), CHUNK_ROWS):
        chunk = groups[begin : begin + CHUNK_ROWS]
        clips = _clips(state.rows, [members[0] for _, members in chunk])
        for (key, members), clip in zip(chunk, clips, strict=True):
            todo = [o for o, p in zip(wave.operators, key, strict=True) if p is not None]
            yield members, Outcome({o.name: measure_row(o, clip) for o in todo})


def _in_workers(
    state: SegmentState,
    wave: Wave,
    groups: Sequence[Group],
    attempts: Mapping[int, int],
    measure: Measure,
) -> Iterator[tuple[list[int], Outcome]]:
    """Equal content is looked at once, by the first path that can be read.

    That a path cannot is no fact about content: it is said of that path's rows only.
    """
    paths = state.rows["video_uri"]
    while groups:
        clips = _clips(state.rows, [members[0] for _, members in groups])
        tasks, others = [], []
        for (key, members), clip in zip(groups, clips, strict=True):
            todo = [(o, p) for o, p in zip(wave.operators, key, strict=True) if p is not None]
            operators = tuple((o.name, o) for o, _ in todo)
            tried = max(attempts.get(row, 0) for row in members)
            tasks.append(Task(clip, operators, tuple(p for _, p in todo), tried))
        for position, outcome in measure(tasks):
            key, members = groups[position]
            if _is_of_the_path(outcome):
                path = paths[members[0]]
                elsewhere = [row for row in members if paths[row] != path]
                members = [row for row in members if paths[row] == path]
                if elsewhere:
                    others.append((key, elsewhere))
            yield members, outcome
        groups = others


def _is_of_the_path(outcome: Outcome) -> bool:
    failures = (m.failure for m in outcome.measurements.values())
    return any(f is not None and f.error_class in PATH_CLASSES for f in failures)


def _clips(rows: pl.DataFrame, positions: Sequence[int]) -> list[Clip]:
    chosen: list[dict[str, Any]] = rows.select(c for c in rows.columns if not c.startswith("_"))[
        positions
    ].to_dicts()
    return [Clip.from_row(row) for row in chosen]
