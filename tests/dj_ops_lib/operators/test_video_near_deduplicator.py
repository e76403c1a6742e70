"""Near duplicates: copies of generated scenes, and which copy stays."""

import itertools

import cv2
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.engine.deduplication import deduplicate
from dj_ops_lib.near_search import Hashes, Limit, as_words, near_pairs

NAME = "video_near_deduplicator"


def scene(seed, frames=16, edge=128, shift=0):
    """A pan over a picture of blobs; gray pictures as the operator asks for."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((400, 400), np.float32)
    for cells in (5, 11, 30):
        blobs = rng.uniform(0, 255, (cells, cells)).astype(np.float32)
        picture += cv2.resize(blobs, (400, 400), interpolation=cv2.INTER_CUBIC)
    picture = cv2.normalize(picture, None, 30, 255, cv2.NORM_MINMAX).astype(np.uint8)
    for i in range(frames):
        x = 40 + 2 * (i + shift)
        yield cv2.resize(picture[40:300, x : x + 260], (edge, edge))


def letterboxed(image):
    small = cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(small, 16, 16, 0, 0, cv2.BORDER_CONSTANT)


def subtitled(image):
    image = image.copy()
    for y in (104, 116):
        cv2.putText(image, "words said", (20, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    return image


COPIES = {
    "half the size": lambda i: cv2.resize(cv2.resize(i, (64, 64)), (128, 128)),
    "a small crop": lambda i: cv2.resize(i[3:125, 3:125], (128, 128)),
    "a letterbox": letterboxed,
    "more brightness": lambda i: cv2.convertScaleAbs(i, alpha=1.05, beta=15),
    "noise": lambda i: np.clip(i + np.random.default_rng(0).normal(0, 12, i.shape), 0, 255),
    "subtitles": subtitled,
}


def hash_of(op, feed, images):
    return feed(op(NAME), images)["video_perceptual_hash"]


def distance(one, other):
    words = as_words([one, other])
    return int(np.bitwise_count(words[0] ^ words[1]).sum()) / 256


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_near_its_original(op, feed, copy):
    for seed in range(3):
        images = list(scene(seed))
        original, copied = hash_of(op, feed, images), hash_of(op, feed, map(COPIES[copy], images))
        assert distance(original, copied) <= op(NAME).max_distance


@pytest.mark.parametrize("shift", [-2, 2])
def test_a_shifted_start_changes_little(op, feed, shift):
    original, shifted = (hash_of(op, feed, scene(1, shift=s)) for s in (0, shift))
    assert distance(original, shifted) <= op(NAME).max_distance


def test_different_scenes_are_far_apart(op, feed):
    hashes = [hash_of(op, feed, scene(seed)) for seed in range(12)]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 0.3


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_clip_without_structure_has_no_hash(op, feed, level):
    columns = feed(op(NAME), [np.full((128, 128), level, np.uint8)] * 16)
    assert columns["video_perceptual_hash"] is None


def partly(images, shown, of=16):
    """The pictures of these quarters; the others are black."""
    for i, image in enumerate(images):
        yield image if i * 4 // of in shown else np.zeros_like(image)


@pytest.mark.parametrize(
    ("shown", "parts"), [({2, 3}, 12), ({0, 1}, 3), ({1, 2, 3}, 14), ({0, 1, 2, 3}, 15)]
)
def test_quarters_without_structure_say_nothing(op, feed, shown, parts):
    columns = feed(op(NAME), partly(scene(0), shown))
    assert columns["video_hash_parts"] == parts
    words = as_words([columns["video_perceptual_hash"]])[0]
    assert [bool(word) for word in words] == [part in shown for part in range(4)]


@pytest.mark.parametrize("shown", [set(), {0}, {3}])
def test_a_single_quarter_is_too_little_to_tell(op, feed, shown):
    columns = feed(op(NAME), partly(scene(0), shown))
    assert (columns["video_perceptual_hash"], columns["video_hash_parts"]) == (None, None)


@pytest.mark.parametrize("frames", [0, 1, 2, 3, 5])
def test_clips_of_few_frames_have_a_hash_of_the_same_length(op, feed, clip, frames):
    columns = feed(op(NAME), scene(0, frames), clip(bit_rate=5))
    assert len(columns["video_perceptual_hash"] or "0" * 64) == 64
    assert (columns["video_perceptual_hash"] is None) == (frames == 0)
    assert columns["video_hash_pixels"] == 64 * 48
    assert columns["video_hash_bit_rate"] == 5


def clips(*rows):
    """Clips of (id, hash, pixels), with structure in all quarters."""
    schema = {
        "clip_id": pl.String,
        "video_perceptual_hash": pl.String,
        "video_hash_parts": pl.Int8,
        "video_hash_pixels": pl.Int64,
        "video_hash_bit_rate": pl.Int64,
        "video_hash_duration": pl.Float64,
    }
    full = [(i, h, h and 15, pixels, None, 1.0) for i, h, pixels in rows]
    return pl.DataFrame(full, schema, orient="row")


A, B = (np.random.default_rng(s).integers(0, 256, 32, np.uint8).tobytes().hex() for s in (1, 2))


def test_clips_that_are_black_at_other_times_have_nothing_in_common(op, feed):
    halves = [feed(op(NAME), partly(scene(0), shown)) for shown in ({0, 1}, {2, 3}, {0, 1})]
    names = ["video_perceptual_hash", "video_hash_parts"]
    frame = pl.DataFrame(
        [{n: h[n] for n in names} for h in halves], {names[0]: str, names[1]: pl.Int8}
    )
    pairs = op(NAME).pairs(frame, frame)
    assert set(pairs.select("clip", "known").rows()) == {(0, 0), (1, 1), (2, 2), (0, 2), (2, 0)}


@pytest.mark.parametrize(("bits", "near"), [(24, True), (25, False)])
def test_a_quarter_that_is_another_scene_is_enough_to_tell_two_clips_apart(op, bits, near):
    other = f"{int(A[:16], 16) ^ ((1 << bits) - 1):016x}" + A[16:]
    found = matched(op(NAME), clips(("a", A, 1), ("b", other, 1)))
    assert bool(found) is near


def flipped(value, bits):
    array = np.unpackbits(np.frombuffer(bytes.fromhex(value), np.uint8))
    array[: 8 * bits : 8] ^= 1
    return np.packbits(array).tobytes().hex()


def decided(operator, shard, index=None):
    """What follows for a shard, and for the index, whose clips another shard keeps."""
    index = index if index is not None else clips()
    nothing = pl.lit(None, pl.String)
    published = index.with_columns(shard=pl.lit("k"), keep=True, duplicate_of=nothing)
    rows = shard.with_columns(keep=True, rejected_by=nothing)
    found, changes = deduplicate(rows, "s", operator, published)
    names = ["clip_id", "duplicate_of", "duplicate_distance"]
    return found.filter(~pl.col("keep")).select(names).rows(), changes.select(names).rows()


def matched(operator, shard, index=None):
    found, changes = decided(operator, shard, index)
    assert changes == []
    return found


def test_the_first_of_the_shards_copies_stays(op):
    shard = clips(("z", A, 1), ("b", flipped(A, 8), 9), ("c", B, 1), ("d", None, 1), ("e", None, 1))
    assert matched(op(NAME), shard) == [("b", "z", 8 / 256)]


def test_a_copy_that_another_shard_keeps_wins_and_the_nearest_is_named(op):
    shard = clips(("a", A, 9), ("b", flipped(A, 3), 9))
    index = clips(("y", flipped(A, 8), 1), ("x", flipped(A, 2), 1))
    assert matched(op(NAME), shard, index) == [("a", "x", 2 / 256), ("b", "x", 1 / 256)]


def test_the_best_copy_stays_if_asked_for(op):
    shard = clips(("a", A, 1), ("b", flipped(A, 8), 9), ("c", flipped(A, 4), 5))
    best = op(NAME, policy="best")
    by_b = [("c", "b", 4 / 256), ("a", "b", 8 / 256)]
    assert sorted(matched(best, shard)) == sorted(by_b)
    assert ("b", "y", 8 / 256) in matched(best, shard, clips(("y", A, 10)))


def test_a_worse_copy_that_another_shard_keeps_is_dropped_there(op):
    shard = clips(("b", flipped(A, 8), 9))
    best = op(NAME, policy="best")
    for pixels in (8, 9):  # of equals the first id stays
        assert decided(best, shard, clips(("y", A, pixels))) == ([], [("y", "b", 8 / 256)])
    assert decided(best, shard, clips(("a", A, 9))) == ([("b", "a", 8 / 256)], [])
    assert matched(op(NAME), shard, clips(("y", A, 8))) == [("b", "y", 8 / 256)]


def test_the_distance_is_a_threshold_that_measures_nothing_new(op):
    shard = clips(("a", A, 1), ("b", flipped(A, 20), 1))
    assert matched(op(NAME, max_distance=20 / 256), shard) == [("b", "a", 20 / 256)]
    assert matched(op(NAME, max_distance=19 / 256), shard) == []
    assert op(NAME).fingerprint() == op(NAME, max_distance=0.1, policy="best").fingerprint()


@given(
    pool=st.lists(st.sampled_from([A, B, flipped(A, 5), flipped(B, 9), None]), max_size=8),
    others=st.lists(st.sampled_from([A, flipped(B, 3)]), max_size=2),
)
def test_a_duplicate_names_a_clip_that_is_kept_and_a_second_run_says_the_same(op, pool, others):
    shard = clips(*((f"s{i}", h, 1) for i, h in enumerate(pool)))
    index = clips(*((f"k{i}", h, 1) for i, h in enumerate(others)))
    found = matched(op(NAME), shard, index)
    dropped = {row[0] for row in found}
    assert all(of not in dropped for _, of, _ in found)
    kept = [h for i, h in enumerate(pool) if f"s{i}" not in dropped and h is not None]
    assert all(distance(a, b) > 0.25 for a, b in itertools.combinations(kept, 2))
    assert all(distance(a, b) > 0.25 for a, b in itertools.product(kept, others))
    assert matched(op(NAME), shard, index) == found


def all_told(words):
    return Hashes(words, np.full(len(words), 15, np.uint8))


def test_near_pairs_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    known = rng.integers(0, 2**63, (500, 4), np.uint64)
    queries = known[:100].copy()
    queries[:, 0] ^= np.uint64(0b10110)
    limit = Limit((-1, -1, -1, -1, 40 / 256))
    first, second, shares = near_pairs(all_told(queries), all_told(known), limit)
    table = np.bitwise_count(queries[:, None] ^ known[None]).sum(axis=2)
    expected = np.argwhere(table <= 40)
    assert np.array_equal(np.stack([first, second], axis=1), expected)
    assert np.array_equal(shares * 256, table[table <= 40])
    assert near_pairs(all_told(queries[:0]), all_told(known), limit)[0].size == 0


@given(seed=st.integers(0, 2**32 - 1))
def test_near_pairs_compare_what_says_something_in_both_and_are_the_same_the_other_way(seed):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**63, (6, 4), np.uint64)
    words = base[rng.integers(0, 6, 60)]
    flips = rng.random((60, 256)) < rng.choice([0.02, 0.1], 60)[:, None]
    words = words ^ np.packbits(flips, axis=1).view(np.uint64)
    told = rng.integers(0, 16, 60).astype(np.uint8)
    words[(told[:, None] >> np.arange(4) & 1) == 0] = 0
    ours, theirs = (Hashes(words[part], told[part]) for part in (slice(40), slice(40, 60)))
    limit = Limit((-1, -1, 0.15, 0.2, 0.25), 0.3)
    first, second, shares = near_pairs(ours, theirs, limit)
    expected = {}
    for a, b in itertools.product(range(40), range(20)):
        parts = [p for p in range(4) if ours.told[a] & theirs.told[b] & 1 << p]
        bits = [int(ours.words[a, p] ^ theirs.words[b, p]).bit_count() for p in parts]
        if len(parts) < 2 or max(bits) > 0.3 * 64:
            continue
        share = sum(bits) / (64 * len(parts))
        if share <= {2: 0.15, 3: 0.2, 4: 0.25}[len(parts)]:
            expected[a, b] = share
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), shares, strict=True))
    assert found.items() <= expected.items()
    # Bands find the close ones, and all of those that few bits tell apart.
    assert {pair for pair, share in expected.items() if share < 0.05} <= found.keys()
    back = near_pairs(theirs, ours, limit)
    assert found == {(a, b): s for b, a, s in zip(*map(np.ndarray.tolist, back), strict=True)}
