"""Packets of which a container says wrongly or not at all when they are shown, by their order.

Here: what is done to the packets of a video as they are read, before anybody looks at their times.
Not here: when a picture is shown that has no time of display (`position`, `video`), and what FFmpeg
fills in by itself (`container.order_is_known`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from dj_ops_lib.media.container import stamps_some
from dj_ops_lib.media.succession import Succession

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_PACKS = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:Build|b)\d+p")
"""What the encoders DivX and XviD write of themselves where they pack B-frames."""

_EMPTY_BYTES = 19
"""Up to which a packet of MPEG-4 holds no picture (FFmpeg's `MAX_NVOP_SIZE`)."""

_INTRA, _LEANED_ON_BY_NONE = 0, 2
"""I-VOP and B-VOP."""


class Restamping(Protocol):
    """Gives out a stream's packets in order, perhaps later than it takes them."""

    @property
    def changes(self) -> bool:
        """Whether packets have other times than the ffmpeg program gives them."""
        ...

    def push(self, packet: Packet[VideoStream]) -> Iterator[Packet[VideoStream]]:
        """Take the next packet that is not empty; those that are ready."""
        ...

    def flush(self) -> Iterator[Packet[VideoStream]]:
        """What is left at the end of the file."""
        ...

    def clear(self) -> None:
        """Forget everything: the next packet comes from elsewhere."""
        ...


def restamping(container: InputContainer, video: VideoStream) -> Restamping | None:
    """What the packets of a stream need; None if they are taken as they are."""
    if stamps_some(container):
        return _Dated()
    if video.codec_context.name == "mpeg4":
        return _Unpacked(video, in_avi=container.format.name == "avi")
    return None


class _Dated:
    """Packets of an MPEG program stream: each is decoded when the one before it is over."""

    def __init__(self) -> None:
        self._succession: Succession[Packet[VideoStream]] = Succession()

    @property
    def changes(self) -> bool:
        return True

    def push(self, packet: Packet[VideoStream]) -> Iterator[Packet[VideoStream]]:
        if packet.pos is None:  # FFmpeg made its time up
            packet.pts = packet.dts = None
        yield from self._dated(self._succession.push(packet, packet.dts, packet.duration or 0))

    def flush(self) -> Iterator[Packet[VideoStream]]:
        yield from self._dated(self._succession.flush())

    def clear(self) -> None:
        self._succession.clear()

    @staticmethod
    def _dated(
        found: Iterator[tuple[Packet[VideoStream], int | None]],
    ) -> Iterator[Packet[VideoStream]]:
        for packet, ticks in found:
            packet.dts = ticks
            yield packet


class _Unpacked:
    """Packets of MPEG-4 with a picture each, that are shown in the order that the pictures say.

    DivX and XviD may pack two pictures into one packet of an AVI. FFmpeg, which knows nothing of
    the second, makes up times that go back and forth: 0, 2, 1, 4, 3 (2026-11-26). Elsewhere its
    encoder for XviD stamps pictures in the order in which they are coded. In both, a picture that
    others lean on is shown when the next such picture is decoded, one that none leans on at once.
    """

    def __init__(self, video: VideoStream, *, in_avi: bool) -> None:
        self._video, self._in_avi = video, in_avi
        self._filter: BitStreamFilterContext | None = None
        self._is_packed: bool | None = None
        self._is_coded_order = False
        self._held: list[tuple[Packet[VideoStream], int | None]] = []
        self._stamp: int | None = None

    @property
    def changes(self) -> bool:
        return bool(self._is_packed) or self._is_coded_order

    def push(self, packet: Packet[VideoStream]) -> Iterator[Packet[VideoStream]]:
        if self._is_packed is None and packet.is_keyframe:
            said = self._video.codec_context.extradata or b""
            self._is_packed = _PACKS.search(said + bytes(packet)) is not None
        if not self._is_packed and self._in_avi:
            yield packet  # FFmpeg knows its order
            return
        for picture in self._unpacked(packet) if self._is_packed else [packet]:
            kind = _kind(bytes(picture))
            if self.changes:
                picture.is_keyframe &= kind == _INTRA
            decoded = self._decoded_at(picture)
            if kind != _LEANED_ON_BY_NONE:
                yield from self._shown(decoded)
            elif self._held and not self._in_avi:
                before = self._held[0][0].pts
                self._is_coded_order |= (picture.pts or 0) > (before or 0)
            self._held.append((picture, decoded))

    def flush(self) -> Iterator[Packet[VideoStream]]:
        last = self._held[-1] if self._held else None
        if last is not None:
            after = (last[1] or 0) + (last[0].duration or 1)
            yield from self._shown(after if self._in_avi else self._stamp)

    def clear(self) -> None:
        self._filter = self._stamp = None
        self._held = []

    def _shown(self, ticks: int | None) -> Iterator[Packet[VideoStream]]:
        """What is held: a picture, whose time of display is known now, and what follows it."""
        held, self._held = self._held, []
        for place, (picture, decoded) in enumerate(held):
            if self.changes:
                picture.dts = decoded
                picture.pts = decoded if place else ticks
            yield picture

    def _decoded_at(self, picture: Packet[VideoStream]) -> int | None:
        """As an AVI says; else at the stamp before its own, so that the first is shown at its."""
        if self._in_avi:
            return picture.dts
        stamp = picture.dts if picture.pts is None else picture.pts
        before, self._stamp = self._stamp, stamp
        if before is None and stamp is not None:
            return stamp - (picture.duration or 1)
        return before

    def _unpacked(self, packet: Packet[VideoStream]) -> Iterator[Packet[VideoStream]]:
        from av.bitstream import BitStreamFilterContext

        if self._filter is None:
            self._filter = BitStreamFilterContext("mpeg4_unpack_bframes", self._video)
        for picture in self._filter.filter(packet):
            if picture.size > _EMPTY_BYTES:
                picture.stream = self._video
                yield picture


def _kind(payload: bytes) -> int:
    """The coding type of the picture (VOP) in an MPEG-4 packet."""
    at = payload.find(b"\x00\x00\x01\xb6") + 4
    return payload[at] >> 6 if 4 <= at < len(payload) else _INTRA
