"""How far a file goes, against what its header declares: beyond it, or not as far."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av.error
from av.stream import Discard

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import MICROSECONDS, Clock, stamps_some
from dj_ops_lib.media.position import NEVER, Position

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_LAST_US = MICROSECONDS
"""What is looked at of a file, before its declared end, to find the last picture.

Packets are stored in order of decoding, and no codec shows one later than a second after it.
"""

_MISSING_END_US = MICROSECONDS // 10
"""A file that ends this much, and two frames, before what it declares has lost its end."""

_LOOSE_END_US = MICROSECONDS // 4
"""The same where only the container declares a duration, which may be rounded or another
stream's."""


def end_of_pictures(
    container: InputContainer, video: VideoStream, zero: Fraction, declared_s: float, frame_s: float
) -> float | None:
    """When the last picture of a file is over, by the packets from near its declared end on.

    A header may be wrong: an MP4 may declare less than its samples last, the duration of an MPEG
    program or transport stream is a guess. Nothing is decoded. Reads about a second of video.

    Args:
        container: The open file; it is read to its end.
        video: Its stream.
        zero: Time stamp of the file's beginning in seconds.
        declared_s: Where its header says that it ends, in seconds from its beginning.
        frame_s: Duration of a picture that does not say how long it is shown.

    Returns:
        Seconds from the file's beginning. None if the end cannot be read: the file is damaged.
    """
    for stream in container.streams:
        stream.discard = Discard.default if stream is video else Discard.all
    clock = Clock(video.time_base, zero)
    if stamps_some(container):
        return _end_by_order(container, video, zero, declared_s)
    target_us = max(0, round(declared_s * MICROSECONDS) - _LAST_US)
    for from_us in sorted({target_us, 0}, reverse=True):
        try:
            container.seek(clock.ticks(from_us), stream=video, any_frame=True)
            end_us = _read_on(container, video, clock, round(frame_s * MICROSECONDS))
        except av.error.FFmpegError:
            continue
        if end_us is not None:
            return end_us / MICROSECONDS
    return None


def _read_on(
    container: InputContainer, video: VideoStream, clock: Clock, frame_us: int
) -> int | None:
    end_us: int | None = None
    for packet in container.demux(video):
        if packet.size == 0 or packet.is_discard:
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            length_us = clock.length_us(packet.duration) if packet.duration else frame_us
            end_us = max(end_us or 0, clock.time_us(stamp) + length_us)
        elif end_us is not None:
            end_us += frame_us
    return end_us


def _end_by_order(
    container: InputContainer, video: VideoStream, zero: Fraction, declared_s: float
) -> float | None:
    """The same where only some packets say when they are shown."""
    position = Position(container, video, zero=zero, uri="")
    clock, end_us = Clock(video.time_base, zero), -NEVER
    try:
        position.seek(max(0, round(declared_s * MICROSECONDS) - _LAST_US))
        for packet in position.demux(video):
            if packet.size > 0 and position.follow(packet):
                length_us = clock.length_us(packet.duration or 0)
                end_us = max(end_us, position.in_order(packet) + length_us)
    except (av.error.FFmpegError, MediaError):
        return None
    return end_us / MICROSECONDS if end_us > 0 else None


class Reach:
    """What was seen of one file. Times are microseconds from its beginning.

    Args:
        declared_us: The duration that the header declares; None if it does not.
        is_videos: Whether that is the video stream's own; else it ends where any stream does.
        frame_us: Duration of a frame.
        uri: Name of the file, for messages.
    """

    def __init__(
        self, declared_us: int | None, *, is_videos: bool, frame_us: float, uri: str
    ) -> None:
        self.declared_us = declared_us
        self.is_videos = is_videos
        self._frame_us = frame_us
        self._uri = uri
        self._reached_us = -NEVER

    def note(self, end_us: int, *, is_video: bool) -> None:
        """A packet that ends then was there."""
        if is_video or not self.is_videos:
            self._reached_us = max(self._reached_us, end_us)

    def goes_beyond(self, time_us: int) -> bool:
        """Whether a packet was there that ends after a time."""
        return self._reached_us > time_us

    def check(self, clip_end_us: int | None) -> None:
        """At the end of the file: whether it stops before the clip does, and before it should.

        Raises:
            MediaError: `decode_error`.
        """
        if self.declared_us is None:
            return
        wanted = self.declared_us if clip_end_us is None else min(self.declared_us, clip_end_us)
        missing = _MISSING_END_US if self.is_videos else _LOOSE_END_US
        if self._reached_us < wanted - max(missing, round(2 * self._frame_us)):
            raise MediaError(
                f"{self._uri}: ends at {max(0, self._reached_us) / 1e6:.3f} s, declares "
                f"{self.declared_us / 1e6:.3f} s; the file is cut off or damaged",
                "decode_error",
            )
