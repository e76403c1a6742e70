"""Filter by whether the video is all there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.needs import EVERY_SMALL, Frame, Frames, Observer
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoIntegrityFilter(Filter):
    """Keeps clips that decode to their end, with the declared frames, in order.

    A file whose decoding fails is an error row before this filter sees it; here are the quiet
    faults: fewer frames than the header declares, an end before the declared one, timestamps
    that stand still or go back. The ratio of frames is null, and rejects nothing, where no number
    is declared: for pieces of files, and for most files that are no MP4. A picture is there until
    the next one, however long that is.

    Source: this project.
    """

    version: ClassVar[str] = "3"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_decoded_frames", pa.int64(), "frames that were decoded"),
        # The usual limits, 0.95 and 1.05, are edges.
        Column(
            "video_frames_ratio",
            pa.float64(),
            "decoded over declared frames",
            plot=Edges.linear(0, 2, 40),
        ),
        Column("video_decoded_ratio", pa.float64(), "share of the duration that has frames"),
        Column("video_timestamp_errors", pa.int64(), "frames not later than the one before"),
    )

    min_frames_ratio: float = parameter(0.95, "smallest ratio of frames kept", decides=True)
    max_frames_ratio: float = parameter(1.05, "largest ratio of frames kept", decides=True)
    min_decoded_ratio: float = parameter(0.95, "smallest decoded share kept", decides=True)
    max_timestamp_errors: int = parameter(0, "most timestamp errors kept", decides=True)

    def needs(self) -> Frames:
        """Every frame, small."""
        return EVERY_SMALL

    def observe(self, clip: Clip) -> Observer:
        """Count frames and look at their timestamps."""
        return _Count(clip)

    def keep(self) -> pl.Expr:
        """Frames in range, decoded to the end, timestamps in order."""
        frames = self.in_range(
            pl.col("video_frames_ratio"), self.min_frames_ratio, self.max_frames_ratio
        )
        decoded, errors = pl.col("video_decoded_ratio"), pl.col("video_timestamp_errors")
        frames = pl.col("video_frames_ratio").is_null() | frames
        complete = self.in_range(decoded, self.min_decoded_ratio, math.inf)
        ordered = self.in_range(errors, -math.inf, self.max_timestamp_errors)
        return self.reversible(frames & complete & ordered)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_frames_ratio": (self.min_frames_ratio, self.max_frames_ratio),
            "video_decoded_ratio": (self.min_decoded_ratio, None),
            "video_timestamp_errors": (None, self.max_timestamp_errors),
        }


class _Count(Observer):
    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._frames = 0
        self._errors = 0
        self._last: float | None = None
        self._end: float | None = None

    def frame(self, frame: Frame) -> None:
        self._errors += self._last is not None and frame.time_s <= self._last
        self._last = frame.time_s if self._last is None else max(self._last, frame.time_s)
        self._frames += 1

    def end(self, time_s: float) -> None:
        self._end = time_s

    def result(self) -> Columns:
        clip = self._clip
        end = self._end
        if end is None:  # nobody looked behind the last picture
            end = 0.0 if self._last is None else self._last + (1 / clip.fps if clip.fps else 0.0)
        return {
            "video_decoded_frames": self._frames,
            "video_frames_ratio": self._frames / clip.num_frames if clip.num_frames else None,
            "video_decoded_ratio": min(1.0, end / clip.duration_s) if clip.duration_s else None,
            "video_timestamp_errors": self._errors,
        }
