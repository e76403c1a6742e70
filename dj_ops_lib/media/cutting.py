"""Where a span lies among a file's packets, and copying it without encoding.

A copy is exact only if its first picture is a key frame on which nothing before
it leans, and no packet that belongs to it comes after one that does not. That is
looked up in the packets; nothing is decoded.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.container import MICROSECONDS, Clock, main_video, open_container, time_zero
from dj_ops_lib.media.position import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet

_NEVER = 1 << 62
_FAST_START = {"movflags": "+faststart"}

COPIED_VIDEO = {"h264", "hevc", "av1", "vp9", "mpeg4"}
COPIED_AUDIO = {"aac", "mp3", "opus", "ac3", "eac3", "flac"}
"""Codecs that are put into an MP4 as they are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A span among the packets. Times are microseconds from the file's beginning.

    Attributes:
        frames: Pictures shown in the span.
        exact: Whether copying its packets gives these pictures and no others.
        clean_end: Whether no packet of it comes after one that is shown after its end.
        stamped: Whether packets say when they are shown; those of an AVI do not.
        key_us: The key frame at or before the first picture: where a rough copy begins.
        zero_us: Time stamp of the file's beginning.
        offset_us: From the beginning of the container, where ffmpeg's seeking counts from, to it.
        demuxer: Name to force on ffmpeg.
        has_audio: Whether there is sound.
        copyable: Whether an MP4 can hold the streams as they are.
    """

    frames: int
    exact: bool
    clean_end: bool
    stamped: bool
    key_us: int
    zero_us: int
    offset_us: int
    demuxer: str
    has_audio: bool
    copyable: bool


def place(uri: str, start_us: int, end_us: int | None, access: Access) -> Place:
    """Find a span in a file.

    Raises:
        MediaError: The file cannot be read, or no picture lies in the span.
    """
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        survey = _Survey(start_us, end_us)
        for packet, shown_us, decoded_us in _packets(container, uri, [video], start_us):
            if not survey.look(packet, shown_us, decoded_us):
                break
        if not survey.frames:
            raise MediaError(f"{uri}: no picture lies in the span", "span_out_of_range")
        audio = container.streams.audio
        names = {stream.codec_context.name for stream in audio[:1]}
        zero_us = round(time_zero(container, video) * MICROSECONDS)
        return Place(
            frames=survey.frames,
            exact=survey.stamped
            and survey.clean_start
            and survey.clean_end
            and survey.first_key_us == survey.first_us,
            clean_end=survey.clean_end,
            stamped=survey.stamped,
            key_us=survey.key_us,
            zero_us=zero_us,
            offset_us=zero_us - (container.start_time or 0),
            demuxer=container.format.name.split(",")[0],
            has_audio=bool(audio),
            copyable=video.codec_context.name in COPIED_VIDEO and names <= COPIED_AUDIO,
        )


class _Survey:
    """Looks at the packets of a video from the key frame before a span on, in order."""

    def __init__(self, start_us: int, end_us: int | None) -> None:
        self._start_us = start_us
        self._end_us = _NEVER if end_us is None else end_us
        self._passed_end = False
        self.frames = 0
        self.stamped = self.clean_start = self.clean_end = True
        self.key_us = 0
        self.first_key_us = self.first_us = _NEVER

    def look(self, packet: Packet[Any], shown_us: int, decoded_us: int) -> bool:
        """Take the next packet; False when the span is over."""
        if decoded_us >= self._end_us:
            return False
        self.stamped &= packet.pts is not None
        if packet.is_keyframe and shown_us <= self._start_us:
            self.key_us = shown_us
        if shown_us >= self._end_us:
            self._passed_end = True
        elif shown_us < self._start_us:  # if it follows the first key frame, it leans on others
            self.clean_start &= self.first_key_us == _NEVER
        else:
            self.clean_end &= not self._passed_end
            self.frames += 1
            self.first_us = min(self.first_us, shown_us)
            if packet.is_keyframe:
                self.first_key_us = min(self.first_key_us, shown_us)
        return True


def copy(
    uri: str, target: Path, start_us: int, end_us: int | None, access: Access, *, clean_end: bool
) -> None:
    """Write the packets of a span into an MP4, its beginning at time zero, sound in step.

    Args:
        uri: The file.
        target: What to write.
        start_us: Beginning, a key frame.
        end_us: End, exclusive; None for the end of the file.
        access: What may be read.
        clean_end: As `Place.clean_end`; if not, a few pictures after the end come along,
            because pictures before it lean on them.

    Raises:
        MediaError: The file cannot be read, or its streams not be put into an MP4.
    """
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        zero_us = round(time_zero(container, video) * MICROSECONDS)
        streams: list[Any] = [video, *container.streams.audio[:1]]
        end = _NEVER if end_us is None else end_us
        try:
            with av.open(str(target), "w", format="mp4", options=_FAST_START) as writer:
                copies = {s.index: writer.add_stream_from_template(s) for s in streams}
                going = set(copies)
                for packet, shown_us, decoded_us in _packets(container, uri, streams, start_us):
                    index = packet.stream.index
                    if decoded_us >= end:
                        going.discard(index)
                        if not going:
                            break
                    past = shown_us >= end and (clean_end or packet.stream is not video)
                    if index in going and shown_us >= start_us and not past:
                        shift = round((start_us + zero_us) / (packet.time_base * MICROSECONDS))
                        packet.pts = None if packet.pts is None else packet.pts - shift
                        packet.dts = None if packet.dts is None else packet.dts - shift
                        packet.stream = copies[index]
                        writer.mux(packet)
        except av.error.FFmpegError as error:
            raise MediaError(f"{uri}: copying fails: {error.strerror}", "decode_error") from error


def _packets(
    container: InputContainer, uri: str, streams: list[Any], start_us: int
) -> Iterator[tuple[Packet[Any], int, int]]:
    """Packets from the key frame before `start_us` on, with their times of display and decoding."""
    video = main_video(container, uri)
    zero_us = round(time_zero(container, video) * MICROSECONDS)
    clocks = {stream.index: Clock(stream.time_base, zero_us) for stream in streams}
    position = Position(container, video, zero_us=zero_us, uri=uri)
    if start_us > 0:
        position.seek(start_us)
    try:
        for packet in position.demux(*streams):
            if packet.stream is video:
                position.follow(packet)
            stamps = [s for s in (packet.pts, packet.dts) if s is not None]
            if packet.size == 0 or not stamps or not position.landed:
                continue
            if packet.is_corrupt:
                raise MediaError(f"{uri}: damaged packet", "decode_error")
            if packet.stream is video:
                decoded_us, shown_us = position.times(packet)
            else:
                clock = clocks[packet.stream.index]
                shown_us, decoded_us = clock.time_us(stamps[0]), clock.time_us(stamps[-1])
            yield packet, shown_us, decoded_us
    except av.error.FFmpegError as error:
        raise MediaError(f"{uri}: reading fails: {error.strerror}", "decode_error") from error
