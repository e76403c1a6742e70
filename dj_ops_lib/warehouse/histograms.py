"""The histograms of a table as it is, from the records of its commits.

Every commit that changes rows carries the histograms of the shards that it wrote or took rows
from, so no row is read. Not here: counting (`counting.py`), adding up (`dj_ops_lib.histograms`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from dj_ops_lib.histograms import Histogram, total
from dj_ops_lib.warehouse.history import newest
from dj_ops_lib.warehouse.read import present
from dj_ops_lib.warehouse.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Histograms:
    """The histograms of some shards of a table.

    Attributes:
        by_shard: One for each statistic of a shard, by the shard's name.
        unknown: Shards that have rows and of which nobody counted the statistics: a release of
            before histograms wrote them, or somebody who is not this warehouse. They are in no
            sum; once made again, they are known.
    """

    by_shard: Mapping[str, tuple[Histogram, ...]]
    unknown: tuple[str, ...] = ()

    @property
    def total(self) -> tuple[Histogram, ...]:
        """One a statistic over all shards that are known; see `dj_ops_lib.histograms.total`."""
        return total(one for found in self.by_shard.values() for one in found)


def histograms(
    store: Store, table: str, shards: Iterable[str] | None, version: int | str | None
) -> Histograms:
    """See `Warehouse.histograms`."""
    dataset = store.open(table, version)
    asked = None if shards is None else set(shards)
    found: dict[str, tuple[Histogram, ...] | None] = {}
    for commit in newest(store, table, dataset):
        if not commit.changes_rows:
            continue
        counted = commit.histograms
        for shard, records in (counted or {}).items():
            if shard not in found:
                found[shard] = tuple(map(Histogram.from_record, records))
        if commit.shard is not None:
            found.setdefault(commit.shard, None)
        if commit.kind in {"restore", "overwrite"}:
            break
        if commit.kind == "takedown" and counted is None and commit.details.get("rows"):
            break
        if asked is not None and asked <= found.keys():
            break
    known = {s: h for s, h in found.items() if h is not None and (asked is None or s in asked)}
    unknown: set[str] = set()
    if asked is None or not asked <= known.keys():
        there = {s for s in (*found, *present(dataset)) if asked is None or s in asked}
        unknown = there - known.keys()
    return Histograms(dict(sorted(known.items())), tuple(sorted(unknown)))
