"""Small videos of known content, the same on every machine, for both sides to work on.

Each frame of a numbered video carries its number as black and white cells along
its lower edge, the bits and their complement, so that it is recognized in
whatever a splitter made of it. Known are also size, motion, cuts and times.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

CELLS = 16
"""Eight bits of a frame's number, and their complement."""


@dataclasses.dataclass(frozen=True)
class Video:
    """What a file is made from.

    Attributes:
        size: (width, height) in pixels, as coded.
        frames: Number of frames, at most 256 if numbered.
        rate: Frames per second.
        speed: Pixels by which the picture moves to the left from frame to frame.
        numbered: Whether frames carry their number.
        cuts: Frames with which a new scene begins.
        dark: (first, last) frames of a fade to black and back.
        times_s: Time of each frame in seconds, where the rate varies.
        sound: Whether there is a tone.
        gop: Largest distance of key frames.
        degrees: Rotation in the display matrix, counter-clockwise.
        aspect: Sample aspect ratio.
        pixel_format: As FFmpeg names it.
        drawn: Changes a frame after it was made, such as a watermark.
    """

    size: tuple[int, int] = (320, 180)
    frames: int = 50
    rate: Fraction = Fraction(25)
    speed: int = 2
    numbered: bool = True
    cuts: tuple[int, ...] = ()
    dark: tuple[int, int] | None = None
    times_s: tuple[float, ...] | None = None
    sound: bool = False
    gop: int = 25
    degrees: int = 0
    aspect: Fraction = Fraction(1)
    pixel_format: str = "yuv420p"
    drawn: Callable[[Image, int], Image] | None = None

    def time_s(self, frame: int) -> float:
        """When a frame is shown, in seconds from the first one."""
        return self.times_s[frame] if self.times_s else float(frame / self.rate)


def texture(width: int, height: int, seed: int) -> Image:
    """A smooth random picture in colour, (height, width, 3) rgb."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 12) + 1, -(-width // 12) + 1, 3))
    fine = np.kron(coarse, np.ones((12, 12, 1), np.int64))[:height, :width]
    for axis in (0, 1):
        for _ in range(2):
            fine = sum(np.roll(fine, k, axis) for k in range(-3, 4)) // 7
    tint = np.array([(9, 5, 2), (2, 5, 9), (5, 9, 2), (9, 9, 9), (3, 3, 9)][seed % 5])
    return (fine * tint // 9).astype(np.uint8)


def images(video: Video) -> Iterator[Image]:
    """The frames, (height, width, 3) rgb."""
    width, height = video.size
    starts = [0, *video.cuts]
    scenes = [texture(width * 3, height, seed) for seed in range(len(starts))]
    for i in range(video.frames):
        scene = scenes[sum(i >= s for s in starts) - 1]
        x = (i * video.speed) % (2 * width)
        image = scene[:, x : x + width].copy()
        if video.dark is not None:
            first, last = video.dark
            half = (last - first) / 2
            light = min(1.0, abs(i - first - half) / half)
            image = (image * light).astype(np.uint8)
        if video.drawn is not None:
            image = video.drawn(image, i)
        if video.numbered:
            _stamp(image, i)
        yield image


def _stamp(image: Image, number: int) -> None:
    height, width = image.shape[:2]
    bits = [number >> k & 1 for k in range(CELLS // 2)]
    edges = [round(width * k / CELLS) for k in range(CELLS + 1)]
    for (a, b), bit in zip(itertools.pairwise(edges), [*bits, *(1 - k for k in bits)], strict=True):
        image[height - height // 8 :, a:b] = 235 if bit else 16


def read_number(gray: npt.NDArray[np.uint8]) -> int | None:
    """The number that a frame carries, whichever way it is turned; None if it cannot be read."""
    for turned in (np.rot90(gray, k) for k in range(4)):
        height, width = turned.shape
        strip = turned[height - max(2, height // 11) : height - max(1, height // 40)]
        edges = [width * (k + 0.5) / CELLS for k in range(CELLS)]
        bits = [int(strip[:, max(0, int(e) - 1) : int(e) + 2].mean() > 125) for e in edges]
        number, complement = bits[: CELLS // 2], bits[CELLS // 2 :]
        if all(a != b for a, b in zip(number, complement, strict=True)):
            return sum(bit << k for k, bit in enumerate(number))
    return None


def encode(path: Path, video: Video, frames: Iterable[Image] | None = None, crf: int = 20) -> None:
    """Write a video as H.264, so that the same bytes come out each time and everywhere."""
    tick = Fraction(1, 1000) if video.times_s else 1 / video.rate
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=video.rate)
        stream.width, stream.height = video.size
        stream.pix_fmt = video.pixel_format
        context = stream.codec_context
        context.time_base, context.gop_size = tick, video.gop
        context.sample_aspect_ratio = video.aspect
        # With assembly, one in six small videos comes out a little different (2026-11-22).
        stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream.options |= {"x264-params": "asm=0"}
        tone = container.add_stream("aac", rate=44_100) if video.sound else None
        for i, image in enumerate(frames or images(video)):
            frame = _frame(image, video.pixel_format)
            frame.pts, frame.time_base = round(Fraction(video.time_s(i)) / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            _encode_tone(container, tone, video.time_s(video.frames - 1) + 1 / float(video.rate))


def _frame(image: Image, pixel_format: str) -> av.VideoFrame:
    """A picture in BT.601's limited range, by arithmetic, which is the same everywhere."""
    height, width = image.shape[:2]
    matrix = np.array([[66, 129, 25], [-38, -74, 112], [112, -94, -18]])
    planes = list(np.moveaxis((image @ matrix.T + 128) // 256 + [16, 128, 128], 2, 0))
    if pixel_format == "yuv420p":
        quarters = (p.reshape(height // 2, 2, width // 2, 2) for p in planes[1:])
        planes[1:] = [(q.sum(axis=(1, 3)) + 2) // 4 for q in quarters]
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[: values.shape[0], : values.shape[1]] = values
        plane.update(padded.tobytes())
    return frame


def _encode_tone(
    container: av.container.OutputContainer, tone: av.AudioStream, seconds: float
) -> None:
    samples = np.sin(np.arange(round(seconds * 44_100)) * 440 * 2 * np.pi / 44_100) / 4
    for start in range(0, len(samples), 1024):
        block = np.ascontiguousarray(samples[None, start : start + 1024], np.float32)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
        container.mux(tone.encode(frame))
    container.mux(tone.encode(None))


def remux(source: Path, target: Path, *, title: str | None = None, degrees: int = 0) -> None:
    """Copy the video packets into another container, with other metadata or a rotation."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        if title is not None:
            writer.metadata["title"] = title
        if degrees:
            stream.set_display_rotation(degrees)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


def _logo(image: Image, number: int) -> Image:
    image //= 3
    image[6:16, 8:40] = 240
    image[9:13, 14:34] = image[40:44, 14:34]
    return image


def _face(image: Image, number: int) -> Image:
    import skimage.data

    head = skimage.data.astronaut()[:320, 64:384].reshape(160, 2, 160, 2, 3).mean(axis=(1, 3))
    x = 20 + 2 * number
    image[10:170, x : x + 160] = head
    return image


_UNEVEN = tuple(itertools.accumulate([0.04, 0.04, 0.12] * 20, initial=0.0))

VIDEOS: dict[str, Video] = {
    "plain": Video(frames=100, sound=True),
    "fast": Video((240, 180), 75, speed=6),
    "still": Video((120, 90), 75, speed=0, numbered=False),
    "moving": Video((160, 120), speed=3, numbered=False),
    "turned": Video((160, 90), degrees=-90, numbered=False),
    "wide": Video((168, 72)),
    "tall": Video((72, 168)),
    "square": Video((120, 120), 60),
    "odd": Video((161, 91), 30, numbered=False, pixel_format="yuv444p"),
    "tiny": Video((64, 48), 30, numbered=False),
    "cuts": Video((288, 160), 200, cuts=(40, 90, 100, 160), gop=250),
    "fades": Video((160, 90), 150, cuts=(75,), dark=(60, 90), gop=50),
    "ending": Video((160, 90), 75, cuts=(40,), dark=(50, 98)),
    "rotated": Video(degrees=-90),
    "anamorphic": Video((120, 90), aspect=Fraction(4, 3)),
    "uneven": Video((160, 90), 60, times_s=_UNEVEN[:60], cuts=(30,)),
    "ntsc": Video((160, 120), 60, Fraction(30_000, 1001), cuts=(31,)),
    "sparse": Video((160, 120), 40, Fraction(10), cuts=(20,), gop=12),
    "one_frame": Video((160, 90), 1),
    "marked": Video(frames=30, speed=5, numbered=False, drawn=_logo),
    "face": Video(frames=30, numbered=False, drawn=_face),
}
"""The videos, by the name of their file without its suffix."""

COPIES = ("same.mp4", "same.mkv", "again.mp4")
"""Of `plain.mp4`: its packets with other metadata, in another container, and encoded anew."""

DAMAGED = ("broken.mp4", "cut_off.mp4")
"""Bytes that are no video, and one whose second half is missing."""


def write_videos(folder: Path, names: Sequence[str]) -> None:
    """Write the files of these names, suffixes included."""
    for name in names:
        stem, target = name.partition(".")[0], folder / name
        if stem in VIDEOS:
            made = VIDEOS[stem]
            upright = folder / "upright.mp4" if made.degrees else target
            encode(upright, made)
            if made.degrees:
                remux(upright, target, degrees=made.degrees)
                upright.unlink()
    plain = folder / "plain.mp4"
    for name in sorted(set(names) & {*COPIES, *DAMAGED}):
        target = folder / name
        if name == "broken.mp4":
            target.write_bytes(bytes(range(256)) * 64)
        elif name == "cut_off.mp4":
            whole = folder / "whole.mp4"
            _index_first(plain, whole)
            target.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
            whole.unlink()
        elif name == "again.mp4":
            encode(target, VIDEOS["plain"], crf=26)
        else:
            remux(plain, target, title="another title")


def _index_first(source: Path, target: Path) -> None:
    with (
        av.open(str(source)) as reader,
        av.open(str(target), "w", options={"movflags": "faststart"}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
