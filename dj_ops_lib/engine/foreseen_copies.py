"""Which copies a deduplicating stage would keep if all its shards were made again, one by one.

What `settling.py` does with tables, done with what is known of them in memory.
Not here: what the stage measures before it compares (`forecast.py`).
"""

from __future__ import annotations

import polars as pl

from dj_ops_lib.engine.deduplication import deduplicate
from dj_ops_lib.engine.published import published
from dj_ops_lib.operator import Deduplicator
from dj_ops_lib.warehouse import Warehouse


class ForeseenCopies:
    """The clips that are compared, shard by shard.

    Args:
        warehouse: Where the tables are.
        table: The stage's table.
        operator: Who compares.
        version: The table's version; 0 where there is none yet.
    """

    def __init__(
        self, warehouse: Warehouse, table: str, operator: Deduplicator, version: int
    ) -> None:
        self._operator = operator
        self._published = published(warehouse, table, operator, version)
        self._noted: list[pl.DataFrame] = []

    def copies(self, rows: pl.DataFrame, shard: str) -> pl.Series:
        """Which rows would be rejected as copies when the shard is made after those before it.

        Args:
            rows: The shard's rows, measured; those that are kept are compared.
            shard: Its name.
        """
        result, changes = deduplicate(rows, shard, self._operator, self._published)
        compared = pl.col(self._operator.compares[0]).is_not_null()
        decided = pl.col("keep") | pl.col("rejected_by").eq_missing(self._operator.name)
        own = result.filter(compared & decided).with_columns(shard=pl.lit(shard))
        others = self._published.filter(pl.col("shard") != shard)
        changed = changes.select(
            "shard", "clip_id", _of=pl.col("duplicate_of"), _changed=pl.lit(True)
        )
        others = others.join(changed, on=["shard", "clip_id"], how="left").with_columns(
            keep=pl.when("_changed").then(pl.col("_of").is_null()).otherwise("keep"),
            duplicate_of=pl.when("_changed").then("_of").otherwise("duplicate_of"),
        )
        names = self._published.columns
        self._published = pl.concat([others.select(names), own.select(names)])
        return result["duplicate_of"].is_not_null()

    def note(self, shard: str, kept: pl.Series, before: pl.Series, undecided: list[str]) -> None:
        """Remember a shard's clips until all shards are known.

        Args:
            shard: Its name.
            kept: Ids of those that would be kept.
            before: Ids of those that the table keeps.
            undecided: Ids of those of which it is not known.
        """
        after = pl.DataFrame({"clip_id": kept}, schema={"clip_id": pl.String})
        now = pl.DataFrame({"clip_id": before}, schema={"clip_id": pl.String})
        both = after.with_columns(after=pl.lit(True)).join(
            now.with_columns(before=pl.lit(True)), on="clip_id", how="full", coalesce=True
        )
        self._noted.append(
            both.with_columns(
                pl.lit(shard).alias("shard"),
                pl.col("after").fill_null(False),
                pl.col("before").fill_null(False),
                undecided=pl.col("clip_id").is_in(undecided),
            )
        )

    def changed(self) -> tuple[int, int]:
        """How many clips enter, and how many leave, after the last shard."""
        if not self._noted:
            return 0, 0
        final = self._published.select("shard", "clip_id", "keep")
        clips = pl.concat(self._noted).join(final, on=["shard", "clip_id"], how="left")
        after = pl.col("keep").fill_null(pl.col("after"))
        counts = clips.select(
            enter=(after & ~pl.col("before") & ~pl.col("undecided")).sum(),
            leave=(pl.col("before") & ~after & ~pl.col("undecided")).sum(),
        )
        return int(counts["enter"].item()), int(counts["leave"].item())
