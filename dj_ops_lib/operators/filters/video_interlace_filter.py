"""Filter by interlaced pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SHARE
from dj_ops_lib.needs import Every, Frame, Frames, Observer
from dj_ops_lib.operator import Column, Columns, Filter, parameter

SIDEWAYS = {90, 270}
"""Rotations at which a file's lines are shown as columns."""


class VideoInterlaceFilter(Filter):
    """Keeps clips whose pictures are progressive, by their lines and not by their label.

    In an interlaced picture every other line comes from a later instant, so that what moves has
    combs. The share is of the pictures that can be told: where nothing moves, none can be, and a
    clip without any has a share of 0, as has one in which things move straight up or down only,
    for no comb can be seen in them. `field_order` is what the file's header says; either can be
    without the other.

    Source: FFmpeg's idet filter, with its defaults; a picture must show combs, too, as idet alone
    takes what moves up or down for interlaced (`media/interlacing.py`).
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_interlaced_ratio", pa.float64(), "share of interlaced pictures", plot=SHARE),
    )

    min_ratio: float = parameter(0, "smallest share kept", decides=True)
    max_ratio: float = parameter(0.3, "largest share kept", decides=True)

    def needs(self) -> Frames:
        """Every frame in full size: scaling mixes lines."""
        return Frames(Every(), None, "gray")

    def observe(self, clip: Clip) -> Observer:
        """Compare lines with those of the pictures before and after."""
        return _Lines(sideways=(clip.rotation or 0) in SIDEWAYS)

    def keep(self) -> pl.Expr:
        """The share in range."""
        value = pl.col("video_interlaced_ratio")
        return self.reversible(self.in_range(value, self.min_ratio, self.max_ratio))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_interlaced_ratio": (self.min_ratio, self.max_ratio)}


class _Lines(Observer):
    def __init__(self, *, sideways: bool) -> None:
        from dj_ops_lib.media.interlacing import FieldDetector

        self._sideways = sideways
        self._detector = FieldDetector()

    def frame(self, frame: Frame) -> None:
        self._detector.look(frame.image.T if self._sideways else frame.image)

    def result(self) -> Columns:
        found = self._detector
        found.finish()
        return {"video_interlaced_ratio": found.interlaced / found.told if found.told else 0.0}
