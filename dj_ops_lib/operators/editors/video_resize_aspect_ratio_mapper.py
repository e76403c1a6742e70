"""Editor: bring the aspect ratio into a range."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter
from dj_ops_lib.operators.editors.video_resize_resolution_mapper import stretch
from dj_ops_lib.operators.filters.video_aspect_ratio_filter import parse_ratio, ratio_text

REACH = 32
"""How many sizes, two pixels apart, are tried for one whose ratio is exact. 32 reach the exact
size for every ratio of terms up to 32, such as 16/9, 21/9 and 3/4."""


class VideoResizeAspectRatioMapper(Editor):
    """Changes the aspect ratio of a clip where it lies outside a range.

    `stretch` distorts the picture, as Data-Juicer does; `pad` adds black borders and `crop` cuts
    the middle out. The edge that changes is even. Where that misses the range, as for `min_ratio
    == max_ratio`, the next size that meets it is taken, where Data-Juicer fails and drops the
    clip. The result has square pixels, where Data-Juicer's sample aspect ratio shows the old shape.
    Sound and all else stays, where Data-Juicer loses the sound.

    Source: Data-Juicer's operator of the same name.
    """

    min_ratio: str = parameter("9/21", "smallest aspect ratio, w/h or w:h")
    max_ratio: str = parameter("21/9", "largest aspect ratio, w/h or w:h")
    strategy: Literal["increase", "decrease"] = parameter(
        "increase", "stretch: whether the short side grows or the long side shrinks"
    )
    mode: Literal["stretch", "pad", "crop"] = parameter("stretch", "what is done to the picture")

    @pydantic.field_validator("min_ratio", "max_ratio", mode="before")
    @classmethod
    def _is_ratio(cls, value: Any) -> Any:
        text = ratio_text(value)
        parse_ratio(text)
        return text

    @pydantic.field_validator("strategy", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    def measure(self, clip: Clip) -> EditResult:
        """The edit, from the row's size."""
        if not clip.width or not clip.height:
            raise ValueError(f"clip {clip.clip_id}: its width and height are unknown")
        width, height = self.new_size(clip.width, clip.height)
        if (width, height) == (clip.width, clip.height):
            return EditResult((), width, height)
        if self.mode == "stretch":
            return EditResult(stretch(width, height), width, height)
        # Even offsets, so that subsampled colour stays where it is.
        x, y = abs(width - clip.width) // 4 * 2, abs(height - clip.height) // 4 * 2
        box = zip(("w", "h", "x", "y"), map(str, (width, height, x, y)), strict=True)
        return EditResult((Edit(self.mode, tuple(box)),), width, height)

    def new_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels that a clip of this size gets."""
        lowest, highest = parse_ratio(self.min_ratio), parse_ratio(self.max_ratio)
        ratio = Fraction(width, height)
        if lowest <= ratio <= highest:
            return width, height
        grow = {"stretch": self.strategy == "increase", "pad": True, "crop": False}[self.mode]
        if ratio < lowest:
            # Too narrow: the width grows, or the height shrinks.
            if grow:
                return _pair(height, lambda h: lowest * h, 2, lowest, highest)
            return _pair(width, lambda w: w / lowest, -2, 1 / highest, 1 / lowest)[::-1]
        if grow:
            return _pair(width, lambda w: w / highest, 2, 1 / highest, 1 / lowest)[::-1]
        return _pair(height, lambda h: highest * h, -2, lowest, highest)


def _pair(
    kept: int,
    other_of: Callable[[int], Fraction],
    step: int,
    lowest: Fraction,
    highest: Fraction,
) -> tuple[int, int]:
    """(the edge that changes, the edge that is kept if it can be), with lowest <= ratio <= highest.

    The changed edge is rounded to even, outwards where `step` is positive; the kept edge moves
    by `step` until the ratio fits.
    """
    found: list[tuple[Fraction, int, int]] = []
    nearest = kept // 2 * 2 if step < 0 else -(-kept // 2) * 2
    edges = (nearest + i * step for i in range(REACH + 1))
    for edge in itertools.chain([kept], (e for e in edges if e >= 2)):
        exact = other_of(edge)
        even = (-(-exact // 2) if step > 0 else exact // 2) * 2
        other = max(2, int(even))
        ratio = Fraction(other, edge)
        if lowest <= ratio <= highest:
            return other, edge
        found.append((max(lowest - ratio, ratio - highest), other, edge))
    _, other, edge = min(found)
    return other, edge
