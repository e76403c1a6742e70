"""Filter by black borders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SHARE
from dj_ops_lib.needs import Frame, Frames, Observer, Uniform
from dj_ops_lib.operator import Column, Columns, Filter, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BRIGHT_SHARE = 0.01
"""Share of a line that may be brighter than the limit: ringing of the codec, not picture."""


class VideoLetterboxFilter(Filter):
    """Keeps clips without black borders, and says where the picture is.

    A row or column at the edge belongs to the border when it is dark in all sampled frames. The
    picture's box is stored for `video_crop_border_mapper`; it is the whole frame where there is
    no border, and null where all is dark.

    Source: the idea and limit of FFmpeg's cropdetect filter (24 of 255 in limited-range luma
    is 9 in full range; 16 allows for grain), on a share of the line instead of its mean.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_border_ratio", pa.float64(), "share of the area that is border", plot=SHARE),
        Column("video_crop_x", pa.int32(), "left edge of the picture", "px"),
        Column("video_crop_y", pa.int32(), "upper edge of the picture", "px"),
        Column("video_crop_width", pa.int32(), "width of the picture", "px"),
        Column("video_crop_height", pa.int32(), "height of the picture", "px"),
    )

    min_border_ratio: float = parameter(0, "smallest border share kept", decides=True)
    max_border_ratio: float = parameter(0.02, "largest border share kept", decides=True)
    limit: int = parameter(16, "brightness up to which a pixel is dark, of 255", ge=0, le=254)
    frame_num: int = parameter(8, "number of frames looked at", ge=1)

    def needs(self) -> Frames:
        """A few frames in full size."""
        return Frames(Uniform(self.frame_num), None, "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Collect how bright each row and column gets."""
        return _Borders(self.limit)

    def keep(self) -> pl.Expr:
        """Border share in range."""
        value = pl.col("video_border_ratio")
        return self.reversible(self.in_range(value, self.min_border_ratio, self.max_border_ratio))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_border_ratio": (self.min_border_ratio, self.max_border_ratio)}


class _Borders(Observer):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: npt.NDArray[np.float64] | None = None
        self._columns: npt.NDArray[np.float64] | None = None

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        bright = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY) > self._limit
        rows, columns = bright.mean(axis=1), bright.mean(axis=0)
        if self._rows is not None and self._columns is not None:
            rows, columns = np.maximum(rows, self._rows), np.maximum(columns, self._columns)
        self._rows, self._columns = rows, columns

    def result(self) -> Columns:
        import numpy as np

        if self._rows is None or self._columns is None:
            return dict.fromkeys(c.name for c in VideoLetterboxFilter.columns)
        rows = np.flatnonzero(self._rows > BRIGHT_SHARE)
        columns = np.flatnonzero(self._columns > BRIGHT_SHARE)
        if not rows.size or not columns.size:
            nothing: dict[str, float | None]
            nothing = dict.fromkeys(c.name for c in VideoLetterboxFilter.columns)
            return nothing | {"video_border_ratio": 1.0}
        x, y = int(columns[0]), int(rows[0])
        width, height = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
        return {
            "video_border_ratio": 1 - width * height / (self._rows.size * self._columns.size),
            "video_crop_x": x,
            "video_crop_y": y,
            "video_crop_width": width,
            "video_crop_height": height,
        }
