"""Near duplicates: recall and precision on attacked copies, and the cost of a large index.

    python benchmarks/near_duplicates.py [--originals 200] [--others 20] [--signatures 1000000]

Originals are generated scenes (`near/scenes.py`); a tenth of them are the next seconds of another
one's camera move, which must not count as copies, and `--others` of each kind are in part black,
faded, a title card, the same intro, or slides. Every attack is encoded and decoded again for
real. The baseline of the large index is the brute-force comparison of the same hashes, in the
same run.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import polars as pl
from near.scenes import (
    ATTACKS,
    FPS,
    HEIGHT,
    SECONDS,
    WIDTH,
    Image,
    Scene,
    originals,
    same,
)

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.deduplication import deduplicate
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.near_search import as_words
from dj_ops_lib.operators.deduplicators.video_near_deduplicator import (
    BY_PARTS,
    PART_DISTANCE,
    VideoNearDeduplicator,
)
from dj_ops_lib.registry import operator_class

OPERATOR: VideoNearDeduplicator = operator_class("video_near_deduplicator")()  # type: ignore


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


Hash = tuple[str | None, int | None]


def hash_of(at: Scene, folder: Path, attack: str | None) -> Hash:
    """The hash of one encoded and decoded copy, and which quarters have structure."""
    change, shift, fps, crf, scale = ATTACKS[attack] if attack else (same, 0.0, FPS, "20", 1.0)
    times = np.arange(shift, SECONDS, 1 / fps)  # a copy may begin earlier than the original
    path = folder / "copy.mp4"
    encode(path, (change(at(float(t))) for t in times), fps, crf, scale)
    clip = Clip(
        "c", "bench", "0", video_uri=str(path), fps=fps, duration_s=len(times) / fps,
        num_frames=len(times), width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    observer = OPERATOR.observe(clip)
    decode(clip, [(OPERATOR.needs(), observer)], Access((str(folder),)))
    columns = observer.result()
    return columns["video_perceptual_hash"], columns["video_hash_parts"]


def hashes_of(job: tuple[int, int, int]) -> list[Hash]:
    """The hashes of one original and of its copies, in the order of `ATTACKS`."""
    plain, others, number = job
    cv2.setNumThreads(1)
    original = next(itertools.islice(originals(plain, others), number, None))
    at = original.make()
    with tempfile.TemporaryDirectory() as name:
        return [hash_of(at, Path(name), attack) for attack in (None, *ATTACKS)]


def near(ours: list[Hash], theirs: list[Hash], distance: float) -> npt.NDArray[np.bool_]:
    """Whether each pair is near, every pair compared: (n, m)."""
    (a, told_a), (b, told_b) = (_arrays(hashes) for hashes in (ours, theirs))
    told = told_a[:, None] & told_b[None]
    bits = np.bitwise_count(a[:, None] ^ b[None]) * told
    parts = told.sum(axis=2)
    limits = np.array([-1 if f < 0 else f * distance * 64 * n for n, f in enumerate(BY_PARTS)])
    return (bits.sum(axis=2) <= limits[parts]) & (bits.max(axis=2) <= PART_DISTANCE * 64)


def _arrays(hashes: list[Hash]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    parts = np.array([parts or 0 for _, parts in hashes])
    return as_words([h or "0" * 64 for h, _ in hashes]), (parts[:, None] >> np.arange(4) & 1) > 0


def frame_of(hashes: list[Hash], prefix: str) -> pl.DataFrame:
    """Clips as a table holds them, all kept."""
    ids = [f"{prefix}{i:08d}" for i in range(len(hashes))]
    none = pl.lit(None, pl.String)
    columns = {"video_perceptual_hash": pl.String, "video_hash_parts": pl.Int8}
    return pl.DataFrame(hashes, columns, orient="row").with_columns(
        pl.Series("clip_id", ids), shard=pl.lit(prefix), keep=True, rejected_by=none,
        duplicate_of=none,
    )  # fmt: skip


def repeated(shard: pl.DataFrame, index: pl.DataFrame) -> pl.DataFrame:
    """The clips of a shard that repeat others, next to an index of published clips."""
    found, _ = deduplicate(shard, "shard", OPERATOR, index)
    return found.filter(~pl.col("keep"))


def accuracy(plain: int, others: int, workers: int) -> None:
    """Recall by attack and kind, and precision over all pairs, by threshold."""
    kinds = np.array([original.kind for original in originals(plain, others)])
    jobs = [(plain, others, i) for i in range(len(kinds))]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        hashes = list(pool.map(hashes_of, jobs))
    originally = [of_original[0] for of_original in hashes]
    copies = [h for attack in range(len(ATTACKS) + 1) for h in (o[attack] for o in hashes)]
    mine = np.tile(np.eye(len(kinds), dtype=bool), len(ATTACKS) + 1)
    of_slides = (kinds[:, None] == "slide") & (np.tile(kinds, len(ATTACKS) + 1) == "slide")
    rows = []
    for threshold in np.arange(0.05, 0.41, 0.025):
        found = near(originally, copies, float(threshold))
        own = found[mine].reshape(len(kinds), -1)[:, 1:]
        told = own[kinds != "slide"]
        false = int(found[~mine & ~of_slides].sum())
        rows.append(
            {"threshold": round(float(threshold), 3), "recall": told.mean(),
             "plain": own[kinds == "plain"].mean(), "false": false,
             "precision": told.sum() / max(1, told.sum() + false),
             "false, slides": int(found[~mine & of_slides].sum()),
             **dict(zip(ATTACKS, own[kinds == "plain"].mean(axis=0), strict=True))}
        )  # fmt: skip
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=250, float_precision=3):
        print(pl.DataFrame(rows))
    found = near(originally, copies, OPERATOR.max_distance)
    own = found[mine].reshape(len(kinds), -1)[:, 1:]
    for kind in dict.fromkeys(kinds):
        of = kinds == kind
        hashed = [h[0] is not None for h, k in zip(originally, kinds, strict=True) if k == kind]
        false = (found & ~mine)[of]
        pairs = int(false.reshape(of.sum(), -1, len(kinds)).any(axis=1).sum())
        print(
            f"{kind}: {of.sum()} originals, {np.mean(hashed):.2f} have a hash; at "
            f"{OPERATOR.max_distance} recall {own[of].mean():.3f}, of those that have one "
            f"{own[of][hashed].mean():.3f}; {pairs} other originals near in some copy"
        )
    told = [i for i, kind in enumerate(kinds) if kind != "slide"]
    attacked = [hashes[i][a] for a in range(1, len(ATTACKS) + 1) for i in told]
    known = frame_of([originally[i] for i in told], "old")
    known = known.filter(pl.col("video_perceptual_hash").is_not_null())  # as it is read
    through = repeated(frame_of(attacked, "copy"), known)
    number = through.select(
        copy=pl.col("clip_id").str.slice(4).cast(int) % len(told),
        original=pl.col("duplicate_of").str.tail(8).cast(int) % len(told),
    )
    right = number.filter(pl.col("copy") == pl.col("original")).height
    compared = sum(h is not None for h, _ in attacked)
    print(
        f"by bands, at {OPERATOR.max_distance}, without slides: {right / compared:.3f} of the "
        f"{compared} copies with a hash, precision {right / max(1, through.height):.3f}, "
        f"{len(attacked)} copies of {len(told)}"
    )


def scale_up(signatures: int, shard_size: int) -> None:
    """Time and memory of matching a shard against a large index."""
    rng = np.random.default_rng(0)
    known = rng.integers(0, 256, (signatures, 32), dtype=np.uint8)
    ours = rng.integers(0, 256, (shard_size, 32), dtype=np.uint8)
    copies = rng.choice(signatures, shard_size // 10, replace=False)
    flips = np.packbits(rng.random((len(copies), 256)) < 0.08, axis=1)
    ours[: len(copies)] = known[copies] ^ flips
    index = frame_of([(row.tobytes().hex(), 15) for row in known], "k")
    shard = frame_of([(row.tobytes().hex(), 15) for row in ours], "s")
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
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--signatures", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=10_000)
    arguments = parser.parse_args()
    accuracy(arguments.originals, arguments.others, arguments.workers)
    scale_up(arguments.signatures, arguments.shard)
