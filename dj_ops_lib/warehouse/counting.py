"""Counting the statistics of rows into the histograms of their shard.

What is counted, and between which edges, is what the table's fields say (`histograms.of_field`).
Here: rows on their way into a table, and the rows that a removal leaves. Not here: where counts
are kept and how they are read (`histograms.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dj_ops_lib.histograms import Edges, Histogram, of_field
from dj_ops_lib.warehouse.locate import holders, literal

if TYPE_CHECKING:
    import lance
    import numpy.typing as npt

Recorded = Mapping[str, Sequence[Mapping[str, Any]]]
"""Histograms by shard, as in a commit's record."""

_MARKED = 2
"""Places behind the bins: values that are no numbers, and nulls."""


class Counting:
    """Histograms by shard, of batches that come one by one.

    1,000 rows of 17 statistics take 3 ms of CPU (2026-11-26).

    Args:
        schema: Its fields say what is counted.
        shard: The shard of all rows; None where each row's `shard` names it.
    """

    def __init__(self, schema: pa.Schema, shard: str | None = None) -> None:
        self._statistics = {f.name: s for f in schema if (s := of_field(f)) is not None}
        self._shard = shard
        self._counts: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
        self.clear()

    @property
    def columns(self) -> list[str]:
        """Names of the statistics."""
        return list(self._statistics)

    def clear(self) -> None:
        """Forget every row."""
        self._counts = {}
        if self._shard is not None:
            self._of(self._shard)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        if self._shard is not None or "shard" not in batch.schema.names:
            self._add(self._shard or "", batch)
            return
        shards = batch.column("shard")
        for shard in pc.unique(shards.drop_null()).to_pylist():
            self._add(shard, batch.filter(pc.equal(shards, shard)))

    def record(self) -> Recorded:
        """What was counted; every shard that was seen is there, if there is nothing to count."""
        return {
            shard: [
                _histogram(column, *self._statistics[column], counts).to_record()
                for column, counts in found.items()
            ]
            for shard, found in sorted(self._counts.items())
        }

    def _of(self, shard: str) -> dict[str, npt.NDArray[np.int64]]:
        if shard not in self._counts:
            self._counts[shard] = {
                column: np.zeros((2, edges.bins + 2 + _MARKED), np.int64)
                for column, (edges, _) in self._statistics.items()
            }
        return self._counts[shard]

    def _add(self, shard: str, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        kept = pc.fill_null(batch.column("keep"), False).to_numpy(False) if "keep" in names else ...
        for column, counts in self._of(shard).items():
            if column not in names:
                places = np.full(batch.num_rows, counts.shape[1] - 1)
            else:
                places = _places(batch.column(column), self._statistics[column][0])
            counts[0] += np.bincount(places, minlength=counts.shape[1])
            counts[1] += np.bincount(places[kept], minlength=counts.shape[1])


def left_behind(dataset: lance.LanceDataset, where: str) -> Recorded:
    """Histograms of the shards that hold rows of a condition, without these rows."""
    if "shard" not in dataset.schema.names:
        return {}
    gone = dataset.to_table(columns=["shard"], filter=where, with_row_address=True)
    addresses = gone["_rowaddr"].combine_chunks()
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    for shard in sorted(pc.unique(gone["shard"].drop_null()).to_pylist()):
        counting = Counting(dataset.schema, shard)
        wanted = ("keep", *counting.columns)
        rows = dataset.scanner(
            columns=[c for c in wanted if c in dataset.schema.names],
            filter=f"shard = {literal(shard)}",
            fragments=[f for i in holders(dataset, shard) if (f := dataset.get_fragment(i))],
            with_row_address=True,
        )
        for batch in rows.to_batches():
            stays = pc.invert(pc.is_in(batch.column("_rowaddr"), value_set=addresses))
            counting.add(batch.filter(stays))
        found |= counting.record()
    return found


def _places(values: pa.Array, edges: Edges) -> npt.NDArray[np.int64]:
    """The place of each value: 0 below, then the bins, above, no number, null."""
    borders = np.array(edges.values)
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    places: npt.NDArray[np.int64] = np.searchsorted(borders, numbers, side="right")
    places[numbers == borders[-1]] = edges.bins
    places[np.isnan(numbers)] = edges.bins + 2
    places[values.is_null().to_numpy(zero_copy_only=False)] = edges.bins + 3
    return places


def _histogram(
    column: str, edges: Edges, unit: str | None, counts: npt.NDArray[np.int64]
) -> Histogram:
    every, kept = counts.tolist()
    *every, nan, null = every
    return Histogram(column, edges, tuple(every), tuple(kept[:-_MARKED]), nan, null, unit)
