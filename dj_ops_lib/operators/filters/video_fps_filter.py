"""Filter by frame rate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import FRAME_RATE
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoFpsFilter(Filter):
    """Keeps clips whose average frame rate lies in a range.

    The rate is the file's average, which for a variable frame rate is frames over duration.

    Source: this project; Data-Juicer lists it as missing (its issue 433).
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_fps", pa.float64(), "average frame rate", "1/s", plot=FRAME_RATE),
    )

    min_fps: float = parameter(8, "lowest frame rate kept", unit="1/s", decides=True)
    max_fps: float = parameter(sys.maxsize, "highest frame rate kept", unit="1/s", decides=True)

    def measure(self, clip: Clip) -> Columns:
        """Frame rate, from the row."""
        return {"video_fps": clip.fps}

    def keep(self) -> pl.Expr:
        """Frame rate in range."""
        return self.reversible(self.in_range(pl.col("video_fps"), self.min_fps, self.max_fps))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_fps": (self.min_fps, self.max_fps)}
