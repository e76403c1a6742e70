"""Editor: fill in a watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.media.regions import REGION, parse_box, pixel_box, region_options
from dj_ops_lib.needs import Frame, Frames, Observer, Uniform
from dj_ops_lib.operator import Column, Editor, EditResult, parameter
from dj_ops_lib.operators.editors.video_mosaic_mapper import Box, boxes_of, reads_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]

JOIN_PX, OUTLINE_PX = 9, 2
"""Strokes nearer than this are one watermark; a box reaches this far beyond it, because it is
filled in from its own outline."""


class VideoRemoveWatermarkMapper(Editor):
    """Finds the watermark inside given regions and fills it in from what surrounds it.

    A pixel belongs to the watermark if Otsu's threshold finds it bright in enough frames
    (`pixel_value`), or if it changes less than the rest over the frames (`pixel_diversity`).
    Boxes around connected strokes are filled with the smooth continuation of their outlines,
    where Data-Juicer inpaints the strokes; the boxes are stored. The clip's own regions
    (`roi_key`) are used for ratio and pixel, where Data-Juicer ignores them for ratio. With
    fewer frames than `min_frame_threshold` a pixel must be bright in all of them. Sound and all
    else stays, where Data-Juicer loses the sound.

    Source: Data-Juicer's operator of the same name; N. Otsu, "A threshold selection method from
    gray-level histograms", IEEE Trans. SMC 9, 1979, as in OpenCV.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "video_watermark_boxes",
            pa.list_(pa.list_(pa.int32())),
            "x1, y1, x2, y2 of what was filled in",
            "px",
        ),
    )

    roi_strings: tuple[str, ...] = parameter(
        ("0,0,0.1,0.1",), "boxes x1,y1,x2,y2 that are searched in all clips"
    )
    roi_type: Literal["ratio", "pixel"] = parameter("ratio", "what the boxes' numbers are")
    roi_key: str | None = parameter(None, "column or field of `extra` with the clip's own boxes")
    frame_num: int = parameter(10, "number of frames looked at", ge=1)
    min_frame_threshold: int = parameter(7, "frames that a pixel must be bright in", ge=1)
    detection_method: Literal["pixel_value", "pixel_diversity"] = parameter(
        "pixel_value", "how the watermark is found"
    )

    @pydantic.field_validator("roi_strings", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> VideoRemoveWatermarkMapper:
        for text in self.roi_strings:
            parse_box(text, self.roi_type)
        if self.detection_method == "pixel_diversity" and self.frame_num < 2:
            raise ValueError("pixel_diversity compares frames: frame_num must be at least 2")
        return self

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Where the clip's own boxes are."""
        return reads_of(self.roi_key)

    def needs(self) -> Frames:
        """A few frames in full size."""
        return Frames(Uniform(self.frame_num), None, "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Look at the regions of the frames."""
        given = () if clip.columns.get(self.roi_key or "") else self.roi_strings
        return _Watermark(self, clip, boxes_of(clip, given, self.roi_type, self.roi_key))


class _Watermark(Observer):
    def __init__(
        self, operator: VideoRemoveWatermarkMapper, clip: Clip, regions: list[Box]
    ) -> None:
        self._operator = operator
        self._size = clip.width or 0, clip.height or 0
        self._regions = regions
        self._frames: list[list[Image]] = [[] for _ in regions]

    def frame(self, frame: Frame) -> None:
        for (x1, y1, x2, y2), seen in zip(self._regions, self._frames, strict=True):
            seen.append(frame.image[y1:y2, x1:x2].copy())

    def result(self) -> EditResult:
        find = _bright if self._operator.detection_method == "pixel_value" else _unchanging
        boxes: list[Box] = []
        for region, seen in zip(self._regions, self._frames, strict=True):
            mask = find(seen, self._operator.min_frame_threshold)
            if mask is not None:
                boxes += _boxes(mask, region, self._size)
        edits = tuple(Edit(REGION, region_options(box, "fill", 1)) for box in boxes)
        stored = {"video_watermark_boxes": [list(box) for box in boxes]}
        return EditResult(edits, *self._size, stored)


def _bright(seen: list[Image], frames: int) -> Image | None:
    """Pixels on the bright side of Otsu's threshold in enough frames; 255 where they are."""
    import cv2
    import numpy as np

    if not seen:
        return None
    counts = np.zeros(seen[0].shape[:2], np.int32)
    for image in seen:
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        _, mask = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        edge = np.concatenate([mask[0], mask[:, 0]])
        counts += mask == (0 if edge.mean() > 0.5 else 1)
    return (counts >= min(frames, len(seen))).astype(np.uint8) * 255


def _unchanging(seen: list[Image], frames: int) -> Image | None:
    """Pixels that vary less over the frames than Otsu's threshold; 255 where they are."""
    import cv2
    import numpy as np

    if len(seen) < 2:
        return None
    spread = np.std(np.stack(seen).astype(np.float32), axis=0).sum(axis=2)
    span = float(spread.max() - spread.min())
    if span == 0:
        return None
    scaled = ((spread - spread.min()) / span * 255).astype(np.uint8)
    _, mask = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    found: Image = mask.astype(np.uint8, copy=False)
    return found


def _boxes(mask: Image, region: Box, size: tuple[int, int]) -> list[Box]:
    """Boxes in the picture around the connected parts of a mask of a region."""
    import cv2
    import numpy as np

    wide = cv2.dilate(mask, np.ones((JOIN_PX, JOIN_PX), np.uint8))
    count, labels = cv2.connectedComponents(wide)
    boxes: list[Box] = []
    for label in range(1, count):
        rows, columns = np.nonzero((labels == label) & (mask > 0))
        corners = (
            max(0, int(columns.min()) + region[0] - OUTLINE_PX),
            max(0, int(rows.min()) + region[1] - OUTLINE_PX),
            int(columns.max()) + 1 + region[0] + OUTLINE_PX,
            int(rows.max()) + 1 + region[1] + OUTLINE_PX,
        )
        box = pixel_box(corners, "pixel", *size)
        if box is not None:
            boxes.append(box)
    return boxes
