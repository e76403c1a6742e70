"""What is kept of measurements, and which part of it nothing rests on any more.

Here: counting results, and removing chosen ones through the same replacement of
shards as every other change of them, so that history and tombstones hold. Not
here: how results are added (`results.py`), whether they are still true
(`engine/audit.py`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools

import polars as pl
import pyarrow as pa

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import read, results_spool
from dj_ops_lib.warehouse.growing import unite
from dj_ops_lib.warehouse.operator_uses import current_digests
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA, RESULTS, results_table
from dj_ops_lib.warehouse.results_spool import Waiting
from dj_ops_lib.warehouse.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class ResultCount:
    """The results of one operator.

    Attributes:
        source: Name of the source.
        operator: Name of the operator.
        in_use: Whether a table of the source rests on them, as it is now or as a tag keeps it;
            results by other parameters, or another version of the operator, are counted apart.
        results: How many, without failures.
        failures: Failed attempts.
        bytes: What was found, in bytes, as text and before compression.
        oldest: When the first of them was measured.
        newest: When the last was.
    """

    source: str
    operator: str
    in_use: bool
    results: int
    failures: int
    bytes: int
    oldest: dt.datetime
    newest: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Inventory:
    """All results.

    Attributes:
        stored: Those in tables, by source, operator and whether they are in use.
        waiting: Files that no table holds yet.
    """

    stored: tuple[ResultCount, ...]
    waiting: tuple[Waiting, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """Which results are meant: those that all of it holds for.

    Attributes:
        older_than: Measured longer ago than this.
        operator: By this operator.
        unused: That no table rests on; they are the only ones that are removed anyway, unless
            `even_used` says otherwise.
        even_used: Also those that a table rests on.
    """

    older_than: dt.timedelta | None = None
    operator: str | None = None
    unused: bool = False
    even_used: bool = False

    def check(self) -> None:
        """Refuse what would mean everything, or nothing.

        Raises:
            WarehouseError: No condition is given, or two that exclude each other.
        """
        if self.unused and self.even_used:
            raise WarehouseError("--unused and --even-used exclude each other; give one of them")
        if self.older_than is None and self.operator is None and not self.unused:
            raise WarehouseError(
                "say which results are to go: --unused, --operator NAME or --older-than DAYS"
            )

    def condition(self, used: frozenset[str], now: dt.datetime) -> pl.Expr:
        """The condition, over columns of results.

        Args:
            used: Digests that tables rest on.
            now: What ages are counted from.
        """
        chosen = pl.lit(True)
        if self.older_than is not None:
            chosen &= pl.col("at") < now - self.older_than
        if self.operator is not None:
            chosen &= pl.col("operator") == self.operator
        return chosen if self.even_used else chosen & ~_used(used)


@dataclasses.dataclass(frozen=True, slots=True)
class ResultsPruning:
    """Results of one source that were chosen to go.

    Attributes:
        source: Name of the source.
        results: How many, by operator.
        shards: Shards that hold them.
        removed: Whether they are gone; old versions hold them until cleanup.
    """

    source: str
    results: dict[str, int]
    shards: tuple[str, ...]
    removed: bool


def inventory(store: Store, source: str | None) -> Inventory:
    """See `Warehouse.results_inventory`."""
    found = [count for name in sources(store, source) for count in _counts(store, name)]
    waiting = [w for w in results_spool.waiting(store) if source in (None, w.source)]
    return Inventory(tuple(found), tuple(waiting))


def prune(
    store: Store, chosen: Chosen, *, source: str | None, remove: bool
) -> list[ResultsPruning]:
    """See `Warehouse.prune_results`."""
    chosen.check()
    now = dt.datetime.now(dt.UTC)
    found = []
    for name in sources(store, source):
        condition = chosen.condition(current_digests(store, name), now)
        counts = _chosen(store, name, condition)
        shards = tuple(counts["shard"].unique(maintain_order=True))
        if remove:
            for shard in shards:
                _remove(store, name, shard, condition)
        by_operator = counts.group_by("operator", maintain_order=True).agg(pl.col("len").sum())
        found.append(ResultsPruning(name, dict(by_operator.iter_rows()), shards, remove))
    return found


def _remove(store: Store, source: str, shard: str, condition: pl.Expr) -> None:
    provenance = Provenance(source=source, stage=RESULTS, reason="results were pruned")

    def without(rows: pa.Table) -> pa.Table | None:
        kept = pl.DataFrame(rows).filter(~condition)
        return None if len(kept) == rows.num_rows else kept.to_arrow().cast(RESULT_SCHEMA)

    unite(
        store,
        results_table(source),
        shard,
        schema=RESULT_SCHEMA,
        united=without,
        provenance=provenance,
    )


def sources(store: Store, source: str | None) -> list[str]:
    """See `Warehouse.sources_with_results`."""
    found = [t.removesuffix(f"/{RESULTS}") for t in store.tables() if t.endswith(f"/{RESULTS}")]
    found = [s for s in found if "/" not in s]
    if source is None:
        return found
    if source not in found:
        raise WarehouseError(
            f"there are no results of '{source}' in {store.uri}; there are some of "
            f"{', '.join(found) or 'no source'}"
        )
    return [source]


def _chosen(store: Store, source: str, condition: pl.Expr) -> pl.DataFrame:
    """How many results a condition holds for, `len`, by `shard` and `operator`."""
    columns, keys = ["shard", "operator", "digest", "at"], ["shard", "operator"]
    empty = pl.DataFrame(RESULT_SCHEMA.empty_table().select(columns))
    batches = read.scan(store, results_table(source), columns=columns)
    frames = itertools.chain([empty], map(pl.DataFrame, batches))
    counts = [frame.filter(condition).group_by(keys).len() for frame in frames]
    return pl.concat(counts).group_by(keys).agg(pl.col("len").sum()).sort(keys)


def _counts(store: Store, source: str) -> list[ResultCount]:
    columns = ["operator", "digest", "payload", "result", "error", "at"]
    failed = pl.col("error").struct.field("class").is_not_null()
    size = pl.sum_horizontal(pl.col(n).str.len_bytes().fill_null(0) for n in ("payload", "result"))
    keys = ["operator", "in_use"]
    used = _used(current_digests(store, source))
    parts = []
    for batch in read.scan(store, results_table(source), columns=columns):
        rows = pl.DataFrame(batch).with_columns(used.alias("in_use"), failed=failed, bytes=size)
        parts.append(
            rows.group_by(keys).agg(
                (~pl.col("failed")).sum().cast(pl.Int64).alias("results"),
                pl.col("failed").sum().cast(pl.Int64).alias("failures"),
                pl.col("bytes").sum().cast(pl.Int64),
                pl.col("at").min().alias("oldest"),
                pl.col("at").max().alias("newest"),
            )
        )
    if not parts:
        return []
    sums = pl.concat(parts).group_by(keys)
    counted = sums.agg(
        pl.col("results", "failures", "bytes").sum(),
        pl.col("oldest").min(),
        pl.col("newest").max(),
    ).sort("operator", "in_use", descending=[False, True])
    return [ResultCount(source, **row) for row in counted.to_dicts()]


def _used(digests: frozenset[str]) -> pl.Expr:
    values = [bytes.fromhex(d) for d in sorted(digests) if len(d) == 32]
    return pl.col("digest").is_in(pl.Series(values, dtype=pl.Binary).implode())
