"""Editor: resize into a range of widths and heights."""

from __future__ import annotations

import sys
from typing import Any, Literal

import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter

LARGEST_EDGE = 32_768
"""Pixels of an edge that clips are enlarged to at most: no encoder takes more."""

SQUARE = Edit("setsar", (("sar", "1"),))
"""Declares pixels square, which `scale` makes oblong to keep the shape of the picture."""


class VideoResizeResolutionMapper(Editor):
    """Resizes a clip whose width or height lies outside a range.

    The new size is Data-Juicer's, rounding included, so the last rounding may leave it a pixel
    or two outside the range, as there. The picture is stretched to it with square pixels, where
    Data-Juicer's sample aspect ratio shows the old shape; sound and all else stays, where
    Data-Juicer loses the sound.

    Source: Data-Juicer's operator of the same name.
    """

    min_width: int = parameter(1, "smallest width", unit="px", ge=0, le=LARGEST_EDGE)
    max_width: int = parameter(sys.maxsize, "largest width", unit="px", ge=2)
    min_height: int = parameter(1, "smallest height", unit="px", ge=0, le=LARGEST_EDGE)
    max_height: int = parameter(sys.maxsize, "largest height", unit="px", ge=2)
    force_original_aspect_ratio: Literal["disable", "decrease", "increase"] = parameter(
        "disable", "shrink or enlarge the side that deviates from the clip's aspect ratio"
    )
    force_divisible_by: int = parameter(
        2, "both edges become a multiple of this where the ratio is kept", unit="px", ge=1, le=1024
    )

    @pydantic.field_validator("force_original_aspect_ratio", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _even_with_ratio(self) -> VideoResizeResolutionMapper:
        if self.force_original_aspect_ratio != "disable" and self.force_divisible_by % 2:
            raise ValueError("force_divisible_by must be even where the aspect ratio is kept")
        return self

    def measure(self, clip: Clip) -> EditResult:
        """The size, from the row's."""
        if not clip.width or not clip.height:
            raise ValueError(f"clip {clip.clip_id}: its width and height are unknown")
        width, height = self.new_size(clip.width, clip.height)
        if (width, height) == (clip.width, clip.height):
            return EditResult((), width, height)
        return EditResult(stretch(width, height), width, height)

    def new_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels that a clip of this size gets."""
        if (
            self.min_width <= width <= self.max_width
            and self.min_height <= height <= self.max_height
        ):
            return width, height
        ratio = width / height
        w, h = float(width), float(height)
        if w < self.min_width:
            w, h = self.min_width, self.min_width / ratio
        if w > self.max_width:
            w, h = self.max_width, self.max_width / ratio
        if h < self.min_height:
            w, h = self.min_height * ratio, self.min_height
        if h > self.max_height:
            w, h = self.max_height * ratio, self.max_height
        mode = self.force_original_aspect_ratio
        step = 2 if mode == "disable" else self.force_divisible_by
        w = _into(int(w), self.min_width, self.max_width, step)
        h = _into(int(h), self.min_height, self.max_height, step)
        if mode != "disable" and (w / h < ratio) == (mode == "increase"):
            w = h * ratio
        elif mode != "disable":
            h = w / ratio
        return max(step, round(w / step) * step), max(step, round(h / step) * step)


def _into(edge: int, lowest: int, highest: int, step: int) -> int:
    up = -(-max(edge, lowest) // step) * step
    return max(step, min(up, highest) // step * step)


def stretch(width: int, height: int) -> tuple[Edit, ...]:
    """Scale to a size with square pixels."""
    size = (("width", str(width)), ("height", str(height)))
    return Edit("scale", size), SQUARE
