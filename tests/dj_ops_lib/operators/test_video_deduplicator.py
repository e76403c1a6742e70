"""Exact duplicates: hashes of packets, and which of equal clips stays."""

import hashlib

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.clip import Edit
from dj_ops_lib.engine.deduplication import deduplicate

NAME = "video_deduplicator"
PACKETS = [(b"key", 0.0), (b"delta", 0.04), (b"key2", 0.08), (b"delta2", 0.12)]


def hashed(operator, clip, packets=PACKETS, stream=0):
    observer = operator.observe(clip)
    for payload, pts_s in packets:
        observer.packet(payload, pts_s, stream)
    return observer.result()


def test_the_hash_is_the_md5_of_the_packets(op, clip):
    expected = hashlib.md5(b"".join(p for p, _ in PACKETS)).hexdigest()
    assert hashed(op(NAME), clip())["video_hash"] == expected


def test_a_clip_inside_a_file_is_the_packets_of_its_own_frames(op, clip):
    part = clip(start_s=0.08, end_s=0.16)
    expected = hashlib.md5(b"key2delta2").hexdigest()
    assert hashed(op(NAME), part)["video_hash"] == expected
    shifted = [(p, t + 5) for p, t in PACKETS]
    elsewhere = clip(start_s=5.08, end_s=5.16)
    assert hashed(op(NAME), elsewhere, shifted)["video_hash"] == expected


def test_edits_are_part_of_the_hash(op, clip):
    plain = hashed(op(NAME), clip())["video_hash"]
    edited = hashed(op(NAME), clip(edits=(Edit("hflip"),)))["video_hash"]
    assert plain != edited
    assert edited == hashed(op(NAME), clip(edits=(Edit("hflip"),)))["video_hash"]


def test_streams_do_not_mix(op, clip):
    observers = [op(NAME).observe(clip()) for _ in range(2)]
    for order, observer in zip(((0, 1), (1, 0)), observers, strict=True):
        for stream in order:
            observer.packet(b"%d" % stream, 0.0, stream)
    assert observers[0].result() == observers[1].result()


def test_a_clip_without_packets_has_no_hash_and_repeats_nothing(op, clip):
    assert hashed(op(NAME), clip(), [])["video_hash"] is None
    assert matched(op(NAME), [("a", None, "t"), ("b", None, "t")]) == []


SCHEMA = {"clip_id": pl.String, "video_hash": pl.String, "video_text_hash": pl.String}


def matched(operator, shard, index=()):
    """What a shard rejects, where another keeps the clips of the index."""
    rows, known = (pl.DataFrame(list(c), SCHEMA, orient="row") for c in (shard, index))
    nothing = pl.lit(None, pl.String)
    published = known.with_columns(shard=pl.lit("k"), keep=True, duplicate_of=nothing)
    rows = rows.with_columns(keep=True, rejected_by=nothing)
    found, changes = deduplicate(rows, "s", operator, published)
    assert changes.is_empty()
    found = found.filter(~pl.col("keep"))
    return found.select("clip_id", "duplicate_of", "duplicate_distance").rows()


def test_the_first_of_equal_clips_stays(op):
    shard = [("b", "1", None), ("a", "1", None), ("c", "2", None), ("d", "1", None)]
    assert matched(op(NAME), shard) == [("a", "b", 0.0), ("d", "b", 0.0)]


def test_a_clip_that_another_shard_keeps_wins_over_the_shards_own(op):
    shard = [("b", "1", None), ("a", "1", None), ("c", "2", None)]
    index = [("z", "1", None), ("y", "1", None), ("x", "9", None)]
    assert matched(op(NAME), shard, index) == [("b", "y", 0.0), ("a", "y", 0.0)]


def test_with_consider_text_both_must_be_equal(op):
    shard = [("a", "1", "t"), ("b", "1", "u"), ("c", "1", "t"), ("d", "1", None), ("e", "1", None)]
    assert matched(op(NAME, consider_text=True), shard) == [("c", "a", 0.0), ("e", "d", 0.0)]
    assert len(matched(op(NAME), shard)) == 4


def test_texts_are_compared_stripped(op, clip):
    one, two = (hashed(op(NAME), clip(text=t)) for t in (" a shot\n", "a shot"))
    assert one == two
    assert one["video_text_hash"] == hashlib.md5(b"a shot").hexdigest()


def test_looking_at_text_measures_nothing_new(op):
    assert op(NAME).fingerprint() == op(NAME, consider_text=True).fingerprint()


@given(
    hashes=st.lists(st.sampled_from([None, "1", "2", "3"]), max_size=12), known=st.integers(0, 3)
)
def test_exactly_one_of_each_group_is_kept(op, hashes, known):
    shard = [(f"s{i}", h, None) for i, h in enumerate(hashes)]
    index = [(f"k{i}", str(i), None) for i in range(known)]
    found = matched(op(NAME), shard, index)
    dropped = {clip_id for clip_id, _, _ in found}
    kept = [h for i, h, _ in (*shard, *index) if h is not None and i not in dropped]
    assert sorted(kept) == sorted({h for _, h, _ in (*shard, *index) if h is not None})
    assert all(of not in dropped for _, of, _ in found)
    assert matched(op(NAME), shard, index) == found


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_consider_text_is_a_boolean(op, value):
    from dj_ops_lib.errors import RecipeError

    with pytest.raises(RecipeError, match="consider_text"):
        op(NAME, consider_text=value)
