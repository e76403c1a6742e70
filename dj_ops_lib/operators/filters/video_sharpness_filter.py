"""Filter by sharpness."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.needs import Frame, Frames, Observer, Size, Uniform
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoSharpnessFilter(Filter):
    """Keeps clips that are sharp.

    The score is the variance of the Laplacian of luma (0 to 255), averaged over sampled frames.
    Frames are scaled down to one short edge first, so that sizes compare; smaller frames are
    left as they are.

    Source: J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a
    comparative study", ICPR 2000, the measure LAPV; OpenCV's 3x3 Laplacian.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        # Grey levels squared, eight bins a decade: below 1 is flat, black and white noise 3e5.
        Column(
            "video_sharpness", pa.float64(), "variance of the Laplacian", plot=Edges.log(1, 1e6, 48)
        ),
    )

    min_sharpness: float = parameter(20, "smallest score kept", decides=True)
    max_sharpness: float = parameter(sys.maxsize, "largest score kept", decides=True)
    frame_num: int = parameter(8, "number of frames looked at", ge=1)
    size: int = parameter(480, "largest short edge that is looked at", unit="px", ge=16)

    def needs(self) -> Frames:
        """A few frames of comparable size."""
        return Frames(Uniform(self.frame_num), Size(max_short=self.size), "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Average the variance."""
        return _Laplacian()

    def keep(self) -> pl.Expr:
        """Score in range."""
        value = pl.col("video_sharpness")
        return self.reversible(self.in_range(value, self.min_sharpness, self.max_sharpness))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_sharpness": (self.min_sharpness, self.max_sharpness)}


class _Laplacian(Observer):
    def __init__(self) -> None:
        self._total = 0.0
        self._frames = 0

    def frame(self, frame: Frame) -> None:
        import cv2

        gray = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        self._total += float(cv2.Laplacian(gray, cv2.CV_64F).var())
        self._frames += 1

    def result(self) -> Columns:
        return {"video_sharpness": self._total / self._frames if self._frames else None}
