"""Editor: fill in a watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.media.filling import mask_text
from dj_ops_lib.media.regions import REGION, parse_box, pixel_box, region_options
from dj_ops_lib.needs import Frame, Frames, Observer, Uniform
from dj_ops_lib.operator import Column, Editor, EditResult, parameter
from dj_ops_lib.operators.editors.video_mosaic_mapper import Box, boxes_of, reads_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]

JOIN_PX, GROW_PX = 9, 2
"""Strokes nearer than this have one box; a stroke grows by this on each side, as Data-Juicer's
do, for its edges are soft."""

SURE_PX, SURE_SHARE = 12, 0.5
"""Pixels of an outline that are surely still, and their share, from which it is the watermark's:
on four photographs in motion no mark is found where there is none (2026-11-22)."""

SIGMA_SHARE = 0.3
"""Width of the Gaussian that strokes are filled with, of half the widest one's width: 0.25 to 0.35
were within 0.2 dB on four photographs in motion, 0.7 lost up to 2 dB (2026-11-22)."""

STILL_EDGE, MOVING = 1.5, 0.75
"""Grey levels a pixel: the least slope of a still edge, and how much the slopes of the liveliest
tenth of a region change where there is motion to tell still edges by."""


class VideoRemoveWatermarkMapper(Editor):
    """Finds the watermark inside given regions and fills it in from what surrounds it.

    A pixel belongs to the watermark if Otsu's threshold finds it bright in enough frames
    (`pixel_value`), if it changes less than the rest over the frames (`pixel_diversity`), or if
    it lies inside edges that stay while the picture moves (`still_edges`, an addition: in
    textured footage the other two take much of the texture for the mark). The strokes are filled
    with a weighted mean of what surrounds them (`media/filling.py`), where Data-Juicer uses
    Navier-Stokes inpainting; boxes around them are stored. The clip's own regions (`roi_key`)
    are used for ratio and pixel, where Data-Juicer ignores them for ratio. With fewer frames
    than `min_frame_threshold` a pixel must be bright in all of them. Sound and all else stays,
    where Data-Juicer loses the sound.

    Source: Data-Juicer's operator of the same name; N. Otsu, "A threshold selection method from
    gray-level histograms", IEEE Trans. SMC 9, 1979, as in OpenCV; for still edges T. Dekel et
    al., "On the Effectiveness of Visible Watermarks", CVPR 2017.
    """

    version: ClassVar[str] = "2"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "video_watermark_boxes",
            pa.list_(pa.list_(pa.int32())),
            "x1, y1, x2, y2 around what was filled in",
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
    detection_method: Literal["pixel_value", "pixel_diversity", "still_edges"] = parameter(
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
        if self.detection_method != "pixel_value" and self.frame_num < 2:
            method = self.detection_method
            raise ValueError(f"{method} compares frames: frame_num must be at least 2")
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
        find = FINDERS[self._operator.detection_method]
        boxes: list[Box] = []
        edits: list[Edit] = []
        for region, seen in zip(self._regions, self._frames, strict=True):
            mask = find(seen, self._operator.min_frame_threshold)
            if mask is not None and mask.any():
                boxes += _boxes(mask, region, self._size)
                edits.append(_filling(mask, region, self._size))
        stored = {"video_watermark_boxes": [list(box) for box in boxes]}
        return EditResult(tuple(edits), *self._size, stored)


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


def _inside_still_edges(seen: list[Image], frames: int) -> Image | None:
    """Pixels inside outlines that stay while the rest moves; 255 where they are."""
    import cv2
    import numpy as np

    if len(seen) < 2:
        return None
    slopes = [_slopes(image) for image in seen]
    still = np.median(np.stack(slopes), axis=0)
    change = np.median(np.stack([np.hypot(*(s - still)) for s in slopes]), axis=0)
    if np.percentile(change, 90) < MOVING:
        return None
    slope = np.hypot(*still)
    scaled = np.clip(slope * 8, 0, 255).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    edges = (slope > max(STILL_EDGE, otsu / 8)) & (slope > change)
    closed = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    # Edges that move are as still as that by chance in places, but hardly ever twice as still.
    _, labels = cv2.connectedComponents(closed)
    sure = np.bincount(labels.ravel(), ((slope > 2 * change) & edges).ravel())
    enough = np.maximum(SURE_PX, SURE_SHARE * np.bincount(labels.ravel()))
    closed[(sure < enough)[labels]] = 0
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(closed), outlines, -1, 255, cv2.FILLED)
    return filled.astype(np.uint8, copy=False)


def _slopes(image: Image) -> npt.NDArray[np.float32]:
    """Slopes across and down in grey levels a pixel, (2, height, width)."""
    import cv2
    import numpy as np

    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(gray, (0, 0), 1)
    # Sobel's kernel is eight times the slope.
    both = [cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    return np.stack(both).astype(np.float32, copy=False)


FINDERS = {
    "pixel_value": _bright,
    "pixel_diversity": _unchanging,
    "still_edges": _inside_still_edges,
}
"""From a region of the frames and `min_frame_threshold` to the watermark's pixels."""


def _filling(mask: Image, region: Box, size: tuple[int, int]) -> Edit:
    """The edit that fills the strokes of a region's mask."""
    import cv2
    import numpy as np

    found = np.zeros((size[1], size[0]), np.uint8)
    found[region[1] : region[3], region[0] : region[2]] = mask
    strokes = cv2.dilate(found, np.ones((2 * GROW_PX + 1, 2 * GROW_PX + 1), np.uint8))
    half_width = float(cv2.distanceTransform(strokes, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    sigma = max(1.0, SIGMA_SHARE * half_width)
    reach = 3 * round(sigma)
    rows, columns = np.nonzero(strokes)
    corners = (
        max(0, int(columns.min()) - reach),
        max(0, int(rows.min()) - reach),
        int(columns.max()) + 1 + reach,
        int(rows.max()) + 1 + reach,
    )
    box = pixel_box(corners, "pixel", *size)
    assert box is not None
    x1, y1, x2, y2 = box
    text = mask_text(strokes[y1:y2, x1:x2] > 0)
    return Edit(REGION, (*region_options(box, "fill", sigma), ("mask", text)))


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
            max(0, int(columns.min()) + region[0] - GROW_PX),
            max(0, int(rows.min()) + region[1] - GROW_PX),
            int(columns.max()) + 1 + region[0] + GROW_PX,
            int(rows.max()) + 1 + region[1] + GROW_PX,
        )
        box = pixel_box(corners, "pixel", *size)
        if box is not None:
            boxes.append(box)
    return boxes
