"""Filter by black and by frozen time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SHARE
from dj_ops_lib.needs import EVERY_SMALL, Frame, Frames, Observer
from dj_ops_lib.operator import Column, Columns, Filter, parameter

if TYPE_CHECKING:
    import numpy.typing as npt


ROUNDING_S = 1e-6
"""Timestamps are exact to the microsecond."""


class VideoBlackFreezeFilter(Filter):
    """Keeps clips of which only a small share of the time is black or frozen.

    A frame is black when nearly all its pixels are dark. A run is frozen while no frame differs
    from the run's first one by more than the noise. Runs shorter than the given durations do
    not count. Both shares are of the clip's duration.

    Source: the definitions of FFmpeg's blackdetect and freezedetect filters, with shorter
    minimum durations, for clips last seconds, and twice the noise. A still picture is renewed at
    key frames, by up to 0.0014 where it is smooth and by 0.004 to 0.03 where it is a texture (x264,
    crf 18 to 33, 720p, 2026-11-26). The latter begins a new run, here as there: with a key frame
    every half second, 0.48 to 0.88 of six still seconds are frozen, at freezedetect's noise (0.001)
    as at ours. Where that matters, raise `freeze_noise`.
    """

    version: ClassVar[str] = "3"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_black_ratio", pa.float64(), "share of the time that is black", plot=SHARE),
        Column("video_freeze_ratio", pa.float64(), "share of the time that is frozen", plot=SHARE),
    )

    min_black_ratio: float = parameter(0, "smallest black share kept", decides=True)
    max_black_ratio: float = parameter(0.1, "largest black share kept", decides=True)
    min_freeze_ratio: float = parameter(0, "smallest frozen share kept", decides=True)
    max_freeze_ratio: float = parameter(0.5, "largest frozen share kept", decides=True)
    black_level: float = parameter(0.1, "brightness up to which a pixel is dark", ge=0, le=1)
    black_pixel_ratio: float = parameter(
        0.98, "share of dark pixels from which a frame is black", ge=0, le=1
    )
    black_duration: float = parameter(0.1, "shortest black run counted", unit="s", ge=0)
    freeze_noise: float = parameter(
        0.002, "mean luma difference, of full scale, up to which frames are the same", ge=0, le=1
    )
    freeze_duration: float = parameter(1, "shortest frozen run counted", unit="s", ge=0)

    def needs(self) -> Frames:
        """Every frame, small."""
        return EVERY_SMALL

    def observe(self, clip: Clip) -> Observer:
        """Follow black and frozen runs."""
        return _Runs(self, clip)

    def keep(self) -> pl.Expr:
        """Both shares in range."""
        black = self.in_range(
            pl.col("video_black_ratio"), self.min_black_ratio, self.max_black_ratio
        )
        freeze = self.in_range(
            pl.col("video_freeze_ratio"), self.min_freeze_ratio, self.max_freeze_ratio
        )
        return self.reversible(black & freeze)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_black_ratio": (self.min_black_ratio, self.max_black_ratio),
            "video_freeze_ratio": (self.min_freeze_ratio, self.max_freeze_ratio),
        }


class _Runs(Observer):
    def __init__(self, operator: VideoBlackFreezeFilter, clip: Clip) -> None:
        self._operator = operator
        self._clip = clip
        self._times = array("d")
        self._black = bytearray()
        self._moved = bytearray()
        self._end: float | None = None
        self._reference: npt.NDArray[Any] | None = None

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        o = self._operator
        gray = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        dark = float(np.mean(gray <= o.black_level * 255))
        moved = True
        if self._reference is not None:
            difference = cv2.absdiff(gray, self._reference)
            moved = float(np.mean(difference)) > o.freeze_noise * 255
        if moved:
            self._reference = gray
        self._times.append(frame.time_s)
        self._black.append(dark >= o.black_pixel_ratio)
        self._moved.append(moved)

    def end(self, time_s: float) -> None:
        self._end = time_s

    def result(self) -> Columns:
        if not self._times:
            return {"video_black_ratio": None, "video_freeze_ratio": None}
        # Not by the average rate: how long the last picture is shown is the clip's end.
        end = max(self._clip.duration_s or 0.0, self._end or self._times[-1])
        bounds = [*self._times, end]
        whole = (end - bounds[0]) or 1.0
        o = self._operator
        black = _time_in_runs(bounds, [not b for b in self._black], self._black, o.black_duration)
        # A frozen run begins with the frame that the following ones repeat.
        frozen = [not m or not n for m, n in zip(self._moved, [*self._moved[1:], 1], strict=True)]
        freeze = _time_in_runs(bounds, self._moved, frozen, o.freeze_duration)
        return {"video_black_ratio": black / whole, "video_freeze_ratio": freeze / whole}


def _time_in_runs(
    bounds: list[float], breaks: Iterable[int], inside: Iterable[int], shortest: float
) -> float:
    """Seconds in runs of frames that are `inside`; a frame that `breaks` begins a new run."""
    total = 0.0
    start: float | None = None
    for time_s, new, is_in in zip(bounds, [*breaks, 1], [*inside, 0], strict=True):
        if start is not None and (new or not is_in):
            length = time_s - start
            total += length if length >= shortest - ROUNDING_S else 0.0
            start = None
        if is_in and start is None:
            start = time_s
    return total
