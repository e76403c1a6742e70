"""What a deduplicating stage's table holds, as far as clips are compared by it.

Every shard that is made reads this of all others, so it is a few narrow columns.
Not here: comparing (`deduplication.py`).
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from dj_ops_lib.operator import Deduplicator
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.history import shard_commits
from dj_ops_lib.warehouse.locate import literal


def published(
    warehouse: Warehouse, table: str, operator: Deduplicator, version: int
) -> pl.DataFrame:
    """The clips of all shards that `operator` kept, or rejected as copies.

    Only of shards that were measured as it measures now, as their commits tell: signatures made
    in another way cannot be compared.

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
    alike = [
        shard
        for shard, commit in shard_commits(warehouse.history(table)).items()
        if commit.provenance is not None
        and any(use.digest == operator.digest() for use in commit.provenance.operators)
    ]
    return found.filter(pl.col("shard").is_in(alike))
