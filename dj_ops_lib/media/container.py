"""Opening a container with FFmpeg's libraries: allow-lists, streams, time zero, errors.

Here: what probing and decoding share. Times of this package are seconds from
the first frame of the main video stream (its `start_time`), because that is
what datasets that count frames mean, and what makes a whole file's span begin
at zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.container.core import Flags
from av.stream import Disposition
from av.video.stream import VideoStream

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import DEMUXERS, PROTOCOLS, Access

MICROSECONDS = 1_000_000

_OPTIONS = {"format_whitelist": ",".join(DEMUXERS), "protocol_whitelist": ",".join(PROTOCOLS)}
_GENERATE_PTS: int = Flags.gen_pts.value  # type: ignore[assignment]
_UNSUPPORTED = (
    av.error.ArgumentError,
    av.error.DecoderNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.PatchWelcomeError,
    av.error.NotImplementedError,
)


@contextlib.contextmanager
def open_container(uri: str, access: Access) -> Iterator[InputContainer]:
    """The container at `uri`, its header read.

    Raises:
        MediaError: `corrupt`, `unsupported`, or what `fetch.resolve` raises.
    """
    media = fetch.open_media(uri, access)
    try:
        try:
            # 1 MiB: an object store is asked for ranges of that size, not of 32 KiB.
            container = av.open(
                media, "r", options=_OPTIONS, metadata_errors="replace", buffer_size=2**20
            )
        except _UNSUPPORTED as error:
            raise MediaError(
                f"{uri}: not one of the formats that are read ({', '.join(DEMUXERS)}): "
                f"{error.strerror}",
                "unsupported",
            ) from error
        except av.error.FFmpegError as error:
            raise MediaError(f"{uri}: cannot be opened: {error.strerror}", "corrupt") from error
        # PyAV asks for it; in an AVI with B-frames it makes up times in the wrong order, where
        # a decoder left alone gives the frames' order of display.
        container.flags &= ~_GENERATE_PTS
        with container:
            yield container
    finally:
        if not isinstance(media, str):
            media.close()


def main_video(container: InputContainer, uri: str) -> VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
        MediaError: `unsupported`: there is none, or no decoder for it.
    """
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise MediaError(f"{uri}: there is no decoder for its video codec", "unsupported")
        return stream
    raise MediaError(f"{uri}: has no video stream", "unsupported")


def time_zero(container: InputContainer, video: VideoStream) -> float:
    """The pts in seconds at which the file begins: that of its first video frame."""
    if video.start_time is not None and video.time_base is not None:
        return float(video.start_time * video.time_base)
    return (container.start_time or 0) / av.time_base


class Clock:
    """Time stamps of a stream as whole microseconds from the file's beginning.

    In integers: fractions took 1.5 % of a wave's time (720p, six plans, 2026-11-22).

    Args:
        time_base: Seconds a tick; None for microseconds.
        zero_us: The file's beginning, `time_zero` in microseconds.
    """

    def __init__(self, time_base: Fraction | None, zero_us: int) -> None:
        tick_us = (time_base or Fraction(1, MICROSECONDS)) * MICROSECONDS
        self._up, self._down = 2 * tick_us.numerator, 2 * tick_us.denominator
        self._half = tick_us.denominator
        self._zero_us = zero_us

    def time_us(self, ticks: int) -> int:
        """Microseconds from the file's beginning, to the nearest."""
        return (ticks * self._up + self._half) // self._down - self._zero_us

    def length_us(self, ticks: int) -> int:
        """A number of ticks in microseconds, to the nearest."""
        return (ticks * self._up + self._half) // self._down

    def ticks(self, time_us: int) -> int:
        """The tick at or before a time."""
        return (time_us + self._zero_us) * self._down // self._up


def check_dimensions(uri: str, width: int, height: int, access: Access) -> None:
    """Refuse pictures that are empty or larger than the limits allow.

    Raises:
        MediaError: `corrupt` or `too_large`.
    """
    if width <= 0 or height <= 0:
        raise MediaError(f"{uri}: the video declares no picture size", "corrupt")
    limits = access.limits
    if width > limits.max_width or height > limits.max_height:
        raise MediaError(
            f"{uri}: {width}x{height} pixels, more than the limit of "
            f"{limits.max_width}x{limits.max_height} (max_width, max_height)",
            "too_large",
        )
