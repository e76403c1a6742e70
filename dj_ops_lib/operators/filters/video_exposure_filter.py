"""Filter by exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SHARE, Edges
from dj_ops_lib.needs import Frame, Frames, Observer, Size, Uniform
from dj_ops_lib.operator import Column, Columns, Filter, parameter

DARK, BRIGHT = 16, 239
"""Luma up to which a pixel has no shadow detail, and from which it has no highlight detail:
a sixteenth of the range at each end."""


class VideoExposureFilter(Filter):
    """Keeps clips that are neither too dark, too bright nor flat.

    Means over sampled frames: brightness and contrast are mean and standard deviation of luma,
    the clipped shares are of pixels in the lowest and highest sixteenth of the range.

    Source: this project.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_brightness", pa.float64(), "mean luma, 0 to 1", plot=SHARE),
        Column(
            "video_contrast",
            pa.float64(),
            "standard deviation of luma, 0 to 0.5",
            plot=Edges.linear(0, 0.5, 50),
        ),
        Column("video_dark_ratio", pa.float64(), "share of pixels that are black"),
        Column("video_bright_ratio", pa.float64(), "share of pixels that are white"),
    )

    min_brightness: float = parameter(0.08, "lowest brightness kept", decides=True)
    max_brightness: float = parameter(0.92, "highest brightness kept", decides=True)
    min_contrast: float = parameter(0.02, "lowest contrast kept", decides=True)
    max_contrast: float = parameter(0.5, "highest contrast kept", decides=True)
    min_dark_ratio: float = parameter(0, "smallest black share kept", decides=True)
    max_dark_ratio: float = parameter(0.9, "largest black share kept", decides=True)
    min_bright_ratio: float = parameter(0, "smallest white share kept", decides=True)
    max_bright_ratio: float = parameter(0.9, "largest white share kept", decides=True)
    frame_num: int = parameter(8, "number of frames looked at", ge=1)

    def needs(self) -> Frames:
        """A few small frames."""
        return Frames(Uniform(self.frame_num), Size(max_short=240), "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Average the statistics of the frames."""
        return _Luma()

    def keep(self) -> pl.Expr:
        """All four in range."""
        return self.reversible(
            pl.all_horizontal(
                self.in_range(pl.col(column), lowest or 0.0, highest or 0.0)
                for column, (lowest, highest) in self.thresholds().items()
            )
        )

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_brightness": (self.min_brightness, self.max_brightness),
            "video_contrast": (self.min_contrast, self.max_contrast),
            "video_dark_ratio": (self.min_dark_ratio, self.max_dark_ratio),
            "video_bright_ratio": (self.min_bright_ratio, self.max_bright_ratio),
        }


class _Luma(Observer):
    def __init__(self) -> None:
        self._sums = [0.0] * 4
        self._frames = 0

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        gray = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        of_frame = (
            np.mean(gray) / 255,
            np.std(gray) / 255,
            np.mean(gray < DARK),
            np.mean(gray > BRIGHT),
        )
        self._sums = [total + float(one) for total, one in zip(self._sums, of_frame, strict=True)]
        self._frames += 1

    def result(self) -> Columns:
        names = [c.name for c in VideoExposureFilter.columns]
        if not self._frames:
            return dict.fromkeys(names)
        return {n: total / self._frames for n, total in zip(names, self._sums, strict=True)}
