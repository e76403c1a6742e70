"""Filter by duration."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SECONDS
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoDurationFilter(Filter):
    """Keeps clips whose duration lies in a range.

    The duration is the clip's own: of its span, not of the file it lies in. It is found in
    Matroska files, too, which Data-Juicer drops with `video_backend: av`.

    Source: Data-Juicer's operator of the same name (1.5; older versions round to seconds).
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_duration", pa.float64(), "duration of the clip", "s", plot=SECONDS),
    )

    min_duration: float = parameter(0, "shortest duration kept", unit="s", decides=True)
    max_duration: float = parameter(sys.maxsize, "longest duration kept", unit="s", decides=True)

    def measure(self, clip: Clip) -> Columns:
        """Duration, from the row."""
        return {"video_duration": clip.duration_s}

    def keep(self) -> pl.Expr:
        """Duration in range."""
        value = pl.col("video_duration")
        return self.reversible(self.in_range(value, self.min_duration, self.max_duration))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_duration": (self.min_duration, self.max_duration)}
