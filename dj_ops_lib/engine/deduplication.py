"""Which rows of a shard repeat clips of the shard itself or of other shards.

The operator finds the pairs; here is what it compares with, and what follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import polars as pl
import pyarrow as pa

from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.operator import DUPLICATE_COLUMNS, Deduplicator
from dj_ops_lib.warehouse import Warehouse


def other_shards(
    warehouse: Warehouse, table: str, shard: str, operator: Deduplicator, version: int
) -> pl.LazyFrame:
    """`clip_id` and the operator's columns of all clips that other shards keep.

    Only clips that were measured as `operator` measures now: signatures made in another way
    cannot be compared.

    Args:
        warehouse: Where the table is.
        table: The stage's own table.
        shard: The shard that is left out.
        operator: Who compares.
        version: Version to read; 0 where there is no table yet.
    """
    columns = [c.name for c in operator.columns]
    empty = pa.schema(
        [pa.field("clip_id", pa.string()), *(pa.field(c.name, c.type) for c in operator.columns)]
    )
    if version == 0:
        return pl.DataFrame(empty.empty_table()).lazy()
    literal = shard.replace("'", "''")
    batches = warehouse.scan(
        table,
        columns=["clip_id", *columns, "measured"],
        where=f"keep = true AND shard != '{literal}'",
        version=version,
    )
    prefix = operator.fingerprint()
    comparable = (
        pl.col("measured")
        .list.eval(pl.element().struct.field("fingerprint").str.starts_with(prefix))
        .list.any()
    )
    frames = [
        pl.DataFrame(batch).filter(comparable).select("clip_id", *columns) for batch in batches
    ]
    return pl.concat([pl.DataFrame(empty.empty_table()), *frames]).lazy()


def deduplicate(
    rows: pl.DataFrame, operator: Deduplicator, index: pl.LazyFrame
) -> tuple[pl.DataFrame, Callable[[Tally], Tally]]:
    """Reject the rows that repeat others.

    Args:
        rows: The shard's rows, measured; only kept ones are compared.
        operator: Who compares.
        index: What other shards keep.

    Returns:
        The rows with `duplicate_of` and `duplicate_distance`, and a function that adds the
        rejections to the operator's tally.
    """
    columns = [c.name for c in operator.columns]
    found = operator.match(rows.filter("keep").select("clip_id", *columns), index)
    types = dict(pl.DataFrame(pa.schema([c.field for c in DUPLICATE_COLUMNS]).empty_table()).schema)
    found = found.select("clip_id", *types).cast(types)  # type: ignore[arg-type]
    found = found.unique("clip_id", keep="first", maintain_order=True)
    joined = rows.drop(types.keys(), strict=False).join(
        found, on="clip_id", how="left", maintain_order="left"
    )
    duplicate = pl.col("duplicate_of").is_not_null()
    result = joined.with_columns(
        pl.col("keep") & ~duplicate,
        pl.when(duplicate)
        .then(pl.lit(operator.name))
        .otherwise("rejected_by")
        .alias("rejected_by"),
    )

    def add(tally: Tally) -> Tally:
        return dataclasses.replace(tally, rejected=len(found), rows_out=tally.rows_out - len(found))

    return result, add
