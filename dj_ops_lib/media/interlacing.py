"""Which pictures' lines come from two instants, by FFmpeg's idet, one picture after the other.

Not here: what headers say of fields (`labels`), making pictures progressive (`conventions`).
"""

from __future__ import annotations

import collections
from fractions import Fraction
from typing import Any

import av
import av.error
import av.filter
import numpy as np
import numpy.typing as npt

_TICK = Fraction(1, 1000)

SMALLEST_EDGE = 8
"""idet compares lines with the ones above and below."""


class FieldDetector:
    """Looks at gray pictures of one size; they are compared with the ones before and after.

    Source: libavfilter's `idet` with its own thresholds; its decision from several pictures.
    """

    def __init__(self) -> None:
        self.found: collections.Counter[str] = collections.Counter()
        self._graph: Any = None
        self._count = 0

    def look(self, gray: npt.NDArray[np.uint8]) -> None:
        """Take the next picture, (height, width)."""
        if min(gray.shape) < SMALLEST_EDGE:
            return
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), format="gray")
        frame.pts, frame.time_base = self._count, _TICK
        self._count += 1
        if self._graph is None:
            self._graph = graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(width=frame.width, height=frame.height,
                                      format=frame.format, time_base=_TICK)  # fmt: skip
            graph.link_nodes(source, graph.add("idet"), graph.add("buffersink")).configure()
        self._push(frame)

    def finish(self) -> None:
        """Count the pictures that were waiting for the one after them."""
        if self._graph is not None:
            self._push(None)

    def _push(self, frame: av.VideoFrame | None) -> None:
        self._graph.vpush(frame)
        try:
            while True:
                seen = self._graph.vpull()
                self.found[seen.metadata["lavfi.idet.multiple.current_frame"]] += 1
        except (av.error.BlockingIOError, av.error.EOFError):
            return
