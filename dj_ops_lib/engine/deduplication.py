"""Which of several copies is kept: one answer, whatever the order in which shards are made.

Pure: frames in, frames out. The operator says which clips repeat each other and
which is the better; here is what follows for the shard that is made, and for
what other shards hold. A clip is kept exactly if no better copy of it is kept.
Not here: reading what other shards hold (`published.py`), writing what
follows for them (`settling.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from dj_ops_lib.operator import DUPLICATE_COLUMNS, Deduplicator

VERDICT = dict(pl.DataFrame(pa.schema([c.field for c in DUPLICATE_COLUMNS]).empty_table()).schema)
"""`duplicate_of` and `duplicate_distance`, in their Polars types; null for a clip that is kept."""

Ranks = npt.NDArray[np.uint32]


def deduplicate(
    rows: pl.DataFrame, shard: str, operator: Deduplicator, published: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reject the rows of a shard that repeat others, and find what that means for other shards.

    Where the operator prefers no quality, a clip that another shard keeps stays kept: copies in
    `rows` are rejected. Where it does, the better copy stays, wherever it is, and of equally
    good ones the one whose clip_id comes first. A clip of another shard that was rejected for a
    copy which is not kept any more is decided again.

    Args:
        rows: The shard's rows, measured; only kept ones are compared.
        shard: Its name.
        operator: Who compares.
        published: What the table holds, as `published.published` reads it.

    Returns:
        The rows with `duplicate_of` and `duplicate_distance`; and the rows of other shards that
        must change, as `shard`, `clip_id`, `duplicate_of` and `duplicate_distance`, null for a
        clip that is to be kept.
    """
    names = ["clip_id", *operator.compares, *operator.prefers]
    own = rows.filter(pl.col("keep") & pl.col(operator.compares[0]).is_not_null()).select(names)
    of_shard = pl.col("shard") == shard
    before, others = published.filter(of_shard & pl.col("keep")), published.filter(~of_shard)
    # A clip that another shard has too, say of an older layout, is no copy of itself.
    others = others.join(rows.select("clip_id"), on="clip_id", how="anti")
    kept, rejected = others.filter("keep"), others.filter(~pl.col("keep"))
    # What was rejected for a clip that is as it was then need not be looked at.
    same = own.join(before, on=names, how="semi", nulls_equal=True)
    standing = pl.concat([kept["clip_id"], same["clip_id"]])
    copies = _Copies(operator, kept)
    copies.add(own.with_columns(pl.lit(shard).alias("shard")))
    again = rejected.filter(~pl.col("duplicate_of").is_in(standing.implode()))
    while True:
        copies.add(again.sort("shard", "clip_id"))
        verdicts = copies.verdicts()
        rejected = rejected.join(again, on=["shard", "clip_id"], how="anti")
        beaten = verdicts.filter(pl.col("duplicate_of").is_not_null())["clip_id"]
        again = rejected.filter(pl.col("duplicate_of").is_in(beaten.implode()))
        if again.is_empty():
            break
    mine = verdicts.filter(of_shard).drop("shard")
    joined = rows.drop(VERDICT.keys(), strict=False).join(
        mine, on="clip_id", how="left", maintain_order="left"
    )
    return _rejecting(joined, operator), _changes(verdicts.filter(~of_shard), others)


def redecide(rows: pl.DataFrame, changes: pl.DataFrame, operator: Deduplicator) -> pl.DataFrame:
    """Apply what `deduplicate` found for another shard.

    Args:
        rows: The other shard's `clip_id`, `keep`, `rejected_by`, `duplicate_of` and
            `duplicate_distance`.
        changes: `clip_id`, `duplicate_of` and `duplicate_distance` of those that must change.
        operator: Who compares.

    Returns:
        The same rows and columns, changed.
    """
    verdicts = changes.select("clip_id", *VERDICT, keep=True, rejected_by=pl.lit(None, pl.String))
    return _rejecting(rows.update(verdicts, on="clip_id", include_nulls=True), operator)


def _rejecting(rows: pl.DataFrame, operator: Deduplicator) -> pl.DataFrame:
    """The rows, with `keep` and `rejected_by` as their `duplicate_of` says."""
    duplicate = pl.col("duplicate_of").is_not_null()
    return rows.with_columns(
        pl.col("keep") & ~duplicate,
        pl.when(duplicate)
        .then(pl.lit(operator.name))
        .otherwise("rejected_by")
        .alias("rejected_by"),
    )


def _changes(verdicts: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The verdicts that say something else than the table does."""
    names = ["shard", "clip_id", "duplicate_of"]
    stored = others.select(names).join(verdicts, on=names[:2], how="semi")
    return verdicts.join(stored, on=names, how="anti", nulls_equal=True)


class _Copies:
    """The clips that are compared, which of them repeat which, and what follows.

    Equal clips that are added together stand as one, the best of them: a shard with a thousand
    copies of one clip has no pair, and not a million. Clips are known by numbers: those that are
    added by 0, 1, ..., those that other shards keep by -1, -2, ...

    Args:
        operator: Who compares.
        kept: The clips that other shards keep: `shard`, `clip_id` and the operator's columns.
    """

    def __init__(self, operator: Deduplicator, kept: pl.DataFrame) -> None:
        self._operator = operator
        self._kept = kept.select("shard", "clip_id", *operator.compares, *operator.prefers)
        self._clips = self._numbered(self._kept.clear(), 0)
        self._pairs = pl.DataFrame(schema={"a": pl.Int64, "b": pl.Int64, "distance": pl.Float64})

    def add(self, clips: pl.DataFrame) -> None:
        """Compare clips with what other shards keep, with each other and with all added before.

        Args:
            clips: Likewise, in the order in which the first is kept where none is better.
        """
        if clips.is_empty():
            return
        added = self._best_first(clips.select(self._kept.columns))
        added = self._numbered(added, len(self._clips))
        self._clips = pl.concat([self._clips, added])
        new, known = (_standing(c) for c in (added, self._clips))
        found = self._operator.pairs(new, self._kept)
        self._note(new["number"].gather(found["clip"]), -1 - found["known"].cast(pl.Int64), found)
        found = self._operator.pairs(new, known)
        a, b = new["number"].gather(found["clip"]), known["number"].gather(found["known"])
        self._note(a, b, found)

    def _numbered(self, clips: pl.DataFrame, first: int) -> pl.DataFrame:
        """With `number`, and as `stands` the number of the clip that stands for it."""
        numbers = pl.int_range(first, first + pl.len(), dtype=pl.Int64)
        stands = pl.col("number").first().over(self._operator.compares)
        return clips.with_columns(number=numbers).with_columns(stands=stands)

    def _best_first(self, clips: pl.DataFrame) -> pl.DataFrame:
        prefers = self._operator.prefers
        if not prefers:
            return clips
        descending = [*(True for _ in prefers), False]
        return clips.sort(*prefers, "clip_id", descending=descending, nulls_last=True)

    def _note(self, a: pl.Series, b: pl.Series, found: pl.DataFrame) -> None:
        pairs = pl.DataFrame({"a": a, "b": b, "distance": found["distance"]})
        self._pairs = pl.concat([self._pairs, pairs.filter(pl.col("a") != pl.col("b"))])

    def verdicts(self) -> pl.DataFrame:
        """What follows, for the clips that were added and those elsewhere that repeat one of them.

        Returns:
            `shard`, `clip_id`, `duplicate_of` and `duplicate_distance`.
        """
        met = self._pairs["b"].filter(self._pairs["b"] < 0).unique(maintain_order=True)
        kept = self._kept[(-1 - met).to_list()].with_columns(number=met, stands=met)
        # Where none is better, what is kept elsewhere comes before what was added.
        ranked = pl.concat([kept.sort("clip_id"), _standing(self._clips)])
        ranked = self._best_first(ranked).with_row_index("rank")
        ranked = ranked.join(self._named(ranked), on="rank", how="left", maintain_order="left")
        first = ranked.select(*VERDICT, of="clip_id", stands="number")
        equal = self._clips.filter(pl.col("number") != pl.col("stands")).join(first, on="stands")
        equal = equal.with_columns(
            pl.coalesce("duplicate_of", "of"), pl.col("duplicate_distance").fill_null(0.0)
        )
        names = ["shard", "clip_id", *VERDICT]
        return pl.concat([ranked.select(names), equal.select(names)])

    def _named(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """The nearest kept clip that each rejected one repeats.

        Args:
            ranked: The clips, each before those that are rejected for it.

        Returns:
            `rank` of the rejected clip, `duplicate_of` and `duplicate_distance`.
        """
        rank = ranked.select("rank", "number")
        pairs = self._pairs
        for end in ("a", "b"):
            pairs = pairs.join(rank.rename({"rank": f"rank_{end}", "number": end}), on=end)
        pairs = pairs.select(
            pl.max_horizontal("rank_a", "rank_b").alias("rank"),
            pl.min_horizontal("rank_a", "rank_b").alias("of"),
            "distance",
        )
        rejected = _rejected(pairs["rank"].to_numpy(), pairs["of"].to_numpy(), len(ranked))
        if not self._operator.prefers:
            # One that comes later may be the nearest; another run would name it, so this one does.
            pairs = pl.concat([pairs, pairs.select(rank="of", of="rank", distance="distance")])
        told = pairs.filter(rejected[pairs["rank"].to_numpy()] & ~rejected[pairs["of"].to_numpy()])
        told = told.with_columns(ranked["clip_id"].gather(told["of"]).alias("duplicate_of"))
        nearest = told.sort("rank", "distance", "duplicate_of").unique("rank", keep="first")
        return nearest.select("rank", "duplicate_of", duplicate_distance="distance")


def _standing(clips: pl.DataFrame) -> pl.DataFrame:
    return clips.filter(pl.col("number") == pl.col("stands"))


def _rejected(worse: Ranks, better: Ranks, clips: int) -> npt.NDArray[np.bool_]:
    """Whether each clip repeats a kept one of a lower rank.

    Args:
        worse: The higher rank of each pair of clips that repeat each other.
        better: The lower one; 0 is kept in any case.
        clips: Number of clips.
    """
    rejected = np.zeros(clips, dtype=bool)
    # Pairs come by their worse clip, so whether the better one is kept is known by then.
    for i in np.argsort(worse, kind="stable"):
        if not rejected[better[i]]:
            rejected[worse[i]] = True
    return rejected
