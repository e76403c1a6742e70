"""Compressed packets of a clip's video streams, handed to observers as they are in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import MICROSECONDS
from dj_ops_lib.media.position import NEVER
from dj_ops_lib.needs import Observer

if TYPE_CHECKING:
    from av.packet import Packet


class RawPackets:
    """The observers of one clip that want packets; false where there are none.

    Args:
        observers: Who gets them.
        start_us: The clip's beginning in microseconds from the file's.
        end_us: Its end, exclusive; None for the end of the file.
        uri: Name of the file, for messages.
    """

    def __init__(
        self, observers: Sequence[Observer], start_us: int, end_us: int | None, uri: str
    ) -> None:
        self._observers = observers
        self._start_us, self._end_us = start_us, end_us
        self._uri = uri
        self._given_to: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def give(self, packet: Packet[Any], time_us: int | None) -> None:
        """Hand out a packet that is shown in the clip.

        Args:
            packet: The packet.
            time_us: When it is shown, from the file's beginning; None if it does not say.

        Raises:
            MediaError: `decode_error`.
        """
        if not self._observers or packet.size == 0 or not self._holds(time_us):
            return
        if packet.is_corrupt:
            raise MediaError(f"{self._uri}: damaged packet in the video stream", "decode_error")
        stream = packet.stream.index
        if packet.dts is not None:
            if packet.dts <= self._given_to.get(stream, -NEVER):
                return  # read again, because decoding had to begin further back
            self._given_to[stream] = packet.dts
        payload = bytes(packet)
        for observer in self._observers:
            observer.packet(payload, None if time_us is None else time_us / MICROSECONDS, stream)

    def _holds(self, time_us: int | None) -> bool:
        if self._start_us <= 0 and self._end_us is None:
            return True
        after_start = time_us is not None and time_us >= self._start_us
        return after_start and (self._end_us is None or (time_us or 0) < self._end_us)
