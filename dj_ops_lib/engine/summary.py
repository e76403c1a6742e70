"""From a stage's rows and tallies to its report: funnel, histograms, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.histograms import Histogram
from dj_ops_lib.operator import Filter, Operator, is_no_limit
from dj_ops_lib.report import FunnelStep
from dj_ops_lib.warehouse import Warehouse


def funnel(tallies: Sequence[Tally]) -> tuple[FunnelStep, ...]:
    """The tallies as steps."""
    return tuple(
        FunnelStep(t.operator, t.rows_in, t.rejected, t.errors, t.rows_out) for t in tallies
    )


def histograms(
    warehouse: Warehouse, table: str, shard: str, version: int, columns: Sequence[str]
) -> tuple[Histogram, ...]:
    """Those that the commit of a shard recorded.

    Args:
        warehouse: Where the table is.
        table: Name of the table.
        shard: Name of the shard.
        version: The version that the commit made.
        columns: Of which columns, in their order; one without a value, or that does not ask for
            a plot, is left out.
    """
    recorded = warehouse.histograms(table, [shard], version).by_shard.get(shard, ())
    found = {h.column: h for h in recorded if h.values}
    return tuple(found[c] for c in columns if c in found)


def counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """Rows by value of a string column, most first; nulls are not counted."""
    found = rows.select(pl.col(column).drop_nulls().value_counts(sort=True).struct.unnest())
    return dict(zip(found[column].to_list(), found["count"].to_list(), strict=True))


def error_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Error rows by class."""
    classes = rows.select(pl.col("error").struct.field("class").alias("class"))
    return counts(classes, "class")


def thresholds(
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
