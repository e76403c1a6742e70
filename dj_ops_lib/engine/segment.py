"""Rows of a segment and all that is known about them while its waves run.

Not here: what is measured and when (`wave.py`), cutting and editing (`barriers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.engine.decisions import Decisions, Mask
from dj_ops_lib.engine.known_results import ERROR_TYPE, RESULT, KnownResults
from dj_ops_lib.engine.measuring import Measurement
from dj_ops_lib.engine.planner import Segment
from dj_ops_lib.operator import Operator


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

    def look_up(self, operator: Operator, known: KnownResults) -> None:
        """Take what is stored for `operator`."""
        prints = fingerprints(operator, self.rows)
        self.fingerprints[operator.name] = prints
        self.values[operator.name] = known.lookup(operator, prints)

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
        """The rows with `keep`, `rejected_by` and `error`."""
        state = self.decisions
        names = pl.Series([*state.names, None], dtype=pl.String)
        errors = [state.errors.get(i) for i in range(len(self.rows))] if state.errors else None
        return self.rows.with_columns(
            pl.Series("keep", state.alive),
            names[state.rejected_by].alias("rejected_by"),
            pl.Series("error", errors, dtype=ERROR_TYPE) if errors else pl.col("error"),
        )


def fingerprints(operator: Operator, rows: pl.DataFrame) -> pl.Series:
    """Names of the operator's measurements of `rows`."""
    prefix = operator.fingerprint()
    if not operator.reads:
        return rows.select(pl.lit(prefix) + pl.col("signature").fill_null(""))["literal"]
    subjects = rows.select("signature", *operator.reads).to_dicts()
    prints = [prefix + operator.subject(s) for s in subjects]
    return pl.Series("literal", prints, dtype=pl.String)
