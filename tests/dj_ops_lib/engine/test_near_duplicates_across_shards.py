"""Near duplicates through the engine: across shards, again, and by quality."""

import av
import cv2
import numpy as np
import pytest

from dj_ops_lib.recipe import make_operator

NAME = "video_near_deduplicator"


def encode(path, seed, width, crf):
    """One second of a slow pan over blobs."""
    cells = np.random.default_rng(seed).integers(0, 256, (9, 16, 3)).astype(np.float32)
    ground = cv2.resize(cells, (480, 180), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, width * 9 // 16, "yuv420p"
        stream.options = {"crf": crf, "preset": "ultrafast", "threads": "1"}
        for i in range(25):
            view = ground[:, 2 * i : 2 * i + 320].astype(np.uint8)
            image = cv2.resize(view, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))


@pytest.fixture
def copies(workshop):
    """Shard 0: a small copy and another scene; shard 1: a large copy of the first."""
    encode(workshop.videos / "small.mp4", 1, 160, "30")
    encode(workshop.videos / "other.mp4", 2, 320, "23")
    encode(workshop.videos / "large.mp4", 1, 320, "18")
    for shard, names in (("0", ["small", "other"]), ("1", ["large"])):
        workshop.raw(shard, [{"source_id": n} for n in names])
        workshop.probe(shard)
    return workshop


def kept(workshop, *shards):
    return {r["source_id"] for s in shards for r in workshop.rows(shard=s) if r["keep"]}


def test_the_first_published_copy_stays_and_a_second_run_says_the_same(copies):
    operator = make_operator(NAME, {})
    for shard in "01":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"small", "other"}
    (large,) = copies.rows(shard="1")
    assert large["duplicate_of"] == copies.rows(shard="0")[0]["clip_id"]
    assert 0 <= large["duplicate_distance"] <= 0.25
    for shard in "01":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"small", "other"}


def test_the_best_copy_stays_once_the_other_shard_has_run_again(copies):
    operator = make_operator(NAME, {"policy": "best"})
    for shard in "010":
        copies.run(operator, shard=shard)
    assert kept(copies, "0", "1") == {"large", "other"}
