"""What was measured of a source's clips, kept by fingerprint: the table `<source>/results`.

A result is a fact about content: which stage, recipe or threshold it was
measured for does not matter, and a stage's table may drop its row. Here:
looking results up, and the union by which they grow. Not here: files of results
that no table holds yet (`results_spool.py`), what a result means
(`engine/known_results.py`). docs/adr/0013-results-outlive-decisions.md has the
layouts that were compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from dj_ops_lib.warehouse import read
from dj_ops_lib.warehouse.growing import unite
from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA, results_table
from dj_ops_lib.warehouse.store import Store

_KEY = ["digest", "subject"]


def stored(store: Store, source: str, shard: str, operators: Sequence[str]) -> pa.Table:
    """The results of a shard, of these operators; columns of `RESULT_SCHEMA`."""
    table = results_table(source)
    if store.find(table) is None:
        return RESULT_SCHEMA.empty_table()
    names = ", ".join(map(literal, operators))
    found = read.read_shard(
        store, table, shard, columns=RESULT_SCHEMA.names, where=f"operator IN ({names})"
    )
    return pa.Table.from_batches(list(found), RESULT_SCHEMA)


def elsewhere(store: Store, source: str, subjects: pa.Array) -> pa.Table:
    """The results about any of these subjects, whichever shard they were measured for.

    One scan of the column `subject`: 0.1 s of CPU for ten million results, where an index takes
    8 s for ten thousand subjects (2026-11-25).

    Args:
        store: The warehouse.
        source: Name of the source.
        subjects: As in the column, `binary(16)`; no nulls.
    """
    dataset = store.find(results_table(source))
    if dataset is None or not len(subjects):
        return RESULT_SCHEMA.empty_table()
    wanted = np.unique(_halves(subjects))
    some = np.zeros(65536, dtype=bool)
    some[wanted >> np.uint64(48)] = True
    places: list[npt.NDArray[np.int64]] = []
    begin = 0
    for batch in dataset.scanner(columns=["subject"]).to_batches():
        halves = _halves(batch.column("subject"))
        likely = np.flatnonzero(some[halves >> np.uint64(48)])
        at = np.searchsorted(wanted, halves[likely])
        hit = likely[wanted[np.minimum(at, len(wanted) - 1)] == halves[likely]]
        places.append(hit + begin)
        begin += batch.num_rows
    rows = np.concatenate(places) if places else np.empty(0, np.int64)
    if not len(rows):
        return RESULT_SCHEMA.empty_table()
    return dataset.take(rows.tolist(), columns=RESULT_SCHEMA.names).cast(RESULT_SCHEMA)


def _halves(column: pa.Array) -> npt.NDArray[np.uint64]:
    """The first eight bytes of every value: enough to tell nearly all apart."""
    size = 16
    buffer = column.buffers()[1]
    flat = np.frombuffer(buffer, np.uint8)[column.offset * size :][: len(column) * size]
    return flat.view(np.uint64).reshape(-1, 2)[:, 0]


def fold(
    store: Store, source: str, shard: str, fresh: Iterable[pa.Table], provenance: Provenance
) -> int | None:
    """Unite results with those that the table holds for a shard, in one commit.

    Args:
        store: The warehouse.
        source: Name of the source.
        shard: Name of the shard.
        fresh: Results, columns of `RESULT_SCHEMA`.
        provenance: What the commit says about itself.

    Returns:
        The version that holds them; None where there was nothing new, and nothing was written.

    Raises:
        ConflictError: Other runs of the same shard were faster again and again.
    """
    new = pa.concat_tables([RESULT_SCHEMA.empty_table(), *fresh])
    return unite(
        store,
        results_table(source),
        shard,
        schema=RESULT_SCHEMA,
        united=lambda old: united(old, new),
        provenance=provenance,
    )


def united(old: pa.Table, new: pa.Table) -> pa.Table | None:
    """Old and new results, one for each fingerprint; None if nothing new is among them.

    A result is worth more than a failed attempt, and the failure that counts more attempts more
    than another; of equals the older one stays.
    """
    frame = pl.concat(
        [
            pl.DataFrame(old).with_columns(_new=pl.lit(False)),
            pl.DataFrame(new).with_columns(_new=pl.lit(True)),
        ]
    )
    attempts = pl.col("error").struct.field("attempts").fill_null(0)
    failed = pl.col("error").struct.field("class").is_not_null()
    best = frame.sort(failed, -attempts, "_new", maintain_order=True)
    best = best.unique(_KEY, keep="first", maintain_order=True)
    if not best["_new"].any():
        return None
    return best.drop("_new").to_arrow().cast(RESULT_SCHEMA)
