"""The pure core: rows of a stage's input in, rows of its output out.

Columnar where it decides, one clip at a time where it measures; what is stored
is not measured. It opens no file and starts no process: it is given a function
that measures. Not here: reading and writing tables (`shard.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from dj_ops_lib.engine.barriers import edit_rows, split_rows
from dj_ops_lib.engine.decisions import Decisions, Tally
from dj_ops_lib.engine.memo import ERROR_TYPE, Memo
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.planner import Segment, plan_operators
from dj_ops_lib.engine.wave import Measure, SegmentState, run_wave
from dj_ops_lib.operator import Operator, Splitter


@dataclasses.dataclass(frozen=True, slots=True)
class StageRun:
    """What running a stage gave.

    Attributes:
        rows: The rows of the output, in the order of the input.
        tallies: What each operator did, in the order in which they were applied.
        touched: Positions of the input rows for which something was measured now.
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
    memo: Memo,
    measure: Measure,
    options: EngineOptions,
) -> StageRun:
    """Apply a stage's operators to rows.

    Args:
        rows: Kept rows of the input table, with the columns of `CLIP_SCHEMA` at least.
        operators: In the order of the recipe; deduplicators are measured only.
        memo: What is known already.
        measure: Runs passes over clips.
        options: Settings of the run.
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
            rows_measured = run_wave(state, wave, memo, measure, options)
            touched |= set(frame["_order"].gather(sorted(rows_measured)).to_list())
        over, frame = _close(state, segment)
        finished.append(over)
        tallies += state.decisions.tallies.values()
    finished.append(frame)
    result = pl.concat(finished, how="diagonal")
    if len(finished) > 2 or len(finished[0]):
        result = result.sort("_order", "_place", maintain_order=True)
    replaced = set(rows["clip_id"]) - set(result["clip_id"])
    internal = [c for c in result.columns if c.startswith("_")]
    return StageRun(result.drop(internal), tuple(tallies), frozenset(touched), len(replaced))


def _close(state: SegmentState, segment: Segment) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that end in this segment, and rows that go on, cut or edited by its barrier."""
    barrier = segment.barrier
    decisions: Decisions = state.decisions
    if barrier is not None:
        results = state.values[barrier.name]["_result"]
        empty: npt.NDArray[np.bool_] = (results == "[]").fill_null(False).to_numpy()
        rejecting = empty if isinstance(barrier, Splitter) else np.zeros(len(empty), dtype=bool)
        decisions.decide(barrier, rejecting)
    rows = state.finish()
    alive = pl.Series(decisions.alive)
    over, on = rows.filter(~alive), rows.filter(alive)
    if barrier is None:
        return over, on
    found = state.values[barrier.name]["_result"].filter(alive).to_list()
    if isinstance(barrier, Splitter):
        on = split_rows(on, barrier, found)
        on = state.keep_result_on_first(on, barrier)
    else:
        on = edit_rows(on, found).drop("_first")
    decisions.tallies[barrier.name].rows_out = len(on)
    return over, on
