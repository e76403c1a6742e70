"""One wave over the rows of a segment: look up, measure what is missing, decide.

Not here: cutting and editing at the end of a segment (`barriers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip, digest
from dj_ops_lib.engine.decisions import Decisions, Mask
from dj_ops_lib.engine.measuring import Measurement, Outcome, Task, measure_row
from dj_ops_lib.engine.memo import ERROR_TYPE, FAILED, RESULT, Memo, entries_of, entries_to_lists
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import Cost, passes
from dj_ops_lib.engine.planner import Segment, Wave
from dj_ops_lib.operator import Filter, Operator

CHUNK_ROWS = 20_000
"""Rows that become Python objects at a time in header waves."""

Measure = Callable[[Sequence[Task]], Iterator[tuple[int, Outcome]]]
"""Runs tasks, in any order; yields (position of the task, its outcome) as they finish."""

Group = tuple[tuple[str | None, ...], list[int]]
"""Fingerprints of what is missing, None for what is not, and the rows that miss it."""


class SegmentState:
    """Rows of a segment and what is known about them so far.

    Attributes:
        rows: The rows, with the columns of the waves that were run.
        segment: The operators.
        decisions: Who is alive.
        fingerprints: By operator name.
        values: By operator name: `_found`, `_result` and the operator's columns.
    """

    def __init__(self, rows: pl.DataFrame, segment: Segment) -> None:
        self.rows = rows
        self.segment = segment
        self.decisions = Decisions(len(rows), segment.operators)
        self.fingerprints: dict[str, pl.Series] = {}
        self.values: dict[str, pl.DataFrame] = {}

    def look_up(self, operator: Operator, memo: Memo) -> None:
        """Take what is stored for `operator`."""
        prints = fingerprints(operator, self.rows)
        self.fingerprints[operator.name] = prints
        self.values[operator.name] = memo.lookup(operator, prints)

    def found(self, operator: Operator) -> Mask:
        """Rows whose measurement is known."""
        return self.values[operator.name]["_found"].to_numpy().astype(bool)

    def store(self, operator: Operator, measured: Mapping[int, Measurement]) -> None:
        """Take what was measured now, by row."""
        good = {row: m for row, m in measured.items() if m.failure is None}
        if not good:
            return
        known = self.values[operator.name]
        fresh = {"_found": pa.array([True] * len(good))}
        fresh[RESULT] = pa.array([m.result for m in good.values()], pa.string())
        for column in operator.columns:
            values = [m.columns[column.name] for m in good.values()]
            fresh[column.name] = pa.array(values, column.type)
        addition = pl.DataFrame(pa.table(fresh)).select(known.columns)
        source = np.arange(len(known))
        source[list(good)] = len(known) + np.arange(len(good))
        self.values[operator.name] = pl.concat([known, addition])[source]

    def apply(self, operator: Operator) -> None:
        """Put the operator's columns into the rows."""
        values = self.values[operator.name]
        self.rows = self.rows.with_columns(values[c.name] for c in operator.columns)

    def finish(self) -> pl.DataFrame:
        """The rows with `keep`, `rejected_by`, `error` and `measured`."""
        state = self.decisions
        names = pl.Series([*state.names, None], dtype=pl.String)
        errors = [state.errors.get(i) for i in range(len(self.rows))] if state.errors else None
        return self.rows.with_columns(
            pl.Series("keep", state.alive),
            names[state.rejected_by].alias("rejected_by"),
            pl.Series("error", errors, dtype=ERROR_TYPE) if errors else pl.col("error"),
            self._measured(),
        )

    def _measured(self) -> pl.Series:
        """The rows' `measured`, with this segment's entries in place of older ones."""
        own_names = [o.name for o in self.segment.operators]
        flat = [entries_of(self.rows).filter(~pl.col("operator").is_in(own_names))]
        for operator in self.segment.operators:
            values = self.values[operator.name]
            failed = np.zeros(len(self.rows), dtype=bool)
            own = [r for r, e in self.decisions.errors.items() if e["operator"] == operator.name]
            failed[own] = True
            failed &= ~self.found(operator)
            entries = pl.DataFrame({"_row": pl.int_range(len(values), dtype=pl.UInt32, eager=True)})
            result = pl.when(pl.Series(failed)).then(pl.lit(FAILED)).otherwise(values[RESULT])
            entries = entries.with_columns(
                pl.lit(operator.name).alias("operator"),
                self.fingerprints[operator.name].alias("fingerprint"),
                result.alias("result"),
            )
            flat.append(entries.filter(values["_found"] | pl.Series(failed)))
        return entries_to_lists(pl.concat(flat), len(self.rows))

    def keep_result_on_first(self, rows: pl.DataFrame, splitter: Operator) -> pl.DataFrame:
        """Drop the splitter's result from all but the first piece of a clip, and `_first`."""
        if rows["_first"].all():
            return rows.drop("_first")
        element = pl.element()
        bare = element.struct.with_fields(
            pl.when(pl.field("operator") == splitter.name)
            .then(None)
            .otherwise(pl.field("result"))
            .alias("result")
        )
        cleared = pl.col("measured").list.eval(bare)
        return rows.with_columns(
            pl.when("_first").then(pl.col("measured")).otherwise(cleared).alias("measured")
        ).drop("_first")


def fingerprints(operator: Operator, rows: pl.DataFrame) -> pl.Series:
    """Names of the operator's measurements of `rows`.

    What an operator reads beside the picture belongs to what it measured: the clip's signature
    does not cover captions or other operators' columns.
    """
    prefix = operator.fingerprint()
    if not operator.reads:
        return rows.select(pl.lit(prefix) + pl.col("signature").fill_null(""))["literal"]
    subjects = rows.select("signature", *operator.reads).to_dicts()
    prints = [prefix + digest(*map(_plain, s.values())) for s in subjects]
    return pl.Series("literal", prints, dtype=pl.String)


def _plain(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    return value.hex() if isinstance(value, bytes) else value


def run_wave(
    state: SegmentState,
    wave: Wave,
    *,
    memo: Memo,
    measure: Measure,
    options: EngineOptions,
    costs: Mapping[str, Cost],
) -> set[int]:
    """Look up, measure and decide one wave.

    Returns:
        Positions of the rows for which something was measured now.
    """
    for operator in wave.operators:
        state.look_up(operator, memo)
    decisions = state.decisions
    wanted = decisions.alive.copy()
    if options.measure_all:
        wanted[:] = True
        wanted[list(decisions.errors)] = False
    missing = {o.name: wanted & ~state.found(o) for o in wave.operators}
    attempts = _skip_quarantined(state, wave, missing, memo, options)
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
    return touched


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
                    decisions.failures[name][row] = {
                        "operator": name,
                        "class": measurement.failure.error_class,
                        "message": measurement.failure.message,
                        "attempts": attempts.get(row, 0) + 1,
                    }
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
    memo: Memo,
    options: EngineOptions,
) -> dict[int, int]:
    """Take stored errors of clips that are not tried again.

    Returns:
        How often a clip was tried before, by row, for those that are.
    """
    attempts: dict[int, int] = {}
    for operator in wave.operators:
        rows = np.flatnonzero(missing[operator.name])
        prints = state.fingerprints[operator.name].gather(rows)
        for position, failure in memo.failures(prints).items():
            row, error = int(rows[position]), failure.error
            if failure.of_this_run or not options.may_try(error["class"], error["attempts"]):
                state.decisions.failures[operator.name][row] = error
                for mask in missing.values():
                    mask[row] = False
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
    if not groups:
        return
    clips = _clips(state.rows, [members[0] for _, members in groups])
    tasks = []
    for (key, members), clip in zip(groups, clips, strict=True):
        todo = [(o, p) for o, p in zip(wave.operators, key, strict=True) if p is not None]
        operators = tuple((o.name, o) for o, _ in todo)
        tried = max(attempts.get(row, 0) for row in members)
        tasks.append(Task(clip, operators, tuple(p for _, p in todo), tried))
    for position, outcome in measure(tasks):
        yield groups[position][1], outcome


def _clips(rows: pl.DataFrame, positions: Sequence[int]) -> list[Clip]:
    chosen: list[dict[str, Any]] = rows.select(c for c in rows.columns if not c.startswith("_"))[
        positions
    ].to_dicts()
    return [Clip.from_row(row) for row in chosen]
