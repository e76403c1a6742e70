"""Dense optical flow between two gray pictures, by DIS, safe for every frame size.

Not here: which frames are compared and what is made of the flow (operators).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SMALLEST_EDGE = 32
"""OpenCV 5.0's DIS crashes the process, or gives NaN, for edges of 12 to 31 pixels and refuses
smaller ones; from 32 on all shapes up to 8192 were fine (2026-11-22)."""


class DisFlow:
    """Dense inverse search: five to ten times as fast as Farneback, and right for fast motion.

    A 40-pixel shift of a 720p texture is 40.1 by DIS (0.03 s) and 9.7 by Farneback's defaults
    (0.27 s, 2026-11-22).

    Source: T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, as in
    OpenCV with its preset FAST.

    Args:
        fine: Down to half the size instead of a quarter: on 256 pixels, a shift of 0.4 is then 0.43
            and not 0.52, and a pair takes 3 ms (2026-11-26).
    """

    def __init__(self, *, fine: bool = False) -> None:
        self._dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        if fine:
            self._dis.setFinestScale(1)

    def __call__(
        self, before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        """Displacement in pixels, (height, width, 2): x, then y."""
        height, width = before.shape
        below, right = max(0, SMALLEST_EDGE - height), max(0, SMALLEST_EDGE - width)
        padded = [
            cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            for image in (before, after)
        ]
        flow: npt.NDArray[np.float32] = self._dis.calc(*padded, None)
        return flow[:height, :width]
