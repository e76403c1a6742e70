"""The pure core: rows of a stage's input in, rows of its output out.

Columnar where it decides, one clip at a time where it measures; what is stored
is not measured. It opens no file and starts no process: it is given a function
that measures. Not here: reading and writing tables (`shard.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from dj_ops_lib.engine.barriers import edit_rows, split_rows
from dj_ops_lib.engine.decisions import Decisions, Mask, Tally
from dj_ops_lib.engine.known_results import ERROR_TYPE, KnownResults
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import Cost
from dj_ops_lib.engine.planner import plan_operators
from dj_ops_lib.engine.segment import SegmentState
from dj_ops_lib.engine.wave import Measure, run_wave
from dj_ops_lib.operator import Operator, Splitter


@dataclasses.dataclass(frozen=True, slots=True)
class StageRun:
    """What running a stage gave.

    Attributes:
        rows: The rows of the output, in the order of the input.
        tallies: What each operator did, in the order in which they were applied.
        touched: Positions of the input rows for which something was opened or asked now.
        split: Input rows that were replaced by pieces.
    """

    rows: pl.DataFrame
    tallies: tuple[Tally, ...]
    touched: frozenset[int]
    split: int


def run_operators(
    rows: pl.DataFrame,
    operators: Sequence[Operator],
    *,
    known: KnownResults,
    measure: Measure,
    options: EngineOptions,
    costs: Mapping[str, Cost] | None = None,
) -> StageRun:
    """Apply a stage's operators to rows.

    Args:
        rows: Kept rows of the input table, with the columns of `CLIP_SCHEMA` at least.
        operators: In the order of the recipe; deduplicators are measured only.
        known: What is known already.
        measure: Runs passes over clips.
        options: Settings of the run.
        costs: What the operators have cost so far; changes what is measured first, no result.
    """
    own = {c.name for o in operators for c in o.columns}
    frame = rows.drop(own & set(rows.columns)).with_columns(
        pl.int_range(pl.len()).alias("_order"),
        pl.lit("").alias("_place"),
        pl.col("clip_id").alias("_root"),
        pl.lit(True).alias("keep"),
        pl.lit(None, pl.String).alias("rejected_by"),
        pl.lit(None, ERROR_TYPE).alias("error"),
    )
    finished: list[pl.DataFrame] = []
    tallies: list[Tally] = []
    touched: set[int] = set()
    for segment in plan_operators(operators):
        state = SegmentState(frame, segment)
        for wave in segment.waves:
            rows_measured = run_wave(
                state, wave, known=known, measure=measure, options=options, costs=costs or {}
            )
            touched |= set(frame["_order"].gather(sorted(rows_measured)).to_list())
        if segment.barrier is None:
            frame = state.finish()
        else:
            over, frame = _close(state, segment.barrier)
            finished.append(over)
        tallies += state.decisions.tallies.values()
    split = 0
    result = frame
    if finished:
        result = pl.concat([*finished, frame], how="diagonal")
        result = result.sort("_order", "_place", maintain_order=True)
        split = len(rows.join(result, on="clip_id", how="anti"))
    internal = [c for c in result.columns if c.startswith("_")]
    return StageRun(result.drop(internal), tuple(tallies), frozenset(touched), split)


def _close(state: SegmentState, barrier: Operator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that end in this segment, and rows that go on, cut or edited by its barrier."""
    decisions: Decisions = state.decisions
    results = state.values[barrier.name]["_result"]
    rejecting: Mask = np.zeros(len(results), dtype=bool)
    if isinstance(barrier, Splitter) and not barrier.keeps_original:
        rejecting = (results == "[]").fill_null(False).to_numpy()
    decisions.decide(barrier, rejecting)
    rows = state.finish()
    alive = pl.Series(decisions.alive)
    over, on = rows.filter(~alive), rows.filter(alive)
    found = results.filter(alive).to_list()
    cuts = barrier if isinstance(barrier, Splitter) else None
    on = edit_rows(on, found) if cuts is None else split_rows(on, cuts, found)
    decisions.tallies[barrier.name].rows_out = len(on)
    return over, on
