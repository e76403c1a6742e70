"""Pictures that say which one they are, however they are coded: made, encoded and read again.

A texture that moves by 3 pixels a picture, and across its middle twelve blocks, white for the
ones of the picture's number, least significant left.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FPS, COUNT = 176, 144, 25, 100
BLOCKS = 12
PAN = 3


@functools.cache
def pictures() -> tuple[Image, ...]:
    """`COUNT` pictures, (HEIGHT, WIDTH, 3), BGR."""
    noise = np.random.default_rng(8).normal(0, 1, (HEIGHT, WIDTH + PAN * COUNT, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    ground = np.clip(128 + 300 * smooth, 30, 225).astype(np.uint8)
    made = []
    for number in range(COUNT):
        image = ground[:, PAN * number :][:, :WIDTH].copy()
        for bit in range(BLOCKS):
            left, right = (WIDTH * b // BLOCKS for b in (bit, bit + 1))
            image[HEIGHT // 3 : HEIGHT * 2 // 3, left:right] = 255 * (number >> bit & 1)
        made.append(image)
    return tuple(made)


def number(image: npt.NDArray[np.uint8]) -> int:
    """The number of a picture: gray, (height, width), of any size."""
    height, width = image.shape
    row = image[height * 3 // 8 : height * 5 // 8].mean(axis=0)
    edges = [width * (b + share) / BLOCKS for b in range(BLOCKS) for share in (0.3, 0.7)]
    parts = zip(edges[::2], edges[1::2], strict=True)
    return sum(int(row[round(a) : round(b)].mean() > 128) << i for i, (a, b) in enumerate(parts))


def encode(path: Path, *codec: str, frames: Sequence[Image] | None = None) -> Path:
    """A file of the pictures; `codec` is what ffmpeg is told after `-c:v`.

    By the program that comes with the project, which has an encoder for each.
    """
    raw = b"".join(image.tobytes() for image in frames or pictures())
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"]
    command += ["-threads", "1", "-c:v", *codec, "-r", str(FPS), str(path)]
    done = subprocess.run(command, input=raw, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return path
