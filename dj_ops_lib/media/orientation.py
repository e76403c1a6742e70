"""From coded pictures to upright, square-pixel ones: display matrix and sample aspect ratio.

The matrix is the one that containers store: a source pixel (x, y) goes to
(a x + c y, b x + d y). Angles that are no multiple of 90 degrees are taken to
the nearest one, as players do that only turn by quarters.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ROTATION = re.compile(r"\s+(?:Display Matrix|displaymatrix): rotation of (-?[\d.]+) degrees")


@dataclasses.dataclass(frozen=True, slots=True)
class Orientation:
    """How a coded picture is turned for display: first mirrored, then turned.

    Attributes:
        mirrored: Left and right are swapped first.
        rotation: Degrees clockwise: 0, 90, 180 or 270.
    """

    mirrored: bool = False
    rotation: int = 0

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return self.rotation in {90, 270}

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The picture, (height, width, ...), turned upright; contiguous where it changed."""
        if self.mirrored or self.rotation:
            import cv2

            turned: Any = cv2.flip(image, 1) if self.mirrored else image
            if self.rotation:
                turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
                turned = cv2.rotate(turned, turns[self.rotation // 90 - 1])
            return turned  # type: ignore[no-any-return]
        return image

    @property
    def filters(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """The same as nodes of a filter graph: (name, options)."""
        nodes: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        if self.mirrored:
            nodes.append(("hflip", ()))
        if self.rotation == 90:
            nodes.append(("transpose", (("dir", "clock"),)))
        elif self.rotation == 180:
            nodes += [("hflip", ()), ("vflip", ())]
        elif self.rotation == 270:
            nodes.append(("transpose", (("dir", "cclock"),)))
        return tuple(nodes)


def of_frame(frame: VideoFrame) -> Orientation:
    """The orientation in a decoded frame's display matrix.

    To be asked once a clip: in PyAV 18.1 a frame whose side data was looked at is held by a
    reference cycle until the garbage collector comes by. Asked of every frame, an hour of
    1080p grew by 600 MB (2026-11-22).
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return of_matrix(bytes(matrix)) if matrix is not None else Orientation()


def of_matrix(matrix: bytes) -> Orientation:
    """The orientation in the 36 bytes of a display matrix: nine native 32-bit integers."""
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    mirrored = a * d - b * c < 0
    if mirrored:  # M = R * mirror, so R = M * mirror: the sign of the first column changes
        a, b = -a, -b
    if abs(a) >= abs(b):
        return Orientation(mirrored, 0 if a >= 0 else 180)
    return Orientation(mirrored, 90 if b > 0 else 270)


def declared_rotation(container: InputContainer, video: VideoStream) -> int:
    """Degrees clockwise that the header asks for: 0, 90, 180 or 270."""
    angle = _declared_angle(container, video)
    return 0 if angle is None else round(-angle / 90) % 4 * 90


def declares_matrix(container: InputContainer, video: VideoStream) -> bool:
    """Whether the header holds a display matrix; one that only mirrors has an angle of zero."""
    return _declared_angle(container, video) is not None


def _declared_angle(container: InputContainer, video: VideoStream) -> float | None:
    """Degrees counter-clockwise of the header's display matrix, None where it has none.

    PyAV shows a display matrix on decoded frames only; FFmpeg's own description of
    the header names its angle without decoding.
    """
    import av.logging

    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        # In the library and its documentation, not in its type stubs (18.1).
        lines = container.dumps_format().splitlines()  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)
    here = side_data = False
    for line in lines:
        if line.startswith("  Stream #"):
            here, side_data = line.startswith(f"  Stream #0:{video.index}"), False
        elif line.strip().lower() == "side data:":
            side_data = True
        elif here and side_data and (found := _ROTATION.match(line)):
            return float(found[1])
    return None


def display_size(
    width: int, height: int, sample_aspect_ratio: Fraction | None, *, swaps: bool
) -> tuple[int, int]:
    """(width, height) in square pixels of an upright picture, from its coded size.

    The coded width is stretched by the sample aspect ratio, as players do, and
    rounded to the nearest pixel.
    """
    sar = sample_aspect_ratio
    if sar is not None and sar > 0:
        width = max(1, int(width * sar + Fraction(1, 2)))
    return (height, width) if swaps else (width, height)
