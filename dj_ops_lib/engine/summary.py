"""From a stage's rows and tallies to its report: funnel, histograms, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.operator import Column, Filter, Operator, is_no_limit
from dj_ops_lib.report import FunnelStep, Histogram

BINS = 24
"""Bins of a histogram: what fits into a shard's 8 KB of metadata beside everything else."""


def funnel(tallies: Sequence[Tally]) -> tuple[FunnelStep, ...]:
    """The tallies as steps."""
    return tuple(
        FunnelStep(t.operator, t.rows_in, t.rejected, t.errors, t.rows_out) for t in tallies
    )


def histograms(
    rows: pl.DataFrame, columns: Sequence[Column], operators: Sequence[Operator]
) -> tuple[Histogram, ...]:
    """One for each numeric column that asks for a plot and has a finite value."""
    limits = _thresholds(operators)
    made = (_histogram(rows, c, limits.get(c.name, (None, None))) for c in columns if c.plot)
    return tuple(h for h in made if h is not None)


def counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """Rows by value of a string column, most first; nulls are not counted."""
    found = rows.select(pl.col(column).drop_nulls().value_counts(sort=True).struct.unnest())
    return dict(zip(found[column].to_list(), found["count"].to_list(), strict=True))


def error_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Error rows by class."""
    classes = rows.select(pl.col("error").struct.field("class").alias("class"))
    return counts(classes, "class")


def _histogram(
    rows: pl.DataFrame, column: Column, thresholds: tuple[float | None, float | None]
) -> Histogram | None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    values = rows[column.name].drop_nulls().cast(pl.Float64).to_numpy()
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    bin_counts, edges = np.histogram(values, bins=BINS)
    return Histogram(
        column.name,
        tuple(float(e) for e in edges),
        tuple(int(c) for c in bin_counts),
        thresholds,
        column.unit,
    )


def _thresholds(
    operators: Sequence[Operator],
) -> Mapping[str, tuple[float | None, float | None]]:
    """Limits by column; none for a column that several filters decide about."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for operator in operators:
        if isinstance(operator, Filter):
            for column, (lowest, highest) in operator.thresholds().items():
                known = column in found
                found[column] = (None, None) if known else (_limit(lowest), _limit(highest))
    return found


def _limit(value: float | None) -> float | None:
    """A threshold, or None for those that stand for "no limit"."""
    return None if is_no_limit(value) else value
