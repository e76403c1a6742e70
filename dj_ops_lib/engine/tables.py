"""Between Polars frames and the warehouse's record batches."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from dj_ops_lib.warehouse import Warehouse

BATCH_ROWS = 8192


def read_frame(
    warehouse: Warehouse,
    table: str,
    shard: str,
    *,
    columns: Sequence[str] | None = None,
    where: str | None = None,
    version: int | None = None,
) -> pl.DataFrame:
    """The rows of a shard, with the table's columns also where it has no rows."""
    batches = warehouse.read_shard(table, shard, columns=columns, where=where, version=version)
    schema = warehouse.schema(table, version)
    if columns is not None:
        schema = pa.schema([schema.field(c) for c in columns])
    read = pl.from_arrow(pa.Table.from_batches(batches, schema), rechunk=False)
    assert isinstance(read, pl.DataFrame)  # from_arrow gives a Series for arrays only
    return read


def to_batches(rows: pl.DataFrame, schema: pa.Schema) -> list[pa.RecordBatch]:
    """The rows in the columns and types of `schema`; columns that are missing are null."""
    table = rows.select(n for n in schema.names if n in rows.columns).to_arrow()
    arrays = [
        table.column(field.name).cast(field.type)
        if field.name in rows.columns
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return list(pa.table(arrays, schema=schema).to_batches(max_chunksize=BATCH_ROWS))
