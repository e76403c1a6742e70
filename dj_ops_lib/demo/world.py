"""The demo corpus's small world: a coloured shape that moves over a coloured background.

Frames are drawn in YCbCr (BT.601, limited range) with integers and square
roots only, so that the same pixels come out on every machine. How they become
files is `encode.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(height, width, 3): Y, Cb, Cr of each pixel."""

FPS = 20
"""Frames per second: a whole number of milliseconds a frame, so that annotations are exact."""

COLOURS = {
    "red": (214, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 210),
    "yellow": (245, 210, 40),
    "orange": (245, 130, 20),
    "purple": (130, 50, 160),
    "white": (245, 245, 245),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "pink": (245, 150, 190),
}
"""Colours by the name that captions use, as R, G, B."""

Shape = Literal["circle", "square", "triangle"]
Motion = Literal[
    "from left to right",
    "from right to left",
    "from top to bottom",
    "from bottom to top",
    "back and forth",
    "around in a circle",
    "closer",
    "not at all",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Shot:
    """One take: what is in it and how it moves.

    Attributes:
        frames: Length in frames.
        shape: The moving shape; None for a background without one.
        colour: Its colour.
        background: The background's colour.
        motion: How the shape moves.
        pan: Speed of the camera over a mottled background in pixels per second, 0 if still.
        fade_in: Frames over which the picture comes up from black.
        fade_out: Frames over which it goes down to black.
    """

    frames: int
    shape: Shape | None
    colour: str
    background: str
    motion: Motion = "from left to right"
    pan: int = 0
    fade_in: int = 0
    fade_out: int = 0


@functools.cache
def ycbcr(colour: str) -> tuple[int, int, int]:
    """A named colour as Y, Cb, Cr."""
    r, g, b = COLOURS[colour]
    return (
        16 + (66 * r + 129 * g + 25 * b + 128) // 256,
        128 + (-38 * r - 74 * g + 112 * b + 128) // 256,
        128 + (112 * r - 94 * g - 18 * b + 128) // 256,
    )


def draw(shot: Shot, width: int, height: int) -> Iterator[Picture]:
    """The shot's frames."""
    ground = _ground(shot, width, height)
    for number in range(shot.frames):
        if shot.pan:
            left = number * shot.pan // FPS
            picture = ground[:, left : left + width].copy()
        else:
            picture = ground.copy()
        if shot.shape:
            _stamp(picture, shot.shape, ycbcr(shot.colour), _place(shot, number, width, height))
        yield _faded(picture, shot, number)


def _ground(shot: Shot, width: int, height: int) -> Picture:
    """The background: brighter at the top; mottled if the camera moves, plain if nothing does."""
    extent = width + shot.frames * shot.pan // FPS if shot.pan else width
    luma, cb, cr = ycbcr(shot.background)
    shade = np.zeros((height, extent), dtype=np.int64)
    if shot.shape or shot.pan:
        shade += 12 - 24 * np.arange(height)[:, None] // max(1, height - 1)
    if shot.pan:
        shade += _mottles(extent, height)
    ground = np.empty((height, extent, 3), dtype=np.uint8)
    ground[..., 0] = np.clip(luma + shade, 16, 235)
    ground[..., 1] = cb
    ground[..., 2] = cr
    return ground


def _mottles(width: int, height: int) -> npt.NDArray[np.int64]:
    """Light and dark squares of four sizes, over each other.

    Optical flow needs structure of every size to follow a fast camera: with one size of squares
    Farneback's measure of 30 px per pair of frames was 8 to 17, with four 29.8 (2026-11-22).
    """
    draw_one = random.Random(width * 10_000 + height)  # noqa: S311
    total = np.zeros((height, width), dtype=np.int64)
    for cell in (8, 16, 32, 64):
        shape = (-(-height // cell), -(-width // cell))
        signs = [[draw_one.choice((-24, 24)) for _ in range(shape[1])] for _ in range(shape[0])]
        blocks = np.repeat(np.repeat(np.array(signs, dtype=np.int64), cell, axis=0), cell, axis=1)
        total += blocks[:height, :width]
    return total


def _place(shot: Shot, number: int, width: int, height: int) -> tuple[float, float, float]:
    """Centre and radius of the shape in pixels, in sixteenths: immune to the last bit of sin()."""
    along = number / max(1, shot.frames - 1)
    radius = min(width, height) * 0.22
    left, right = radius * 1.1, width - radius * 1.1
    top, bottom = radius * 1.1, height - radius * 1.1
    x, y = width / 2, height / 2
    match shot.motion:
        case "from left to right":
            x = left + (right - left) * along
        case "from right to left":
            x = right - (right - left) * along
        case "from top to bottom":
            y = top + (bottom - top) * along
        case "from bottom to top":
            y = bottom - (bottom - top) * along
        case "back and forth":
            swing = abs((number / (2 * FPS)) % 2 - 1)  # one way in two seconds
            x = left + (right - left) * swing
        case "around in a circle":
            angle = 2 * math.pi * number / (3 * FPS)  # once around in three seconds
            x += (right - left) / 2 * math.cos(angle)
            y += (bottom - top) / 2 * math.sin(angle)
        case "closer":
            radius *= 0.4 + 1.8 * along
        case "not at all":
            pass
    return round(x * 16) / 16, round(y * 16) / 16, round(radius * 16) / 16


def _stamp(
    picture: Picture, shape: Shape, colour: tuple[int, int, int], place: tuple[float, float, float]
) -> None:
    """Draws a shape with a soft edge of one pixel and a darker core that gives it some texture."""
    x, y, radius = place
    height, width = picture.shape[:2]
    x0, x1 = max(0, int(x - radius - 2)), min(width, int(x + radius + 3))
    y0, y1 = max(0, int(y - radius - 2)), min(height, int(y + radius + 3))
    if x0 >= x1 or y0 >= y1:
        return
    dx = np.arange(x0, x1)[None, :] - x
    dy = np.arange(y0, y1)[:, None] - y
    luma, cb, cr = colour
    core = (luma - 40 if luma > 120 else luma + 40, cb, cr)
    for size, paint in ((radius, colour), (radius * 0.45, core)):
        cover = np.clip(0.5 - _distance(shape, dx, dy, size), 0.0, 1.0)
        weight = np.rint(cover * 256).astype(np.int32)[..., None]
        box = picture[y0:y1, x0:x1]
        mixed = box * (256 - weight) + np.array(paint, dtype=np.int32) * weight
        box[:] = (mixed + 128) // 256


def _distance(
    shape: Shape, dx: npt.NDArray[np.float64], dy: npt.NDArray[np.float64], size: float
) -> npt.NDArray[np.float64]:
    """Signed distance to the shape's edge in pixels, negative inside."""
    match shape:
        case "circle":
            return np.sqrt(dx * dx + dy * dy) - size
        case "square":
            return np.maximum(np.abs(dx), np.abs(dy)) - size * 0.85
        case "triangle":
            sides = (np.abs(dx) * 2 + dy - size) / math.sqrt(5)
            return np.maximum(sides, dy - size)


def _faded(picture: Picture, shot: Shot, number: int) -> Picture:
    level = 256
    if number < shot.fade_in:
        level = 256 * number // shot.fade_in
    left = shot.frames - 1 - number
    if left < shot.fade_out:
        level = 256 * left // shot.fade_out
    if level == 256:
        return picture
    black = np.array((16, 128, 128), dtype=np.int32)
    return (black + (picture.astype(np.int32) - black) * level // 256).astype(np.uint8)
