"""What a deduplicating stage's table holds, as far as clips are compared by it.

Every shard that is made reads this of all others, so it is a few narrow columns.
Not here: comparing (`deduplication.py`).
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from dj_ops_lib.operator import Deduplicator
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.locate import literal


def published(
    warehouse: Warehouse, table: str, operator: Deduplicator, version: int
) -> pl.DataFrame:
    """The clips of all shards that `operator` kept, or rejected as copies.

    Only of shards that were measured as it measures now: signatures made in another way cannot be
    compared. One shard is written by one run, so one of its rows tells; the fingerprints of all
    rows of a million are 500 MB to read (2026-11-22).

    Args:
        warehouse: Where the table is.
        table: The stage's own table.
        operator: Who compares.
        version: Version to read; 0 where there is no table yet.

    Returns:
        `shard`, `clip_id`, `keep`, `duplicate_of`, and the columns that the operator compares and
        prefers by.
    """
    fields = [
        pa.field("shard", pa.string()),
        pa.field("clip_id", pa.string()),
        pa.field("keep", pa.bool_()),
        pa.field("duplicate_of", pa.string()),
        *(c.field for c in operator.columns if c.name in operator.compares + operator.prefers),
    ]
    empty = pl.DataFrame(pa.schema(fields).empty_table())
    if version == 0:
        return empty
    types = {f.name: f.type for f in warehouse.schema(table, version)}
    if any(types.get(f.name) != f.type for f in fields):
        return empty  # from before the stage had this operator
    decided = f"keep = true OR rejected_by = {literal(operator.name)}"
    batches = warehouse.scan(
        table,
        columns=empty.columns,
        where=f"{operator.compares[0]} IS NOT NULL AND ({decided})",
        version=version,
    )
    found = pl.concat([empty, *(pl.DataFrame(batch) for batch in batches)])
    examples = found.group_by("shard").agg(pl.col("clip_id").first())
    strange = _measured_otherwise(warehouse, table, operator, version, examples)
    return found.filter(~pl.col("shard").is_in(strange)) if strange else found


def _measured_otherwise(
    warehouse: Warehouse, table: str, operator: Deduplicator, version: int, examples: pl.DataFrame
) -> list[str]:
    """The shards whose example was measured otherwise than `operator` does.

    Args:
        warehouse: Where the table is.
        table: The table.
        operator: Who compares.
        version: Version to read.
        examples: `shard`, and the `clip_id` of one row that was measured.
    """
    ids = ", ".join(map(literal, examples["clip_id"]))
    prefix = operator.fingerprint()
    comparable: set[str] = set()
    if ids:
        for batch in warehouse.scan(
            table, columns=["shard", "measured"], where=f"clip_id IN ({ids})", version=version
        ):
            for row in batch.to_pylist():
                if any(m["fingerprint"].startswith(prefix) for m in row["measured"] or ()):
                    comparable.add(row["shard"])
    return [s for s in examples["shard"] if s not in comparable]
