"""Editor: crop black borders away."""

from __future__ import annotations

from typing import ClassVar

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter


class VideoCropBorderMapper(Editor):
    """Crops a clip to the picture that `video_letterbox_filter` found in it.

    The crop begins and ends inside the picture on even pixels, so that subsampled colour stays
    where it is. Clips without a border, with a border below `min_border`, or all black, stay as
    they are.

    Source: this project.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "video_crop_x",
        "video_crop_y",
        "video_crop_width",
        "video_crop_height",
    )

    min_border: int = parameter(
        2, "narrowest border, on any side, for which a clip is cropped", unit="px", ge=1
    )
    margin: int = parameter(
        0, "cropped from each side that has a border, against its blurred edge", unit="px", ge=0
    )

    def measure(self, clip: Clip) -> EditResult:
        """The crop, from the letterbox columns."""
        width, height = clip.width or 0, clip.height or 0
        x, y, w, h = (clip.columns.get(name) for name in self.reads)
        if x is None or y is None or w is None or h is None:
            return EditResult((), width, height)
        left, right = self._inside(x, x + w, width)
        top, bottom = self._inside(y, y + h, height)
        if (left, right, top, bottom) == (0, width, 0, height) or right <= left or bottom <= top:
            return EditResult((), width, height)
        values = map(str, (right - left, bottom - top, left, top))
        box = tuple(zip(("w", "h", "x", "y"), values, strict=True))
        return EditResult((Edit("crop", box),), right - left, bottom - top)

    def _inside(self, first: int, end: int, edge: int) -> tuple[int, int]:
        """(first, end) of the picture along one edge, on even pixels where there is a border."""
        low, high = 0, edge
        if first >= self.min_border:
            low = -(-(first + self.margin) // 2) * 2
        if edge - end >= self.min_border:
            high = (end - self.margin) // 2 * 2
        return low, high
