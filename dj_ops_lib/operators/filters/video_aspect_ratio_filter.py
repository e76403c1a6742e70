"""Filter by aspect ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.operator import Column, Columns, Filter, parameter

LARGEST_TERM = 10**9
"""Numerator and denominator of a ratio stay below this, so that products fit 64 bits."""


def ratio_text(value: Any) -> Any:
    """A ratio that was written as a number, as text; anything else as it is.

    Raises:
        ValueError: It is 60 or more, as what YAML 1.1 makes of an unquoted `16:9`, which is 969.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value >= 60:
        raise ValueError("write a ratio as text, such as '16/9'")
    return str(value)


def parse_ratio(value: Any) -> Fraction:
    """The ratio written as `16/9`, `16:9` or `1.5`.

    Raises:
        ValueError: It is not a positive ratio of moderate numbers.
    """
    if not isinstance(value, str):
        raise ValueError("write a ratio as text, such as '16/9'")
    try:
        ratio = Fraction(value.replace(":", "/").replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        raise ValueError("expected a ratio such as '16/9' or '16:9'") from None
    if ratio <= 0 or max(ratio.as_integer_ratio()) > LARGEST_TERM:
        raise ValueError(f"expected a ratio above 0 with terms of at most {LARGEST_TERM}")
    return ratio


class VideoAspectRatioFilter(Filter):
    """Keeps clips whose aspect ratio (width / height) lies in a range.

    The comparison is exact, in integers; Data-Juicer compares ten digits with a fraction and so
    rejects 1920x1080 for `max_ratio: 16/9` and 640x480 for `min_ratio: 4/3`. Sizes are display
    sizes, after rotation, sample aspect ratio and earlier edits.

    Source: Data-Juicer's operator of the same name.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        # From 1:4 to 4:1, eight bins an octave: 4:3, 16:9 and 21:9 are apart, upright as well.
        Column(
            "video_aspect_ratios",
            pa.float64(),
            "display width / height",
            plot=Edges.log(0.25, 4, 32),
        ),
        Column("video_aspect_numerator", pa.int64(), "width of the reduced aspect ratio"),
        Column("video_aspect_denominator", pa.int64(), "height of the reduced aspect ratio"),
    )

    min_ratio: str = parameter("9/21", "smallest aspect ratio kept, w/h or w:h", decides=True)
    max_ratio: str = parameter("21/9", "largest aspect ratio kept, w/h or w:h", decides=True)

    @pydantic.field_validator("min_ratio", "max_ratio", mode="before")
    @classmethod
    def _is_ratio(cls, value: Any) -> Any:
        text = ratio_text(value)
        parse_ratio(text)
        return text

    def measure(self, clip: Clip) -> Columns:
        """The ratio of the row's width and height; null where they are unknown or zero."""
        if not clip.width or not clip.height:
            return dict.fromkeys(c.name for c in self.columns)
        divisor = math.gcd(clip.width, clip.height)
        return {
            "video_aspect_ratios": clip.width / clip.height,
            "video_aspect_numerator": clip.width // divisor,
            "video_aspect_denominator": clip.height // divisor,
        }

    def keep(self) -> pl.Expr:
        """The ratio in range, by cross-multiplication."""
        width, height = pl.col("video_aspect_numerator"), pl.col("video_aspect_denominator")
        lowest, highest = parse_ratio(self.min_ratio), parse_ratio(self.max_ratio)
        above, least = width * lowest.denominator, height * lowest.numerator
        below, most = width * highest.denominator, height * highest.numerator
        above_ok = above >= least if self.includes_min(self.min_ratio) else above > least
        below_ok = below <= most if self.includes_max(self.max_ratio) else below < most
        return self.reversible(above_ok & below_ok)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits as floats."""
        limits = float(parse_ratio(self.min_ratio)), float(parse_ratio(self.max_ratio))
        return {"video_aspect_ratios": limits}
