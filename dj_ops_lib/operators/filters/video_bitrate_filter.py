"""Filter by bit rate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.needs import Observer, Packets
from dj_ops_lib.operator import Column, Columns, Filter, parameter


class VideoBitrateFilter(Filter):
    """Keeps clips whose video bit rate lies in a range: drops what was compressed to mush.

    Counts the packets of the clip itself, so sound, container and the rest of the file do not
    matter. Bits a pixel (bit rate / (width * height * fps)) compares across sizes.

    Source: this project.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        # Ten kilobits to a gigabit a second; H.264 has about 0.1 bits a pixel. Eight bins a decade.
        Column(
            "video_bitrate",
            pa.float64(),
            "video bits a second",
            "bit/s",
            plot=Edges.log(1e4, 1e9, 40),
        ),
        Column(
            "video_bits_per_pixel",
            pa.float64(),
            "video bits a pixel",
            "bit",
            plot=Edges.log(0.001, 10, 32),
        ),
    )

    min_bitrate: float = parameter(0, "lowest bit rate kept", unit="bit/s", decides=True)
    max_bitrate: float = parameter(sys.maxsize, "highest bit rate kept", unit="bit/s", decides=True)
    min_bits_per_pixel: float = parameter(
        0.01, "fewest bits a pixel kept; 0.1 is usual for H.264", unit="bit", decides=True
    )
    max_bits_per_pixel: float = parameter(
        sys.maxsize, "most bits a pixel kept", unit="bit", decides=True
    )

    def needs(self) -> Packets:
        """Packets: nothing is decoded."""
        return Packets()

    def observe(self, clip: Clip) -> Observer:
        """Count the bytes of the clip's packets."""
        return _Bytes(clip)

    def keep(self) -> pl.Expr:
        """Both rates in range."""
        rate = self.in_range(pl.col("video_bitrate"), self.min_bitrate, self.max_bitrate)
        density = self.in_range(
            pl.col("video_bits_per_pixel"), self.min_bits_per_pixel, self.max_bits_per_pixel
        )
        return self.reversible(rate & density)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_bitrate": (self.min_bitrate, self.max_bitrate),
            "video_bits_per_pixel": (self.min_bits_per_pixel, self.max_bits_per_pixel),
        }


class _Bytes(Observer):
    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._bytes: dict[int, int] = {}
        self._frames: dict[int, int] = {}

    def packet(self, payload: bytes, pts_s: float | None, stream: int) -> None:
        span = self._clip.span
        inside = pts_s is None or span.start_s <= pts_s < span.end_s
        if inside or (self._clip.start_s is None and self._clip.end_s is None):
            self._bytes[stream] = self._bytes.get(stream, 0) + len(payload)
            self._frames[stream] = self._frames.get(stream, 0) + 1

    def result(self) -> Columns:
        clip = self._clip
        first = min(self._bytes, default=0)
        bits = 8 * self._bytes.get(first, 0)
        duration = clip.span.end_s - clip.span.start_s
        pixels = (clip.width or 0) * (clip.height or 0) * self._frames.get(first, 0)
        return {
            "video_bitrate": bits / duration if duration > 0 else None,
            "video_bits_per_pixel": bits / pixels if pixels else None,
        }
