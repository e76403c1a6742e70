"""Frames to files with PyAV: sizes, rates and metadata as cameras and editors really write them.

One encoder thread, because the bytes of x264 depend on their number. What is
in the frames is `world.py`; what is wrong with a file on purpose is
`plan.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer

from dj_ops_lib.demo.world import FPS, Picture

_SAMPLE_RATE = 16_000
_MILLISECONDS = Fraction(1, 1000)


@dataclasses.dataclass(frozen=True, slots=True)
class Encoding:
    """How frames become a file.

    Attributes:
        pixel_format: `yuv420p`, `yuv420p10le` or `yuv444p`.
        crf: Quality of x264, smaller is better.
        rotation: Degrees clockwise by which a player turns the picture: 0, 90, 180 or 270.
        sample_aspect_ratio: Width of a pixel by its height.
        tone_hz: Pitch of the sound, None for a file without an audio stream.
        times_ms: Time of each frame in milliseconds for a variable frame rate; None: 20 a second.
    """

    pixel_format: str = "yuv420p"
    crf: int = 24
    rotation: int = 0
    sample_aspect_ratio: Fraction = Fraction(1)
    tone_hz: int | None = 440
    times_ms: Sequence[int] | None = None


def encode(path: Path, pictures: Iterable[Picture], encoding: Encoding) -> None:
    """Writes an MP4 with H.264 and, unless there is no tone, AAC."""
    with av.open(str(path), "w", format="mp4") as container:
        _write(container, iter(pictures), encoding)


def _write(container: OutputContainer, pictures: Iterable[Picture], encoding: Encoding) -> None:
    iterator = iter(pictures)
    first = next(iterator)
    options = {"preset": "ultrafast", "crf": str(encoding.crf), "g": "40", "threads": "1"}
    video = container.add_stream("libx264", rate=FPS, options=options)
    video.height, video.width = first.shape[:2]
    video.pix_fmt = encoding.pixel_format
    video.codec_context.time_base = _MILLISECONDS
    video.codec_context.sample_aspect_ratio = encoding.sample_aspect_ratio
    if encoding.rotation:
        video.set_display_rotation(-encoding.rotation)
    audio: AudioStream | None = None
    if encoding.tone_hz:
        audio = container.add_stream("aac", rate=_SAMPLE_RATE, layout="mono")
        audio.bit_rate = 32_000
    number = 0
    picture: Picture | None = first
    while picture is not None:
        frame = _frame(picture, encoding.pixel_format)
        times = encoding.times_ms
        frame.pts = times[number] if times else number * 1000 // FPS
        frame.time_base = _MILLISECONDS
        frame.duration = 1000 // FPS
        container.mux(video.encode(frame))
        number += 1
        picture = next(iterator, None)
    container.mux(video.encode(None))
    if audio and encoding.tone_hz:
        end_ms = encoding.times_ms[-1] if encoding.times_ms else number * 1000 // FPS
        _write_tone(container, audio, encoding.tone_hz, end_ms / 1000)


def _frame(picture: Picture, pixel_format: str) -> av.VideoFrame:
    if pixel_format == "yuv444p":
        return av.VideoFrame.from_ndarray(picture.transpose(2, 0, 1), format=pixel_format)
    planes = picture.astype(np.uint16)
    height, width = planes.shape[:2]
    colour = planes[..., 1:]
    chroma = colour[::2, ::2] + colour[1::2, ::2] + colour[::2, 1::2] + colour[1::2, 1::2]
    chroma = (chroma + 2) // 4
    flat = np.concatenate(
        [planes[..., 0].ravel(), chroma[..., 0].ravel(), chroma[..., 1].ravel()]
    ).reshape(height * 3 // 2, width)
    if pixel_format == "yuv420p10le":
        return av.VideoFrame.from_ndarray((flat << 2).astype(np.uint16), format=pixel_format)
    return av.VideoFrame.from_ndarray(flat.astype(np.uint8), format=pixel_format)


def _write_tone(
    container: OutputContainer, audio: AudioStream, pitch_hz: int, duration_s: float
) -> None:
    count = max(1024, round(duration_s * _SAMPLE_RATE))
    times = np.arange(count) / _SAMPLE_RATE
    wave = (0.2 * np.sin(2 * math.pi * pitch_hz * times)).astype(np.float32)
    for start in range(0, count, 1024):
        samples: npt.NDArray[np.float32] = wave[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = _SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, _SAMPLE_RATE)
        container.mux(audio.encode(frame))
    container.mux(audio.encode(None))


def turned(pictures: Iterable[Picture], quarters: int) -> Iterable[Picture]:
    """The pictures turned counter-clockwise by `quarters` of a full turn, as a held camera does."""
    for picture in pictures:
        yield np.ascontiguousarray(np.rot90(picture, quarters))


def shrunk(pictures: Iterable[Picture], width: int, height: int) -> Iterable[Picture]:
    """The pictures in a size by which their own is divisible: means of whole pixels."""
    for picture in pictures:
        rows, columns = picture.shape[0] // height, picture.shape[1] // width
        blocks = picture.astype(np.uint16).reshape(height, rows, width, columns, 3)
        total = sum(blocks[:, i, :, j] for i in range(rows) for j in range(columns))
        yield ((total + rows * columns // 2) // (rows * columns)).astype(np.uint8)


def letterboxed(pictures: Iterable[Picture], bar: int) -> Iterable[Picture]:
    """The pictures with black bars of `bar` pixels above and below, drawn over them."""
    for picture in pictures:
        picture[:bar] = (16, 128, 128)
        picture[-bar:] = (16, 128, 128)
        yield picture


@dataclasses.dataclass(frozen=True, slots=True)
class BurntText:
    """Text that is part of the picture.

    Attributes:
        text: What it says, in ASCII.
        x: Left edge of its box in pixels.
        y: Top edge of its box in pixels.
    """

    text: str
    x: int
    y: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) in pixels of what is drawn."""
        mask = np.zeros((512, 2048), dtype=np.uint8)
        self._put(mask, 255)
        rows, columns = np.nonzero(mask)
        left, top = int(columns.min()), int(rows.min())
        return left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top

    def _put(self, plane: npt.NDArray[np.uint8], value: int) -> None:
        baseline = (self.x, self.y + 24)
        cv2.putText(plane, self.text, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.9, value, 2)


def titled(pictures: Iterable[Picture], titles: Sequence[BurntText]) -> Iterable[Picture]:
    """The pictures with white text burnt in."""
    for picture in pictures:
        mask = np.zeros(picture.shape[:2], dtype=np.uint8)
        for title in titles:
            title._put(mask, 255)
        picture[mask > 0] = (235, 128, 128)
        yield picture
