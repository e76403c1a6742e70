"""Rows of a segment and all that is known about them while its waves run.

Not here: what is measured and when (`wave.py`), cutting and editing (`barriers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import digest
from dj_ops_lib.engine.decisions import Decisions, Mask
from dj_ops_lib.engine.measuring import Measurement
from dj_ops_lib.engine.memo import ERROR_TYPE, FAILED, RESULT, Memo, entries_of, entries_to_lists
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
