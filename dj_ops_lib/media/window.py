"""The part of a remote video that one clip needs, as a local file on the same clock.

Packets are copied from the key frame before the clip to its end, into a
fragmented MP4: its fragments say in the tracks' own ticks when they are shown,
with no edit list that would round it. What came out is compared with what went
in; where an MP4 does not say the same, the caller fetches the whole file. Not
here: cutting at the clip's own boundaries (`cutting.py`, `render.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.container import (
    MICROSECONDS,
    check_dimensions,
    main_video,
    open_container,
    time_zero,
)
from dj_ops_lib.media.cutting import packets
from dj_ops_lib.media.labels import labels_of
from dj_ops_lib.media.orientation import Orientation, of_frame
from dj_ops_lib.media.position import NEVER, Position

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_OPTIONS = {
    "movflags": "delay_moov+default_base_moof+frag_keyframe+frag_discont",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}

_LATE_SOUND_US = 10 * MICROSECONDS
"""How far after its pictures sound may be stored; what is not there by then has ended."""

_LEAST_SHIFT_S = 60
"""No fragment begins before zero, but sound that is decoded ahead of the first picture does."""


class _UnfitError(Exception):
    """An MP4 does not say the same of a packet."""


def fetch_window(
    uri: str,
    target: Path,
    start_us: int,
    end_us: int | None,
    access: Access,
    clip: Clip | None = None,
) -> Fraction | None:
    """Copy what a clip needs into a local file, reading little else.

    Args:
        uri: The video.
        target: The file to write.
        start_us: The clip's beginning, from that of the video.
        end_us: Its end, exclusive; None for the end of the video.
        access: What may be read.
        clip: If given, the video must still be the one that this clip's row tells of.

    Returns:
        Time stamp in the file of the video's beginning, in seconds. None, if an MP4 cannot hold
        these packets as they are: those of an AVI do not say when they are shown, some codecs have
        no place in it, sound from an MPEG-TS lacks a header, and pictures amid the clip that an
        edit list leaves out would come back.

    Raises:
        MediaError: The video cannot be read, or its pictures are too large.
    """
    with open_container(uri, access, clip) as container:
        video = main_video(container, uri)
        check_dimensions(uri, video.width, video.height, access)
        streams: list[Any] = [video, *container.streams.audio[:1]]
        zero, shift_s = time_zero(container, video), _shift(s.time_base for s in streams)
        position = Position(container, video, zero=zero, uri=uri)
        needed = _needed(
            packets(container, uri, streams, start_us, zero, position), streams, start_us, end_us
        )
        wanted = _Content()
        try:
            with av.open(str(target), "w", format="mp4", options=_OPTIONS) as writer:
                copies = {s.index: writer.add_stream_from_template(s, opaque=True) for s in streams}
                for packet in _dated(needed, video):
                    if packet.stream is video:
                        wanted.add(video, packet, shift_s)
                    shift = int(shift_s / packet.time_base)
                    packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
                    packet.stream = copies[packet.stream.index]
                    writer.mux(packet)
        except (av.error.FFmpegError, ValueError, _UnfitError):  # ValueError: a codec's
            return None
        if position.is_restamped:
            return None
    local = dataclasses.replace(access, roots=(str(target.parent),))
    with open_container(str(target), local) as container:
        video = main_video(container, str(target))
        got = _Content()
        for packet in container.demux(video):
            if packet.size:
                got.add(video, packet, 0)
    return zero + shift_s if wanted == got else None


def _needed(
    found: Iterable[tuple[Packet[Any], int, int]],
    streams: Sequence[Any],
    start_us: int,
    end_us: int | None,
) -> Iterator[Packet[Any]]:
    """The packets up to the end of a span.

    Raises:
        _UnfitError: One has no time, or is left out by an edit list amid the span.
    """
    end, video, going = NEVER if end_us is None else end_us, streams[0], {s.index for s in streams}
    for packet, shown_us, decoded_us in found:
        if decoded_us >= end:
            going.discard(packet.stream.index)
            late = video.index not in going and decoded_us >= end + _LATE_SOUND_US
            if late or not going:
                return
            continue
        if packet.pts is None or (packet.is_discard and shown_us >= start_us):
            raise _UnfitError
        yield packet


def _dated(found: Iterable[Packet[Any]], video: VideoStream) -> Iterator[Packet[Any]]:
    """The packets, with times of decoding for the first ones, which a Matroska leaves open.

    Raises:
        _UnfitError: A later one has none.
    """
    waiting: list[Packet[Any]] = []
    known = False
    for packet in found:
        if packet.stream is not video:
            packet.dts = packet.pts
        elif packet.dts is None:
            if known:
                raise _UnfitError
            waiting.append(packet)
            continue
        elif not known:
            known = True
            yield from _dated_to(packet.dts, waiting)
        yield packet
    if not known:
        yield from _dated_to(min((p.pts or 0 for p in waiting), default=0), waiting)


def _dated_to(end: int, waiting: Sequence[Packet[Any]]) -> Sequence[Packet[Any]]:
    """Packets that are decoded one after the other, the last one just before `end`."""
    for packet in reversed(waiting):
        end -= max(1, packet.duration or 1)
        packet.dts = end
    return waiting


@dataclasses.dataclass(slots=True)
class _Content:
    """What must be the same in both files: when pictures are shown, and how the first looks."""

    times: list[tuple[Fraction, Fraction, bool]] = dataclasses.field(default_factory=list)
    shape: tuple[int, int, Fraction] = (0, 0, Fraction(1))
    orientation: Orientation | None = None
    labels: tuple[str | None, ...] = ()
    picture: bytes = b""

    def add(self, video: VideoStream, packet: Packet[VideoStream], shift_s: int) -> None:
        """Take the next packet, and put off its times."""
        if not self.times:
            self.shape = (video.width, video.height, video.sample_aspect_ratio or Fraction(1))
            said = labels_of(video)
            first_field = (said["field_order"] or "p")[0]  # containers differ in the second letter
            self.labels = (first_field, said["color_transfer"], said["color_primaries"])
            frames = video.codec_context.decode(packet) or video.codec_context.decode(None)
            if frames:
                self.orientation = of_frame(frames[0])
                self.picture = frames[0].to_ndarray(format="rgb24").tobytes()
        stamps = (packet.pts or 0, packet.dts or 0)
        shown, decoded = (stamp * packet.time_base + shift_s for stamp in stamps)
        self.times.append((shown, decoded, packet.is_keyframe))


def _shift(time_bases: Iterable[Fraction]) -> int:
    """Seconds that are a whole number of ticks on every clock."""
    unit = math.lcm(*(base.numerator for base in time_bases))
    return -(-_LEAST_SHIFT_S // unit) * unit
