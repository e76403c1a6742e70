"""Near deduplicator: the same footage, encoded, scaled or cut differently."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.needs import Frame, Frames, Observer, Size, Uniform
from dj_ops_lib.operator import Column, Columns, Deduplicator, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dj_ops_lib.near_search import Hashes

FRAMES, SEGMENTS, EDGE = 16, 4, 128
"""Frames looked at, the groups they are averaged in, and the edges they are scaled to."""

BORDER = 20
"""Brightness, of 255, up to which the edge of the picture is a black border."""

FLAT = 2.0
"""Standard deviation below which a mean picture has no structure to compare."""

PARTS = 2
"""Fewest quarters with structure in both clips that tell whether they are the same."""

BY_PARTS = (-1, -1, 0.75, 0.875, 1)
"""What the largest distance is multiplied by, by how many quarters there are to compare: of
quarters that look alike, at most 16 of 64 bits differ by chance in 7 of 100,000 pairs, at most 12
in 5 of 10,000,000."""

PART_DISTANCE = 0.375
"""Largest share of differing bits in any quarter: clips that share an intro of half their length
differ in the rest. Of 14 with a third or a half in common, 19 of 182 were near without it, 2 with
it, at the same recall (2026-11-26)."""


_ORDER = sorted(itertools.product(range(32), range(32)), key=lambda f: (sum(f), max(f)))
LOW = tuple(map(list, zip(*_ORDER[1:65], strict=True)))
"""The 64 lowest frequencies of a 32x32 cosine transform but the mean, lowest first."""

QUALITY = ("video_hash_pixels", "video_hash_bit_rate", "video_hash_duration")


class VideoNearDeduplicator(Deduplicator):
    """Finds clips that show the same footage.

    The hash has 64 bits for each quarter of the clip: black borders are cut off, four frames
    are averaged (so a start shifted by half a second changes little), and the signs of the
    lowest frequencies of a 32x32 cosine transform are taken (so encoding, scaling, brightness
    and small crops change little). The distance is the share of bits that differ, over the
    quarters that have structure in both clips: two at least, or there is too little to tell;
    none of black or of another colour. Clips up to `max_distance` (7/8 of it with three quarters
    to compare, 3/4 with two) that agree in some band of bits, and of which no quarter differs by
    more than 24 of its 64 bits, are duplicates. A clip with less
    than two quarters of structure has no hash and repeats nothing. Stills that differ in fine
    detail only, such as slides of one layout with other words, are near: reject stills before
    where they are not to be lost to one of them.

    With `policy: first` a kept clip stays kept: later shards' copies are dropped. With `best` the
    copy with the most pixels, then bit rate, then duration, then the first clip_id is kept: a
    worse copy that another shard keeps is dropped there in the same run. Either way a clip that
    was dropped comes back when what it repeats is no longer kept: in the run that changes that,
    and after a takedown in the next run of any shard of the table.

    Source: this project; the hash follows C. Zauner, "Implementation and benchmarking of
    perceptual image hash functions", 2010 (pHash), banding follows P. Indyk and R. Motwani,
    "Approximate nearest neighbors", STOC 1998.
    """

    version: ClassVar[str] = "2"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_perceptual_hash", pa.string(), "perceptual hash, 256 bits as 64 hex digits"),
        Column(
            "video_hash_parts",
            pa.int8(),
            "quarters with structure, the sum of 1 for the first, 2, 4 and 8 for the last",
        ),
        Column("video_hash_pixels", pa.int64(), "pixels of a frame, to tell the better copy"),
        Column("video_hash_bit_rate", pa.int64(), "bit rate, to tell the better copy", "bit/s"),
        Column("video_hash_duration", pa.float64(), "duration, to tell the better copy", "s"),
    )

    max_distance: float = parameter(
        0.25, "largest share of differing bits of a duplicate", ge=0, le=0.4, decides=True
    )
    policy: Literal["first", "best"] = parameter(
        "first", "which of several copies is kept", decides=True
    )

    def needs(self) -> Frames:
        """A few small gray frames, all of one shape."""
        return Frames(Uniform(FRAMES), Size(exact=(EDGE, EDGE)), "gray")

    def observe(self, clip: Clip) -> Observer:
        """Collect the frames; they are small."""
        return _Hash(clip)

    @property
    def compares(self) -> tuple[str, ...]:
        """The hash, and what of it says anything."""
        return ("video_perceptual_hash", "video_hash_parts")

    @property
    def prefers(self) -> tuple[str, ...]:
        """Pixels, then bit rate, then duration, if the best is asked for."""
        return QUALITY if self.policy == "best" else ()

    def pairs(self, clips: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Clips whose hashes differ in few bits, found by bands."""
        from dj_ops_lib.near_search import Limit, near_pairs

        shares = tuple(self.max_distance * factor for factor in BY_PARTS)
        limit = Limit(shares, PART_DISTANCE)
        clip, other, distance = near_pairs(_hashes(clips), _hashes(known), limit)
        return pl.DataFrame({"clip": clip, "known": other, "distance": distance})


def _hashes(clips: pl.DataFrame) -> Hashes:
    """The hashes as bits; in slices, since a million strings at once are 150 MB on their way."""
    import numpy as np

    from dj_ops_lib.near_search import Hashes, as_words

    hashes = (part["video_perceptual_hash"].to_list() for part in clips.iter_slices(2**16))
    words = np.concatenate([as_words(h) for h in hashes]) if len(clips) else as_words([])
    return Hashes(words, clips["video_hash_parts"].to_numpy().astype(np.uint8))


class _Hash(Observer):
    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._images: list[npt.NDArray[np.uint8]] = []

    def frame(self, frame: Frame) -> None:
        self._images.append(frame.image.copy())

    def result(self) -> Columns:
        clip = self._clip
        found = perceptual_hash(self._images) if self._images else None
        return {
            "video_perceptual_hash": found and found[0],
            "video_hash_parts": found and found[1],
            "video_hash_pixels": (clip.width or 0) * (clip.height or 0),
            "video_hash_bit_rate": clip.bit_rate,
            "video_hash_duration": clip.duration_s,
        }


def perceptual_hash(images: list[npt.NDArray[np.uint8]]) -> tuple[str, int] | None:
    """The hash of gray pictures of one size, in order of time, and which quarters say anything.

    Returns:
        64 bits a quarter, as hex digits, 0 where it has no structure; and the sum of 1, 2, 4 and
        8 for those that have. None where less than `PARTS` have.
    """
    import cv2
    import numpy as np

    brightest = np.max(images, axis=0)
    rows = np.flatnonzero((brightest > BORDER).mean(axis=1) > 0.02)
    columns = np.flatnonzero((brightest > BORDER).mean(axis=0) > 0.02)
    if not rows.size or not columns.size:
        return None
    inside = np.stack(images)[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    groups = np.array_split(inside.astype(np.float32), min(SEGMENTS, len(inside)))
    means = [group.mean(axis=0) for group in groups]
    bits = np.zeros((SEGMENTS, len(LOW[0])), np.bool_)
    told = 0
    for i in range(SEGMENTS):
        mean = means[i * len(means) // SEGMENTS]
        if mean.std() < FLAT:
            continue
        frequencies = cv2.dct(cv2.resize(mean, (32, 32), interpolation=cv2.INTER_AREA))[LOW]
        bits[i] = frequencies > np.median(frequencies)
        told |= 1 << i
    return (np.packbits(bits).tobytes().hex(), told) if told.bit_count() >= PARTS else None
