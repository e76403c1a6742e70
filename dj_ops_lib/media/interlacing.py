"""Which pictures' lines come from two instants: FFmpeg's idet, and combs that can be seen.

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

SMALLEST_EDGE = 8
"""Lines are compared with up to two above and below."""

STEP = 12
"""Of 255: what differs by more is not noise of a codec."""

COMBED = 0.01
"""Share of the moving pixels from which a picture has combs. Of 56 progressive videos of moving
shapes all pictures had 0, of FFmpeg's `testsrc2` up to 0.004; woven from pairs of their pictures,
textures had 0.17 to 0.19, shapes 0.03 to 0.6 but for those that moved straight up or down, which
have no combs, and `testsrc2` 0.01 (2026-11-26)."""

_COLUMNS = 320
"""About how many columns are looked at: combs are wide, and 720p costs a quarter."""

_TICK = Fraction(1, 1000)


class FieldDetector:
    """Looks at gray pictures of one size; they are compared with the ones before and after.

    idet asks whether lines fit those of the picture before better than their neighbours. That is
    so of lines from two instants, but also where sharp edges move up or down: of the 56 progressive
    videos it took 5 for interlaced from beginning to end. So a picture has to show combs, too.

    Source: libavfilter's `idet` with its own thresholds, deciding from several pictures; combs as
    in the deinterlacers Decomb and TFM: lines alternate, three of one side being alike.

    Attributes:
        interlaced: Pictures whose lines come from two instants.
        told: Pictures of which that could be said: something moves in them.
    """

    def __init__(self) -> None:
        self.interlaced = self.told = 0
        self._graph: Any = None
        self._before: npt.NDArray[np.int16] | None = None
        self._combed: collections.deque[bool] = collections.deque()

    def look(self, gray: npt.NDArray[np.uint8]) -> None:
        """Take the next picture, (height, width)."""
        if min(gray.shape) < SMALLEST_EDGE:
            return
        some = gray[:, :: max(1, gray.shape[1] // _COLUMNS)].astype(np.int16)
        self._combed.append(self._before is not None and combed_share(some, self._before) >= COMBED)
        self._before = some
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray), format="gray")
        frame.pts, frame.time_base = len(self._combed), _TICK
        if self._graph is None:
            self._graph = graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
            )
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
                fields = self._graph.vpull().metadata["lavfi.idet.multiple.current_frame"]
                combed = self._combed.popleft()
                self.told += fields != "undetermined"
                self.interlaced += combed and fields in {"tff", "bff"}
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def combed_share(picture: npt.NDArray[np.int16], before: npt.NDArray[np.int16]) -> float:
    """Share of the moving pixels that belong to combs.

    Args:
        picture: (height, width), 0 to 255.
        before: The picture before it.
    """
    moving = np.abs(picture - before) > STEP
    moves = moving[2:-2] | moving[1:-3] | moving[3:-1]
    line = picture[2:-2]
    above, below = line - picture[1:-3], line - picture[3:-1]
    lighter = (above > STEP) & (below > STEP)
    darker = (above < -STEP) & (below < -STEP)
    half = np.minimum(np.abs(above), np.abs(below)) // 2
    alike = (np.abs(line - picture[:-4]) < half) & (np.abs(line - picture[4:]) < half)
    lighter, darker = lighter & alike & moves, darker & alike & moves
    combs = (lighter[:-1] & darker[1:]) | (darker[:-1] & lighter[1:])
    return int(np.count_nonzero(combs)) / max(1, int(np.count_nonzero(moves)))
