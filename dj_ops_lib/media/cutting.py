"""Where a span lies among a file's packets, and copying it without encoding.

A copy is exact only if its first picture is a key frame on which nothing before
it leans, and no packet that belongs to it comes after one that does not. That is
looked up in the packets; nothing is decoded.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.container import (
    MICROSECONDS,
    Clock,
    is_without_index,
    main_video,
    open_container,
    time_zero,
)
from dj_ops_lib.media.position import NEVER, Position
from dj_ops_lib.media.probe import frame_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet

_FAST_START = {"movflags": "+faststart"}

COPIED_VIDEO = {"h264", "hevc", "av1", "vp9", "mpeg4"}
COPIED_AUDIO = {"aac", "mp3", "opus", "ac3", "eac3", "flac"}
"""Codecs that are put into an MP4 as they are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A span among the packets. Times are microseconds from the file's beginning.

    Attributes:
        frames: Pictures shown in the span: those that begin in it, or the one that stays on the
            screen all the time.
        held_us: When that one began, before the span; None if pictures begin in it.
        exact: Whether copying its packets gives these pictures and no others.
        clean_end: Whether no packet of it comes after one that is shown after its end.
        stamped: Whether packets say when they are shown. Those of an AVI do not, or only by a guess
            that the ffmpeg program does not make: pictures are counted from the file's beginning.
        times_us: When these pictures are shown, in order, if they have to be counted.
        before: Pictures before them, likewise.
        tick: Seconds between two times at which the file can show a picture.
        key_us: The key frame at or before the first picture: where a rough copy begins.
        zero: Time stamp of the file's beginning in seconds.
        offset_us: From the beginning of the container, where ffmpeg's seeking counts from, to it.
        demuxer: Name to force on ffmpeg.
        has_audio: Whether there is sound.
        copyable: Whether an MP4 can hold the streams as they are.
    """

    frames: int
    held_us: int | None
    exact: bool
    clean_end: bool
    stamped: bool
    times_us: tuple[int, ...]
    before: int
    tick: Fraction
    key_us: int
    zero: Fraction
    offset_us: int
    demuxer: str
    has_audio: bool
    copyable: bool


def place(
    uri: str, start_us: int, end_us: int | None, access: Access, zero: Fraction | None = None
) -> Place:
    """Find a span in a file.

    Args:
        uri: The file.
        start_us: Beginning.
        end_us: End, exclusive; None for the end of the file.
        access: What may be read.
        zero: Time stamp in seconds from which they count, if it is not the file's first picture.

    Raises:
        MediaError: The file cannot be read, or no picture lies in the span.
    """
    found = _place(uri, start_us, end_us, access, zero, counted=False)
    return found if found.stamped else _place(uri, start_us, end_us, access, zero, counted=True)


def _place(
    uri: str,
    start_us: int,
    end_us: int | None,
    access: Access,
    zero: Fraction | None,
    *,
    counted: bool,
) -> Place:
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        zero = time_zero(container, video) if zero is None else zero
        stamped = container.format.name != "avi" and not is_without_index(container, video)
        position = Position(container, video, zero=zero, uri=uri)
        survey = _Survey(start_us, end_us, stamped=stamped)
        from_us = 0 if counted else start_us
        for packet, shown_us, decoded_us in packets(
            container, uri, [video], from_us, zero, position
        ):
            if not survey.look(packet, shown_us, decoded_us):
                break
        survey.stamped &= not position.is_restamped
        if not survey.frames and survey.held_us is None:
            raise MediaError(f"{uri}: no picture lies in the span", "span_out_of_range")
        audio = container.streams.audio
        names = {stream.codec_context.codec.canonical_name for stream in audio[:1]}
        return Place(
            frames=survey.frames or 1,
            held_us=None if survey.frames else survey.held_us,
            exact=survey.frames > 0
            and survey.stamped
            and survey.clean_start
            and survey.clean_end
            and survey.first_key_us == survey.first_us,
            clean_end=survey.clean_end,
            stamped=survey.stamped,
            times_us=tuple(sorted(survey.times_us)) or (start_us,) if counted else (),
            before=survey.before - (survey.frames == 0) if counted else 0,
            tick=video.time_base or Fraction(1, MICROSECONDS),
            key_us=survey.key_us,
            zero=zero,
            offset_us=round(zero * MICROSECONDS) - (container.start_time or 0),
            demuxer=container.format.name.split(",")[0],
            has_audio=bool(audio),
            copyable=survey.stamped
            and video.codec_context.codec.canonical_name in COPIED_VIDEO
            and names <= COPIED_AUDIO,
        )


class _Survey:
    """Looks at the packets of a video from the key frame before a span on, in order."""

    def __init__(self, start_us: int, end_us: int | None, *, stamped: bool) -> None:
        self._start_us = start_us
        self._end_us = NEVER if end_us is None else end_us
        self._passed_end = False
        self._before_us = self._reached_us = -NEVER
        self.frames = self.before = 0
        self.times_us: list[int] = []
        self.stamped, self.clean_start, self.clean_end = stamped, True, True
        self.key_us = 0
        self.first_key_us = self.first_us = NEVER

    @property
    def held_us(self) -> int | None:
        """When the last picture before the span began, if it is shown until after its beginning."""
        shown = self._before_us > -NEVER and (self._passed_end or self._reached_us > self._start_us)
        return self._before_us if shown else None

    def look(self, packet: Packet[Any], shown_us: int, decoded_us: int) -> bool:
        """Take the next packet; False when the span is over."""
        if decoded_us >= self._end_us:
            self._passed_end = True
            return False
        self.stamped &= packet.pts is not None
        if packet.is_discard:  # by an edit list; a copy would show it
            self.clean_start &= self.first_key_us == NEVER
            return True
        if packet.is_keyframe and shown_us <= self._start_us:
            self.key_us = shown_us
        if shown_us >= self._end_us:
            self._passed_end = True
        elif shown_us < self._start_us:
            self._before_us = max(self._before_us, shown_us)
            length_us = round((packet.duration or 0) * packet.time_base * MICROSECONDS)
            self._reached_us = max(self._reached_us, shown_us + length_us)
            self.before += 1  # if it follows the first key frame, it leans on others
            self.clean_start &= self.first_key_us == NEVER
        else:
            self.clean_end &= not self._passed_end
            self.frames += 1
            self.times_us.append(shown_us)
            self.first_us = min(self.first_us, shown_us)
            if packet.is_keyframe:
                self.first_key_us = min(self.first_key_us, shown_us)
        return True


def copy(
    uri: str, target: Path, start_us: int, end_us: int | None, access: Access, where: Place
) -> None:
    """Write the packets of a span into an MP4, its beginning at time zero, sound in step.

    Args:
        uri: The file.
        target: What to write.
        start_us: Beginning, a key frame.
        end_us: End, exclusive; None for the end of the file.
        access: What may be read.
        where: The span. If its end is not clean, a few pictures after it come along, because
            pictures before it lean on them.

    Raises:
        MediaError: The file cannot be read, or its streams not be put into an MP4.
    """
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        begin = where.zero + Fraction(start_us, MICROSECONDS)
        streams: list[Any] = [video, *container.streams.audio[:1]]
        end = NEVER if end_us is None else end_us
        try:
            with av.open(str(target), "w", format="mp4", options=_FAST_START) as writer:
                copies = {s.index: writer.add_stream_from_template(s, opaque=True) for s in streams}
                # Sound may have come from a coarser clock to its own, less than a tick off.
                early_us = {s.index: int(s is not video and s.time_base * 10**6) for s in streams}
                going = set(copies)
                for packet, shown_us, decoded_us in packets(
                    container, uri, streams, start_us, where.zero
                ):
                    index = packet.stream.index
                    if decoded_us >= end:
                        going.discard(index)
                        if not going:
                            break
                    past = shown_us >= end and (where.clean_end or packet.stream is not video)
                    if index in going and shown_us + early_us[index] >= start_us and not past:
                        shift = round(begin / packet.time_base)
                        packet.pts = None if packet.pts is None else packet.pts - shift
                        packet.dts = None if packet.dts is None else packet.dts - shift
                        if packet.stream is video and not packet.duration:
                            # The last picture would be outside of the file's edit list.
                            frame = 1 / (frame_rate(video) or 25)
                            packet.duration = round(frame / packet.time_base)
                        packet.stream = copies[index]
                        writer.mux(packet)
        except av.error.FFmpegError as error:
            raise MediaError(f"{uri}: copying fails: {error.strerror}", "decode_error") from error


def packets(
    container: InputContainer,
    uri: str,
    streams: list[Any],
    start_us: int,
    zero: Fraction,
    position: Position | None = None,
) -> Iterator[tuple[Packet[Any], int, int]]:
    """Packets from the key frame before `start_us` on, with their times of display and decoding.

    Times are microseconds after `zero`.
    """
    video = main_video(container, uri)
    clocks = {stream.index: Clock(stream.time_base, zero) for stream in streams}
    position = position or Position(container, video, zero=zero, uri=uri)
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
                decoded_us, shown_us = position.times(packet)[0], position.in_order(packet)
            else:
                clock = clocks[packet.stream.index]
                shown_us, decoded_us = clock.time_us(stamps[0]), clock.time_us(stamps[-1])
            yield packet, shown_us, decoded_us
    except av.error.FFmpegError as error:
        raise MediaError(f"{uri}: reading fails: {error.strerror}", "decode_error") from error
