"""Tables that grow: a shard's rows are united with new ones, in one commit.

For facts that outlive the rows of stages: results and files. Not here: which of
two rows is the better one (the caller says).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from dj_ops_lib.errors import ConflictError
from dj_ops_lib.warehouse import read, write
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.store import Store

BATCH_ROWS = 64_000
"""Rows written at a time; also about what a fragment of a compacted table holds."""

_ROUNDS = 100
"""How often a union is begun again because another run of the same shard was faster."""


def unite(
    store: Store,
    table: str,
    shard: str,
    *,
    schema: pa.Schema,
    united: Callable[[pa.Table], pa.Table | None],
    provenance: Provenance,
) -> int | None:
    """Replace a shard's rows by their union with new ones.

    Of two runs that end on one shard neither erases what the other added. Never a plain append: one
    prepared before a takedown and committed after it brought the rows back (2026-11-25).

    Args:
        store: The warehouse.
        table: Name of the table.
        shard: Name of the shard.
        schema: Of the table.
        united: From the rows that are there to all that are to be there; None if nothing changes.
        provenance: What the commit says about itself.

    Returns:
        The version that holds them; None where there was nothing new, and nothing was written.

    Raises:
        ConflictError: Other runs of the same shard were faster a hundred times.
    """
    for _ in range(_ROUNDS):
        dataset = store.find(table)
        version = 0 if dataset is None else int(dataset.version)
        old = schema.empty_table()
        if version:
            found = read.read_shard(store, table, shard, columns=schema.names, version=version)
            old = pa.Table.from_batches(list(found), schema)
        rows = united(old)
        if rows is None:
            return None
        try:
            return write.replace_shard(
                store,
                table,
                shard,
                _of_shard(rows, shard),
                schema=schema,
                provenance=provenance,
                rests_on=version,
            )
        except ConflictError:
            continue
    raise ConflictError(
        f"table '{table}': shard '{shard}' was changed {_ROUNDS} times while rows were added to "
        "it; run fewer stages of one shard at a time"
    )


def _of_shard(rows: pa.Table, shard: str) -> Iterator[pa.RecordBatch]:
    """The rows as those of the shard, whichever they were made for."""
    place = rows.schema.get_field_index("shard")
    named = pa.repeat(pa.scalar(shard, pa.string()), rows.num_rows)
    rows = rows.set_column(place, rows.schema.field("shard"), named)
    yield from rows.to_batches(max_chunksize=BATCH_ROWS)
