"""What the ffmpeg program says about a file: the truth that the tests compare with."""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.needs import Frame, Observer

_SHOWN = re.compile(r"pts: *(-?\d+) +pts_time: *(-?[\d.]+).*?iskey:(\d)")
_TIME_BASE = re.compile(r"config in time_base: (\d+)/(\d+)")


def ffmpeg(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run the program; its messages are in `stderr`."""
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-y", "-threads", "1"]
    command += [str(a) for a in arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done


@functools.cache
def shown(path: Path, *input_options: str) -> list[tuple[float, bool]]:
    """(pts in seconds, key frame) of every frame that ffmpeg decodes, from the first one's."""
    done = ffmpeg(*input_options, "-copyts", "-i", path, "-map", "0:v:0", "-vf", "showinfo",
                  "-fps_mode", "passthrough", "-f", "null", "-")  # fmt: skip
    text = done.stderr.decode()
    found = _TIME_BASE.search(text)
    assert found
    tick = int(found[1]) / int(found[2])
    frames = [(int(pts) * tick, key == "1") for pts, _, key in _SHOWN.findall(text)]
    return [(time, key) for time, key in frames]


def zero(path: Path) -> float:
    """pts in seconds of the first frame."""
    return shown(path)[0][0]


def pixels(path: Path, width: int, height: int, *options: str) -> np.ndarray:
    """All frames as ffmpeg gives them, (n, height, width, 3), uint8 rgb."""
    done = ffmpeg("-i", path, "-map", "0:v:0", *options, "-fps_mode", "passthrough",
                  "-pix_fmt", "rgb24", "-f", "rawvideo", "-")  # fmt: skip
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def remux(source: Path, target: Path, *, degrees: float, hflip: bool = False) -> None:
    """Copy a video's packets under a display matrix: counter-clockwise degrees, then a mirror."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(degrees, hflip=hflip)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


def pad(source: Path, target: Path, times: Iterable[int]) -> None:
    """Copy a video's packets into an AVI of 600 chunks a second, empty ones in between.

    So does FFmpeg 9, unasked; `times` are those of the packets in 1/600 s, in order of decoding.
    """
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.time_base = Fraction(1, 600)
        packets = (packet for packet in reader.demux(video=0) if packet.size)
        for packet, time in zip(packets, times, strict=False):
            packet.time_base, packet.pts, packet.dts = stream.time_base, time, time
            packet.duration, packet.stream = 1, stream
            writer.mux(packet)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio of two stacks of pictures in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def clip(path: Path | str, start_s: float | None = None, end_s: float | None = None) -> Clip:
    """A clip of a file."""
    return Clip("c", "s", "0", video_uri=str(path), start_s=start_s, end_s=end_s)


@dataclasses.dataclass
class Seen(Observer):
    """Remembers everything it is shown."""

    frames: list[Frame] = dataclasses.field(default_factory=list)
    packets: list[bytes] = dataclasses.field(default_factory=list)
    sound: list[np.ndarray] = dataclasses.field(default_factory=list)

    def frame(self, frame: Frame) -> None:
        image = frame.image.copy()
        self.frames.append(dataclasses.replace(frame, image=image))

    def packet(self, payload: bytes, pts_s: float | None, stream: int) -> None:
        self.packets.append(payload)

    def audio(self, samples: np.ndarray) -> None:
        self.sound.append(samples.copy())

    @property
    def times(self) -> list[float]:
        """Seconds from the file's beginning."""
        return [frame.pts_s for frame in self.frames]

    @property
    def samples(self) -> np.ndarray:
        """(channels, n)."""
        return np.concatenate(self.sound, axis=1) if self.sound else np.zeros((1, 0), np.float32)
