"""Opening a container with FFmpeg's libraries: allow-lists, streams, time zero, errors.

Here: what probing and decoding share. Times of this package are seconds from
the first frame of the main video stream (its `start_time`), because that is
what datasets that count frames mean, and what makes a whole file's span begin
at zero.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.container.core import Flags
from av.stream import Disposition
from av.video.stream import VideoStream

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import DEMUXERS, PROTOCOLS, Access
from dj_ops_lib.media.sightings import unchanged

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
def open_container(uri: str, access: Access, clip: Clip | None = None) -> Iterator[InputContainer]:
    """The container at `uri`, its header read.

    Args:
        uri: The file.
        access: What may be read.
        clip: If given, the file must still be the one that this clip's row tells of.

    Raises:
        MediaError: `corrupt`, `unsupported`, `changed`, or what `fetch.resolve` raises.
    """
    media = fetch.open_media(uri, access)
    same = unchanged(media, clip, access) if clip is not None else contextlib.nullcontext()
    try:
        with same:
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
            if not order_is_known(container):
                container.flags &= ~_GENERATE_PTS
            with container:
                yield container
    finally:
        if not isinstance(media, str):
            media.close()


def stamps_some(container: InputContainer) -> bool:
    """Whether only some packets say when they are shown: in an MPEG program stream.

    One PES packet says it for the first picture that begins in it, and FFmpeg may give that to the
    picture before. So pictures that come out of the decoder follow one another (`video`).
    """
    return container.format.name == "mpeg"


def is_without_index(container: InputContainer, video: VideoStream) -> bool:
    """Whether FFmpeg cannot seek: in a Matroska of whose first packets it has indexed none.

    So it is with VC-2. The seek fails, and two pictures are lost (2026-11-26).
    """
    return container.format.name.startswith("matroska") and len(video.index_entries) == 0


def order_is_known(container: InputContainer) -> bool:
    """Whether FFmpeg can fill in times of display that a container leaves out, as PyAV asks.

    An AVI has none, an MPEG program stream lacks some. FFmpeg knows pictures that others lean on
    by their type; for these codecs it does not, and makes up times in the wrong order, where a
    decoder left alone gives the frames' order of display.
    """
    names = {s.codec_context.name for s in container.streams.video if s.codec_context is not None}
    return not names & {"h264", "hevc", "vvc"} and not stamps_some(container)


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
        if stream.codec_context.name == "vvc" and not container.format.name.startswith("mov"):
            # Its first packet need not be its first picture, as FFmpeg takes it to be: 23 of 100
            # pictures were before the file's beginning (libvvenc, 2026-11-26).
            message = f"{uri}: VVC is read from MP4 only; ffmpeg -i FILE -c copy FILE.mp4 makes one"
            raise MediaError(message, "unsupported")
        return stream
    raise MediaError(f"{uri}: has no video stream", "unsupported")


def stored_frames(video: VideoStream) -> int | None:
    """The frames of an AVI whose header counts more; None for any other file.

    A header counts chunks, and an empty one repeats the picture before it. FFmpeg 9 remuxes into
    600 chunks a second without being asked, most of them empty; its index has the others.
    """
    if video.container.format.name != "avi":
        return None
    if len(video.index_entries) == indexed_ticks(video):
        # None is empty. If the header counts more, it is wrong, or the file has lost its index:
        # then only the packets that FFmpeg looked at are in it.
        return None
    stored = sum(entry.size > 0 for entry in video.index_entries)
    return stored if 0 < stored < video.frames else None


def indexed_ticks(video: VideoStream) -> int:
    """Where the index of an AVI ends, in ticks of its stream; zero for any other file.

    Its header may count less, or nothing: a recorder fills in the number at the end.
    """
    index = video.index_entries
    if video.container.format.name != "avi" or not len(index):
        return 0
    return index[len(index) - 1].timestamp + 1 - (video.start_time or 0)


def time_zero(container: InputContainer, video: VideoStream) -> Fraction:
    """The pts in seconds at which the file begins: that of its first video frame."""
    if video.start_time is None or video.time_base is None:
        return Fraction(container.start_time or 0, av.time_base)
    zero = video.start_time * video.time_base
    if container.format.name == "avi" and order_is_known(container):
        # It says when its first frame is decoded; before B-frames, that is shown a frame later.
        index, rate = video.index_entries, video.average_rate
        if video.codec_context.has_b_frames and len(index) > 1:
            zero += (index[1].timestamp - index[0].timestamp) * video.time_base
        elif video.codec_context.has_b_frames and rate:
            zero += 1 / rate
    return zero


class Clock:
    """Time stamps of a stream as whole microseconds from the file's beginning.

    In integers: fractions took 1.5 % of a wave's time (720p, six plans, 2026-11-22).

    Args:
        time_base: Seconds a tick; None for microseconds.
        zero: The file's beginning, `time_zero`; exact, so that equal times stay equal.
    """

    def __init__(self, time_base: Fraction | None, zero: Fraction) -> None:
        tick_us = (time_base or Fraction(1, MICROSECONDS)) * MICROSECONDS
        zero_us = zero * MICROSECONDS
        shared = math.lcm(tick_us.denominator, zero_us.denominator)
        self._up, self._down = int(2 * tick_us * shared), 2 * shared
        self._half, self._zero = shared, int(2 * zero_us * shared)

    def time_us(self, ticks: int) -> int:
        """Microseconds from the file's beginning, to the nearest."""
        return (ticks * self._up - self._zero + self._half) // self._down

    def length_us(self, ticks: int) -> int:
        """A number of ticks in microseconds, to the nearest."""
        return (ticks * self._up + self._half) // self._down

    def ticks(self, time_us: int) -> int:
        """The tick at or before a time."""
        return (time_us * self._down + self._zero) // self._up


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
