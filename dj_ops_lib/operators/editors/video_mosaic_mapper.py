"""Editor: cover given parts of the picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.media.regions import REGION, parse_box, pixel_box, region_options
from dj_ops_lib.operator import Editor, EditResult, parameter
from dj_ops_lib.registry import operator_class, operator_names

Box = tuple[int, int, int, int]


class VideoMosaicMapper(Editor):
    """Covers regions with a mosaic or a blur, for the whole clip.

    Regions are given for all clips, and for each clip by a column or a field of `extra` that
    holds one box, as text or as four numbers, or a list of them. Boxes are `x1,y1,x2,y2` from
    the upper left, as shares of the edges or in pixels; what lies outside the picture is cut.

    Source: this project; Data-Juicer has no mosaic.
    """

    roi_strings: tuple[str, ...] = parameter((), "boxes for all clips")
    roi_type: Literal["ratio", "pixel"] = parameter("ratio", "what the boxes' numbers are")
    roi_key: str | None = parameter(None, "column or field of `extra` with the clip's own boxes")
    blur_type: Literal["pixelate", "gaussian", "mean", "box"] = parameter(
        "pixelate", "what covers the regions"
    )
    radius: float = parameter(16, "size of a mosaic block, or radius of the blur", unit="px", ge=1)

    @pydantic.field_validator("roi_strings", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _boxes_are_boxes(self) -> VideoMosaicMapper:
        for text in self.roi_strings:
            parse_box(text, self.roi_type)
        return self

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Where the clip's own boxes are."""
        return reads_of(self.roi_key)

    def measure(self, clip: Clip) -> EditResult:
        """One edit for each region of the clip."""
        boxes = boxes_of(clip, self.roi_strings, self.roi_type, self.roi_key)
        edits = tuple(
            Edit(REGION, region_options(box, self.blur_type, self.radius)) for box in boxes
        )
        return EditResult(edits, clip.width or 0, clip.height or 0)


def reads_of(key: str | None) -> tuple[str, ...]:
    """The columns that hold the clips' own boxes: that of another operator, else `extra`."""
    if key is None:
        return ()
    made = {c.name for name in operator_names() for c in operator_class(name).columns}
    return (key,) if key in made else ("extra",)


def boxes_of(clip: Clip, given: Sequence[str], kind: str, key: str | None) -> list[Box]:
    """Boxes for all clips and the clip's own, inside its picture, in pixels.

    Raises:
        ValueError: One of the clip's own is not a box.
    """
    texts = [*given, *_own_boxes(clip, key)]
    size = clip.width or 0, clip.height or 0
    boxes = (pixel_box(parse_box(text, kind), kind, *size) for text in texts)
    return [box for box in boxes if box is not None]


def _own_boxes(clip: Clip, key: str | None) -> list[str]:
    """The clip's own boxes, as text."""
    if key is None:
        return []
    found: Any = clip.columns.get(key)
    if found is None and clip.extra:
        found = json.loads(clip.extra).get(key)
    if not found:
        return []
    if isinstance(found, str) or all(isinstance(v, int | float) for v in found):
        found = [found]
    return [b if isinstance(b, str) else ",".join(map(str, b)) for b in found]
