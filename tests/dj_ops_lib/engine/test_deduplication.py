"""Which copy is kept: tables in memory, shards made in every order, again, grown and shrunk."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dj_ops_lib.engine.deduplication import VERDICT, deduplicate, redecide
from dj_ops_lib.operator import Deduplicator
from dj_ops_lib.operators.deduplicators.video_deduplicator import VideoDeduplicator
from dj_ops_lib.operators.deduplicators.video_near_deduplicator import VideoNearDeduplicator
from dj_ops_lib.registry import operator_class

operator_class("video_deduplicator"), operator_class("video_near_deduplicator")  # name them

STEP = 10
"""Each quarter of a hash is a number of leading ones, 10 apart; up to 64 of 256 bits may differ,
and 24 of a quarter."""

COLUMNS = {
    "clip_id": pl.String,
    "video_perceptual_hash": pl.String,
    "video_hash_parts": pl.Int8,
    "video_hash_pixels": pl.Int64,
    "video_hash_bit_rate": pl.Int64,
    "video_hash_duration": pl.Float64,
}


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip that repeats those of its own level and of the next ones, up and down."""

    clip_id: str
    level: int | None
    pixels: int

    @property
    def row(self) -> tuple[Any, ...]:
        if self.level is None:
            return self.clip_id, None, None, self.pixels, None, 1.0
        digits = f"{(1 << STEP * self.level) - 1:016x}" * 4
        return self.clip_id, digits, 15, self.pixels, None, 1.0

    def repeats(self, other: Clip) -> bool:
        return self.level is not None and other.level is not None and (
            abs(self.level - other.level) <= 1
        )  # fmt: skip


class Table:
    """A stage's table, in memory."""

    def __init__(self, operator: Deduplicator) -> None:
        self.operator = operator
        self.shards: dict[str, pl.DataFrame] = {}

    def run(self, shard: str, clips: list[Clip]) -> None:
        rows = pl.DataFrame([c.row for c in clips], COLUMNS, orient="row").with_columns(
            keep=True, rejected_by=pl.lit(None, pl.String)
        )
        made, changes = deduplicate(rows, shard, self.operator, self.published())
        self.shards[shard] = made
        for (name,), own in changes.group_by("shard"):
            names = ["clip_id", "keep", "rejected_by", *VERDICT]
            other = self.shards[str(name)]
            after = redecide(other.select(names), own, self.operator)
            self.shards[str(name)] = other.with_columns(after.get_columns())

    def published(self) -> pl.DataFrame:
        names = {"shard": pl.String, "keep": pl.Boolean, "duplicate_of": pl.String} | COLUMNS
        frames = [f.with_columns(pl.lit(s).alias("shard")) for s, f in self.shards.items()]
        hashed = pl.col("video_perceptual_hash").is_not_null()
        return pl.concat(
            [pl.DataFrame(schema=names), *(f.select(list(names)).filter(hashed) for f in frames)]
        )

    def kept(self) -> set[str]:
        return {i for f in self.shards.values() for i in f.filter("keep")["clip_id"]}

    def rejected(self) -> dict[str, str]:
        frames = (f.filter(~pl.col("keep")) for f in self.shards.values())
        return {i: of for f in frames for i, of in f.select("clip_id", "duplicate_of").iter_rows()}


def best(clips: list[Clip]) -> set[str]:
    """From the best to the worst: whoever repeats none that is kept."""
    kept: list[Clip] = []
    for clip in sorted(clips, key=lambda c: (-c.pixels, c.clip_id)):
        if not any(clip.repeats(k) for k in kept):
            kept.append(clip)
    return {c.clip_id for c in kept}


SHARDS = "xyz"
clips_of_a_shard = st.lists(
    st.tuples(st.sampled_from([None, 0, 1, 2, 3, 4]), st.integers(1, 3)), max_size=5
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, list[Clip]]]:
    """Shards in some order, each some times, with the same clips or fewer."""
    clips = {}
    for shard in SHARDS:
        drawn = draw(clips_of_a_shard)
        names = draw(st.permutations(range(len(drawn))))
        clips[shard] = [Clip(f"{n}{shard}", *d) for n, d in zip(names, drawn, strict=True)]
    steps = draw(st.lists(st.sampled_from(SHARDS), min_size=1, max_size=7))
    return [
        (shard, [c for c in clips[shard] if draw(st.integers(0, 4))])
        if draw(st.booleans())
        else (shard, clips[shard])
        for shard in steps
    ]


@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_the_best_copies_are_kept_after_every_step_whatever_the_order(
    history: list[tuple[str, list[Clip]]],
) -> None:
    table, now = Table(VideoNearDeduplicator(policy="best")), {}
    for shard, clips in history:
        table.run(shard, clips)
        now[shard] = clips
        everything = [c for shard_clips in now.values() for c in shard_clips]
        assert table.kept() == best(everything)
        by_id = {c.clip_id: c for c in everything}
        for clip_id, of in table.rejected().items():
            assert of in table.kept()
            assert by_id[clip_id].repeats(by_id[of])


@settings(max_examples=60, deadline=None)
@given(history=histories())
def test_what_was_kept_first_stays_and_what_was_rejected_for_it_is_not_lost(
    history: list[tuple[str, list[Clip]]],
) -> None:
    table, now = Table(VideoNearDeduplicator()), {}
    for shard, clips in history:
        before = table.kept()
        table.run(shard, clips)
        now[shard] = clips
        by_id = {c.clip_id: c for shard_clips in now.values() for c in shard_clips}
        kept = [by_id[i] for i in table.kept()]
        others = {c.clip_id for s, of_shard in now.items() if s != shard for c in of_shard}
        assert before & others <= table.kept()
        assert not [(a, b) for a in kept for b in kept if a.clip_id < b.clip_id and a.repeats(b)]
        for clip_id, of in table.rejected().items():
            assert of in table.kept()
            assert by_id[clip_id].repeats(by_id[of])


@settings(max_examples=20, deadline=None)
@given(history=histories())
def test_running_a_shard_again_changes_nothing(history: list[tuple[str, list[Clip]]]) -> None:
    for policy in ("first", "best"):
        table = Table(VideoNearDeduplicator(policy=policy))
        for shard, clips in history:
            table.run(shard, clips)
            before = dict(table.shards)
            table.run(shard, clips)
            assert all(before[s].equals(f) for s, f in table.shards.items())


@settings(max_examples=30, deadline=None)
@given(history=histories())
def test_changing_the_policy_and_running_all_shards_gives_the_best(
    history: list[tuple[str, list[Clip]]],
) -> None:
    table, now = Table(VideoNearDeduplicator()), {}
    for shard, clips in history:
        table.run(shard, clips)
        now[shard] = clips
    table.operator = VideoNearDeduplicator(policy="best")
    for shard, clips in now.items():
        table.run(shard, clips)
    assert table.kept() == best([c for clips in now.values() for c in clips])


def test_a_better_copy_brings_back_what_only_the_worse_one_repeated() -> None:
    near, middle, far = Clip("a", 0, 1), Clip("b", 1, 2), Clip("c", 2, 3)
    table = Table(VideoNearDeduplicator(policy="best"))
    table.run("x", [near])
    table.run("y", [middle])
    assert (table.kept(), table.rejected()) == ({"b"}, {"a": "b"})
    table.run("z", [far])
    assert (table.kept(), table.rejected()) == ({"a", "c"}, {"b": "c"})
    table.run("z", [])
    assert (table.kept(), table.rejected()) == ({"b"}, {"a": "b"})


@pytest.mark.parametrize("policy", ["first", "best"])
def test_a_clip_whose_video_was_replaced_is_no_copy_any_more(policy: Any) -> None:
    table = Table(VideoNearDeduplicator(policy=policy))
    table.run("x", [Clip("a", 0, 2)])
    table.run("y", [Clip("b", 1, 1)])
    assert (table.kept(), table.rejected()) == ({"a"}, {"b": "a"})
    table.run("x", [Clip("a", 4, 2)])
    assert (table.kept(), table.rejected()) == ({"a", "b"}, {})


@pytest.mark.parametrize("policy", ["first", "best"])
def test_a_shard_of_many_copies_of_one_clip_has_no_pairs_to_compare(policy: Any) -> None:
    asked: list[int] = []

    class Counting(VideoNearDeduplicator):
        def pairs(self, clips: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
            asked.append(len(clips))
            return super().pairs(clips, known)

    table = Table(Counting(policy=policy))
    table.run("x", [Clip(f"{i:06}", 1, 1) for i in range(20_000)])
    assert table.kept() == {"000000"}
    assert set(asked) == {1}


def test_equal_clips_follow_the_one_that_stands_for_them() -> None:
    table = Table(VideoNearDeduplicator(policy="best"))
    table.run("x", [Clip("a", 0, 1), Clip("b", 0, 2)])
    assert table.rejected() == {"a": "b"}
    table.run("y", [Clip("c", 1, 3)])
    assert table.rejected() == {"a": "c", "b": "c"}
    assert table.shards["x"]["duplicate_distance"].to_list() == [STEP / 64] * 2


def test_exact_copies_are_those_that_are_equal_in_all_that_is_compared() -> None:
    clips = pl.DataFrame({"video_hash": ["1", "1", "2"], "video_text_hash": ["t", None, "t"]})
    known = pl.DataFrame({"video_hash": ["2", "1"], "video_text_hash": ["t", None]})

    def pairs(operator: Deduplicator) -> list[tuple[Any, ...]]:
        return sorted(operator.pairs(clips, known).rows())

    assert pairs(VideoDeduplicator()) == [(0, 1, 0.0), (1, 1, 0.0), (2, 0, 0.0)]
    assert pairs(VideoDeduplicator(consider_text=True)) == [(1, 1, 0.0), (2, 0, 0.0)]
