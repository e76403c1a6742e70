"""Near duplicates: recall and precision on attacked copies, and the cost of a large index.

    python benchmarks/near_duplicates.py [--originals 200] [--signatures 1000000]

Originals are generated scenes; a tenth of them are the next seconds of another one's camera
move, which must not count as copies. Every attack is encoded and decoded again for real. The
baseline of the large index is the brute-force comparison of the same hashes, in the same run.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import polars as pl

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.deduplication import deduplicate
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.near_search import as_words
from dj_ops_lib.operators.deduplicators.video_near_deduplicator import VideoNearDeduplicator
from dj_ops_lib.registry import operator_class

Image = npt.NDArray[np.uint8]
WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 25, 6.0
OPERATOR: VideoNearDeduplicator = operator_class("video_near_deduplicator")()  # type: ignore


def ground(seed: int) -> Image:
    """A large picture of blobs, streaks and blocks to look at a part of."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT * 3, WIDTH * 3, 3), np.float32)
    for size in (4, 9, 20, 60):
        cells = rng.uniform(0, 255, (size, size * 2, 3)).astype(np.float32)
        weight = rng.uniform(0.2, 1)
        picture += weight * cv2.resize(cells, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(5, 25)):
        corner = tuple(int(v) for v in rng.integers(0, [WIDTH * 3, HEIGHT * 3]))
        size = tuple(int(v) for v in rng.integers(20, 160, 2))
        end = corner[0] + size[0], corner[1] + size[1]
        cv2.rectangle(picture, corner, end, rng.uniform(0, 500, 3).tolist(), -1)
    return cv2.normalize(picture, None, 5, 250, cv2.NORM_MINMAX).astype(np.uint8)


def scene(seed: int, sibling: bool) -> Callable[[float], Image]:
    """The picture at a time: a camera move over a ground, and shapes in front of it."""
    rng = np.random.default_rng(seed)
    picture = ground(seed)
    start = rng.uniform(0, [WIDTH, HEIGHT])
    speed = rng.uniform(-1, 1, 2) * rng.choice([0, 10, 40])
    shapes = [
        (
            rng.uniform(0, [WIDTH, HEIGHT]),
            rng.uniform(-60, 60, 2),
            rng.uniform(8, 40),
            rng.uniform(0, 255, 3),
        )
        for _ in range(rng.integers(1, 5))
    ]
    if sibling:
        speed = np.where(np.abs(speed) < 20, 25.0, speed)
    first = SECONDS if sibling else 0.0

    def at(time_s: float) -> Image:
        time_s += first
        corner = np.clip(start + WIDTH / 2 + speed * time_s, 0, [WIDTH * 2, HEIGHT * 2]).astype(int)
        x, y = (int(v) for v in corner)
        image = picture[y : y + HEIGHT, x : x + WIDTH].copy()
        for place, velocity, radius, color in shapes:
            centre = (place + velocity * time_s) % [WIDTH, HEIGHT]
            cv2.circle(image, tuple(int(v) for v in centre), int(radius), color.tolist(), -1)
        return image

    return at


def subtitled(image: Image) -> Image:
    """Two lines of white text at the lower edge."""
    image = image.copy()
    for i, words in enumerate(("these are words that", "somebody said to others")):
        place = (40, HEIGHT - 30 + 18 * i)
        cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    return image


def letterboxed(image: Image) -> Image:
    """Black borders above and below."""
    return cv2.copyMakeBorder(image, 30, 30, 0, 0, cv2.BORDER_CONSTANT)


def cropped(image: Image) -> Image:
    """5 % of width and height cut off, half on each side."""
    y, x = round(HEIGHT * 0.025), round(WIDTH * 0.025)
    return np.ascontiguousarray(image[y : HEIGHT - y, x : WIDTH - x])


def brighter(image: Image) -> Image:
    """Brighter, with more contrast."""
    return cv2.convertScaleAbs(image, alpha=1.1, beta=20)


def same(image: Image) -> Image:
    """As it is."""
    return image


ATTACKS: dict[str, tuple[Callable[[Image], Image], float, int, str, float]] = {
    # picture, shift of the start in seconds, frames a second, crf, scale
    "re-encode crf 35": (same, 0.0, FPS, "35", 1),
    "half size": (same, 0.0, FPS, "23", 0.5),
    "5 % crop": (cropped, 0.0, FPS, "23", 1),
    "letterbox": (letterboxed, 0.0, FPS, "23", 1),
    "start +0.5 s": (same, 0.5, FPS, "23", 1),
    "start -0.5 s": (same, -0.5, FPS, "23", 1),
    "15 fps": (same, 0.0, 15, "23", 1),
    "brightness": (brighter, 0.0, FPS, "23", 1),
    "subtitles": (subtitled, 0.0, FPS, "23", 1),
}


def encode(path: Path, images: Iterator[Image], fps: int, crf: str, scale: float) -> None:
    """An H.264 file of these pictures, with even edges."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": crf, "preset": "ultrafast", "threads": "1"}
        for i, image in enumerate(images):
            size = [round(e * scale / 2) * 2 for e in image.shape[1::-1]]
            picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            if i == 0:
                stream.width, stream.height = size
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode(None))


def hash_of(at: Callable[[float], Image], folder: Path, attack: str | None) -> str:
    """The hash of one encoded and decoded copy."""
    change, shift, fps, crf, scale = ATTACKS[attack] if attack else (same, 0.0, FPS, "20", 1.0)
    times = np.arange(max(0, shift), SECONDS, 1 / fps)
    if shift < 0:  # the copy begins earlier than the original
        times = np.arange(shift, SECONDS, 1 / fps)
    path = folder / "copy.mp4"
    encode(path, (change(at(float(t))) for t in times), fps, crf, scale)
    clip = Clip(
        "c", "bench", "0", video_uri=str(path), fps=fps, duration_s=len(times) / fps,
        num_frames=len(times), width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    observer = OPERATOR.observe(clip)
    decode(clip, [(OPERATOR.needs(), observer)], Access((str(folder),)))
    return observer.result()["video_perceptual_hash"] or "0" * 64


def distances(ours: list[str], theirs: list[str]) -> npt.NDArray[np.float64]:
    """Share of differing bits, (n, m)."""
    a, b = as_words(ours), as_words(theirs)
    bits = 64 * a.shape[1]
    return np.bitwise_count(a[:, None] ^ b[None]).sum(axis=2) / bits


def frame_of(hashes: list[str], prefix: str) -> pl.DataFrame:
    """Clips as a table holds them, all kept."""
    ids = [f"{prefix}{i:08d}" for i in range(len(hashes))]
    none = pl.lit(None, pl.String)
    return pl.DataFrame({"clip_id": ids, "video_perceptual_hash": hashes}).with_columns(
        shard=pl.lit(prefix), keep=True, rejected_by=none, duplicate_of=none
    )


def repeated(shard: pl.DataFrame, index: pl.DataFrame) -> pl.DataFrame:
    """The clips of a shard that repeat others, next to an index of published clips."""
    found, _ = deduplicate(shard, "shard", OPERATOR, index)
    return found.filter(~pl.col("keep"))


def accuracy(originals: int) -> None:
    """Recall by attack, and precision over all pairs, by threshold."""
    scenes = []
    for i in range(originals):
        sibling = i % 10 == 9
        scenes.append(scene(i - 1 if sibling else i, sibling))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = [hash_of(at, folder, None) for at in scenes]
        copies = {a: [hash_of(at, folder, a) for at in scenes] for a in ATTACKS}
    same_scene = {a: np.diag(distances(plain, h)) for a, h in copies.items()}
    everything = distances(plain, [h for hashes in [plain, *copies.values()] for h in hashes])
    other = ~np.tile(np.eye(originals, dtype=bool), len(copies) + 1)
    rows = []
    for threshold in np.arange(0.05, 0.41, 0.025):
        recalls = {a: float(np.mean(d <= threshold)) for a, d in same_scene.items()}
        true = sum(int(np.sum(d <= threshold)) for d in same_scene.values())
        false = int(np.sum(everything[other] <= threshold))
        precision = true / max(1, true + false)
        rows.append(
            {"threshold": round(float(threshold), 3), "recall": np.mean([*recalls.values()]),
             "precision": precision, **recalls}
        )  # fmt: skip
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200, float_precision=3):
        print(pl.DataFrame(rows))
    shard = frame_of([h for hashes in copies.values() for h in hashes], "copy")
    index = frame_of(plain, "original")
    found = repeated(shard, index)
    number = found.select(
        copy=pl.col("clip_id").str.slice(4).cast(int) % originals,
        original=pl.col("duplicate_of").str.tail(8).cast(int) % originals,
    )
    right = number.filter(pl.col("copy") == pl.col("original")).height
    print(
        f"by bands, at {OPERATOR.max_distance}: recall {right / shard.height:.3f}, "
        f"precision {right / max(1, found.height):.3f}, {shard.height} copies of {originals}"
    )


def scale_up(signatures: int, shard_size: int) -> None:
    """Time and memory of matching a shard against a large index."""
    rng = np.random.default_rng(0)
    known = rng.integers(0, 256, (signatures, 32), dtype=np.uint8)
    ours = rng.integers(0, 256, (shard_size, 32), dtype=np.uint8)
    copies = rng.choice(signatures, shard_size // 10, replace=False)
    flips = np.packbits(rng.random((len(copies), 256)) < 0.08, axis=1)
    ours[: len(copies)] = known[copies] ^ flips
    index = frame_of([row.tobytes().hex() for row in known], "k")
    shard = frame_of([row.tobytes().hex() for row in ours], "s")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    found = repeated(shard, index)
    ours_s = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sample = 100
    began = time.perf_counter()
    for row in as_words([r.tobytes().hex() for r in ours[:sample]]):
        np.bitwise_count(known.view(np.uint64) ^ row).sum(axis=1).min()
    brute_s = (time.perf_counter() - began) * shard_size / sample
    print(
        f"{signatures:,} signatures, a shard of {shard_size:,}: {ours_s:.1f} s, "
        f"{brute_s / ours_s:.1f} times as fast as brute force, {peak - before:.0f} MB more memory; "
        f"{found.height} of {len(copies)} copies with 8 % of bits flipped found"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--originals", type=int, default=200)
    parser.add_argument("--signatures", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=10_000)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    accuracy(arguments.originals)
    scale_up(arguments.signatures, arguments.shard)
