"""Filter by width and height."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import PIXELS
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoResolutionFilter(Filter):
    """Keeps clips whose width and height both lie in a range.

    Sizes are display sizes, after rotation, sample aspect ratio and earlier edits;
    Data-Juicer compares the coded size and so misses rotated files. `reversed_range` keeps what
    is outside in width or height; Data-Juicer asks for both, so that limits for one of them
    keep nothing.

    Source: Data-Juicer's operator of the same name.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_width", pa.int32(), "display width", "px", plot=PIXELS),
        Column("video_height", pa.int32(), "display height", "px", plot=PIXELS),
    )

    min_width: int = parameter(1, "smallest width kept", unit="px", decides=True)
    max_width: int = parameter(sys.maxsize, "largest width kept", unit="px", decides=True)
    min_height: int = parameter(1, "smallest height kept", unit="px", decides=True)
    max_height: int = parameter(sys.maxsize, "largest height kept", unit="px", decides=True)

    def measure(self, clip: Clip) -> Columns:
        """Width and height, from the row."""
        return {"video_width": clip.width, "video_height": clip.height}

    def keep(self) -> pl.Expr:
        """Both edges in range."""
        width = self.in_range(pl.col("video_width"), self.min_width, self.max_width)
        height = self.in_range(pl.col("video_height"), self.min_height, self.max_height)
        return self.reversible(width & height)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_width": (self.min_width, self.max_width),
            "video_height": (self.min_height, self.max_height),
        }
