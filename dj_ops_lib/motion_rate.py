"""How fast pictures move, in widths of theirs a second: the same at every frame rate and size.

Pictures in, one number out. Not here: which frames are looked at (the plan, `needs.Fps`) and
which clips are kept (operators).
"""

from __future__ import annotations

import statistics

import cv2
import numpy as np
import numpy.typing as npt

from dj_ops_lib.media.optical_flow import DisFlow
from dj_ops_lib.needs import Size

LONG_EDGE = 256
"""Edge that pictures are scaled down to."""


class MotionRate:
    """The median over pairs of the mean length of the optical flow (DIS).

    Args:
        pair_s: Seconds between the pictures of a pair, at least.
        aspect: Height of the shown picture by its width; None where pictures come in that shape.
    """

    def __init__(self, pair_s: float, aspect: float | None = None) -> None:
        self._pair_s = pair_s
        self._flow = DisFlow(fine=True)
        self._aspect = aspect
        self._first: tuple[npt.NDArray[np.uint8], float] | None = None
        self._last: tuple[npt.NDArray[np.uint8], float] | None = None
        self._rates: list[float] = []

    def picture(self, gray: npt.NDArray[np.uint8], time_s: float, *, begins: bool) -> None:
        """Take the next picture.

        Args:
            gray: (height, width).
            time_s: When it is shown, in seconds.
            begins: Whether it is the first of a pair, if none is waiting for its second.
        """
        if self._first is None and not begins:
            return
        height, width = gray.shape
        size = Size(max_long=LONG_EDGE).resolve(width, height)
        if size != (width, height):
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        self._last = (gray, time_s)
        if self._first is not None and time_s - self._first[1] > self._pair_s - 1e-6:
            self._compare()
        if self._first is None and begins:
            self._first = self._last

    def _compare(self) -> None:
        assert self._first is not None
        assert self._last is not None
        (before, begun_s), (after, ended_s) = self._first, self._last
        self._first = None
        height, width = after.shape
        flow = self._flow(before, after)
        aspect = self._aspect or height / width
        length = np.hypot(flow[..., 0] / width, flow[..., 1] / height * aspect)
        self._rates.append(float(length.mean()) / (ended_s - begun_s))

    def result(self) -> float | None:
        """Picture widths a second; None without two pictures."""
        waiting = self._first is not None and self._last is not self._first
        if not self._rates and waiting:  # shorter than a pair
            self._compare()
        return statistics.median(self._rates) if self._rates else None
