"""Filter by the amount of motion."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl
import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.needs import Fps, Frame, Frames, MotionVectors, Observer, Size
from dj_ops_lib.operator import Column, Columns, Filter, Resources, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]
    FlowFunction = Callable[[Image, Image], npt.NDArray[np.float32]]

LARGEST_EDGE = 8192
"""Pixels of an edge that frames are enlarged to at most."""

PAIR_S = 0.06
"""Seconds between the frames of which the rate is measured, at least: one frame at 15 a second, two
at 30, four at 60. At 0.1, a pan by 0.8 of the width a second came out as 0.57 (2026-11-26)."""

NO_PAIR = -1.0
"""The score and the rate of a clip that has fewer than two frames to compare."""


class VideoMotionScoreFilter(Filter):
    """Keeps clips whose motion lies in a range: neither static nor too fast.

    The score is the mean length of the optical flow, in pixels between sampled frames, over
    pixels and pairs of frames; -1 where there is no pair. Frames 0, 1, step, 2 * step, ... are
    compared, each with the one before; Data-Juicer compares frame 1 with itself, too, where the
    step is one frame, and never ends where frames are uneven or missing at the end. `size`
    scales as it says, where Data-Juicer squeezes frames to the transposed shape; flow fields are
    not kept. A file that cannot be read has no score (theirs: -1). `method` is an addition: with
    `motion_vectors` nothing is compared, and the mean length of the codec's vectors of P
    frames, over predicted blocks, is scaled to the same step and size; -1 where a codec without
    prediction stored none.

    That score grows with the frame's size and with the time between frames. `video_motion_rate`,
    an addition, does not: the mean length of the flow between frames about 0.07 s apart, in widths
    of the picture a second, the median over the clip's pairs; -1 where there is none. `min_rate`
    and `max_rate` are off unless given. With `motion_vectors` the pairs are P frames and what they
    lean on. Pictures are looked at as they are shown.

    Source: Data-Juicer's operator of the same name; G. Farneback, "Two-Frame Motion Estimation
    Based on Polynomial Expansion", SCIA 2003, as in OpenCV; `media/optical_flow.py` for dis.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        # The score from a thousandth of the diagonal (`relative`) to fast motion in pixels, the
        # rate from a pixel a second to a cut; eight bins a decade, 0 and -1 lie below.
        Column(
            "video_motion_score",
            pa.float64(),
            "mean optical flow; -1 without a pair",
            plot=Edges.log(0.001, 100, 40),
        ),
        Column(
            "video_motion_rate",
            pa.float64(),
            "median speed; -1 without a pair",
            "width/s",
            plot=Edges.log(0.001, 100, 40),
        ),
    )
    resources: ClassVar[Resources] = Resources(memory_mb=1000)
    version: ClassVar[str] = "2"

    min_score: float = parameter(0.25, "smallest score kept", decides=True)
    max_score: float = parameter(sys.float_info.max, "largest score kept", decides=True)
    min_rate: float | None = parameter(
        None, "lowest rate kept, none for no limit", unit="width/s", decides=True
    )
    max_rate: float | None = parameter(
        None, "highest rate kept, none for no limit", unit="width/s", decides=True
    )
    sampling_fps: float = parameter(2, "frames compared a second", unit="1/s", gt=0)
    size: int | tuple[int, int] | None = parameter(
        None, "short edge, or both edges (the smaller is the short one), to scale to", unit="px"
    )
    max_size: int | None = parameter(None, "largest long edge after scaling", unit="px", ge=1)
    method: Literal["farneback", "dis", "motion_vectors"] = parameter(
        "farneback", "optical flow (dis is faster, and right for fast motion), or the codec's own"
    )
    divisible: int = parameter(
        1, "edges are floored to a multiple of this", unit="px", ge=1, le=1024
    )
    relative: bool = parameter(False, "divide by the frame's diagonal")
    pyr_scale: float = parameter(0.5, "Farneback: scale between pyramid levels", gt=0, lt=1)
    levels: int = parameter(3, "Farneback: pyramid levels", ge=1, le=32)
    winsize: int = parameter(15, "Farneback: averaging window", unit="px", ge=1, le=255)
    iterations: int = parameter(3, "Farneback: iterations a level", ge=1, le=100)
    poly_n: int = parameter(5, "Farneback: neighbourhood of the expansion", unit="px", ge=3, le=31)
    poly_sigma: float = parameter(1.2, "Farneback: width of its Gaussian", unit="px", gt=0)
    flags: Literal[0, 256] = parameter(0, "Farneback: 256 averages with a Gaussian window")
    if_output_optical_flow: Literal[False] = parameter(
        False, "of Data-Juicer; flow fields are not kept", decides=True
    )

    @pydantic.field_validator("size", mode="before")
    @classmethod
    def _edges(cls, value: Any) -> Any:
        edges = tuple(value) if isinstance(value, list) else value
        if isinstance(edges, tuple) and len(edges) == 1:
            edges = edges[0]
        given = edges if isinstance(edges, tuple) else (edges,)
        if any(isinstance(e, int) and not 1 <= e <= LARGEST_EDGE for e in given):
            raise ValueError(f"edges are 1 to {LARGEST_EDGE} pixels")
        return edges

    def needs(self) -> Frames | MotionVectors:
        """Sampled frames, the second one included; or motion vectors and no pictures."""
        if self.method == "motion_vectors":
            return MotionVectors()
        size = self._size()
        return Frames(
            Fps(self.sampling_fps, with_second=True, pair_s=PAIR_S),
            None if size == Size() else size,
            "bgr24",
        )

    def _size(self) -> Size:
        edges = (self.size, None) if isinstance(self.size, int) else self.size or (None, None)
        short, long = (min(self.size), max(self.size)) if isinstance(self.size, tuple) else edges
        return Size(short=short, long=long, max_long=self.max_size, divisible=self.divisible)

    def observe(self, clip: Clip) -> Observer:
        """Compare each frame with the one before, or read what the codec stored."""
        if self.method == "motion_vectors":
            return _Vectors(self, clip)
        return _Flow(self, _farneback(self) if self.method == "farneback" else _dis(), clip)

    def keep(self) -> pl.Expr:
        """Score and rate in range."""
        score, rate = pl.col("video_motion_score"), pl.col("video_motion_rate")
        kept = self.in_range(score, self.min_score, self.max_score)
        # Only limits that were given are there, so they are edges as the interval says.
        if self.min_rate is not None:
            closed = self.min_closed_interval != self.reversed_range
            kept &= rate >= self.min_rate if closed else rate > self.min_rate
        if self.max_rate is not None:
            closed = self.max_closed_interval != self.reversed_range
            kept &= rate <= self.max_rate if closed else rate < self.max_rate
        return self.reversible(kept)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {
            "video_motion_score": (self.min_score, self.max_score),
            "video_motion_rate": (self.min_rate, self.max_rate),
        }


def _farneback(o: VideoMotionScoreFilter) -> FlowFunction:
    import cv2
    import numpy as np

    def flow(before: Image, after: Image) -> npt.NDArray[np.float32]:
        start = np.zeros((*before.shape, 2), np.float32)
        found = cv2.calcOpticalFlowFarneback(
            before,
            after,
            start,
            o.pyr_scale,
            o.levels,
            o.winsize,
            o.iterations,
            o.poly_n,
            o.poly_sigma,
            o.flags,
        )
        return found.astype(np.float32, copy=False)

    return flow


def _dis() -> FlowFunction:
    from dj_ops_lib.media.optical_flow import DisFlow

    return DisFlow()


class _Flow(Observer):
    def __init__(self, operator: VideoMotionScoreFilter, flow: FlowFunction, clip: Clip) -> None:
        from dj_ops_lib.motion_rate import MotionRate

        aspect = clip.height / clip.width if clip.width and clip.height else None
        self._rate = MotionRate(PAIR_S, aspect)
        self._relative = operator.relative
        self._flow = flow
        self._previous: Image | None = None
        self._total = 0.0
        self._pairs = 0

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        gray: Image = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
        begins = frame.sampled and frame.index != 1
        self._rate.picture(gray, frame.time_s, begins=begins)
        if not frame.sampled:
            return
        if self._previous is not None:
            flow = self._flow(self._previous, gray)
            length = float(np.mean(np.hypot(flow[..., 0], flow[..., 1])))
            self._total += length / math.hypot(*gray.shape) if self._relative else length
            self._pairs += 1
        self._previous = gray

    def result(self) -> Columns:
        score = self._total / self._pairs if self._pairs else NO_PAIR
        rate = self._rate.result()
        return {
            "video_motion_score": score,
            "video_motion_rate": NO_PAIR if rate is None else rate,
        }


class _Vectors(Observer):
    def __init__(self, operator: VideoMotionScoreFilter, clip: Clip) -> None:
        width, height = clip.width or 1, clip.height or 1
        size = operator._size().resolve(width, height)
        fps = clip.fps or operator.sampling_fps
        step = max(1, round(fps / min(operator.sampling_fps, fps)))
        self._scale = step * math.hypot(*size) / math.hypot(width, height)
        if operator.relative:
            self._scale /= math.hypot(*size)
        # A pixel of the coded picture is so many shown ones wide.
        numerator, _, denominator = (clip.sample_aspect_ratio or "1:1").partition(":")
        self._stretch = float(int(numerator) / int(denominator)) or 1.0
        self._widths_a_pixel = fps / width
        self._speeds: list[float] = []
        self._since = 0

    def vectors(self, vectors: npt.NDArray[np.void], picture_type: str) -> None:
        import numpy as np

        # P frames lean on the I or P frame before them, which is as far back as the B frames in
        # between tell; what B frames lean on is not said.
        self._since += 1
        if picture_type == "B":
            return
        distance, self._since = self._since, 0
        if not vectors.size:
            return
        area = vectors["w"].astype(np.float64) * vectors["h"]
        x = vectors["motion_x"] * self._stretch
        length = np.hypot(x, vectors["motion_y"]) / vectors["motion_scale"]
        self._speeds.append(float(np.average(length, weights=area)) / distance)

    def result(self) -> Columns:
        if not self._speeds:
            return {"video_motion_score": NO_PAIR, "video_motion_rate": NO_PAIR}
        return {
            "video_motion_score": self._scale * statistics.fmean(self._speeds),
            "video_motion_rate": self._widths_a_pixel * statistics.median(self._speeds),
        }
