"""Where in a video stream a reader is, and getting elsewhere: seeks, their landing, the index.

Not here: decoding (`video`). Seeks may come out anywhere: containers index times of
decoding, some index nothing, and some only a few key frames. So each is checked when
the first key packet arrives, and repeated further back until it lies before its target.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import MICROSECONDS, Clock, is_without_index, stamps_some
from dj_ops_lib.media.restamping import restamping

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

NEVER = 1 << 62
"""A time after everything, in microseconds; `-NEVER` lies before everything."""


class Position:
    """The place in one video stream. Times are microseconds from the file's beginning.

    Args:
        container: The open file.
        video: Its stream.
        zero: Time stamp of the file's beginning in seconds.
        uri: Name of the file, for messages.
    """

    def __init__(
        self, container: InputContainer, video: VideoStream, *, zero: Fraction, uri: str
    ) -> None:
        self._container = container
        self._video = video
        self._uri = uri
        self._clock = Clock(video.time_base, zero)
        self.time_us = self._clock.time_us
        self._await_key = self._first_due = self._is_at_beginning = True
        self._clean_from: int | None = None
        self._back_off_us: int | None = None
        self._seek_target_us: int | None = None
        self._reached_us = -NEVER
        self._delay_us = self._delay_frames = 0
        self._stamps_some = stamps_some(container)
        self._restamping = restamping(container, video)
        self._shift_us: int | None = None if self._stamps_some else 0
        self.seeks = 0

    @property
    def landed(self) -> bool:
        """Whether the last seek has come out where it should."""
        return self._back_off_us is None

    @property
    def is_restamped(self) -> bool:
        """Whether packets have other times than the ffmpeg program gives them."""
        return self._restamping is not None and self._restamping.changes

    def seek(self, target_us: int) -> None:
        """Go to the key frame at or before a time; to the beginning where that fails."""
        self._seek_target_us, self._back_off_us = target_us, 0
        self._jump()

    def demux(self, *streams: Stream) -> Iterator[Packet[Any]]:
        """The packets of some streams from here on; the last one of each is empty.

        A seek may come out behind the last key frame (MPEG-TS): the file's end is met without
        one, and the seek is repeated further back. It goes on, too, where a seek was made
        because of what came out at the end.
        """
        while True:
            before_end = None
            for packet in self._packets(*streams):
                if packet.size > 0:
                    yield packet
                elif self.landed:
                    before_end = self.seeks if before_end is None else before_end
                    yield packet
            if before_end is None:
                if not self._back_off():
                    return
            elif self.seeks > before_end:
                self._jump()  # once more: decoders were told of the end since
            else:
                return

    def follow(self, packet: Packet[VideoStream]) -> bool:
        """Take note of the stream's next packet; False if it leads nowhere.

        That is a packet before the key frame that is waited for, or one where a seek came out
        too late and was repeated.
        """
        if packet.is_keyframe and not self._begin_group(packet):
            return False
        if not self._await_key:
            self._reached_us = max(self._reached_us, self.times(packet)[0])
        return not self._await_key

    def _packets(self, *streams: Stream) -> Iterator[Packet[Any]]:
        """Packets from the container, the video's with the times that follow from their order."""
        seeks = self.seeks
        for packet in self._container.demux(*streams):
            if self._restamping is None or packet.stream is not self._video:
                yield packet
                continue
            at_end = packet.size == 0
            taken: Any = packet
            found = self._restamping.flush() if at_end else self._restamping.push(taken)
            for ready in found:
                self._note_shift(ready)
                yield ready
                if seeks != self.seeks:
                    break
            if at_end and seeks == self.seeks:
                yield packet
            seeks = self.seeks

    def _note_shift(self, packet: Packet[VideoStream]) -> None:
        if self._shift_us is None and packet.pts is not None and packet.dts is not None:
            self._shift_us = self._clock.length_us(packet.pts - packet.dts)

    def in_order(self, packet: Packet[VideoStream]) -> int:
        """A time of display; the n-th picture that is shown has the n-th smallest of a file."""
        decoded_us, shown_us = self.times(packet)
        return decoded_us + (self._shift_us or 0) if self._stamps_some else shown_us

    def times(self, packet: Packet[VideoStream]) -> tuple[int, int]:
        """When a packet is decoded and when it is shown.

        Some have one time stamp only. An AVI shows pictures in the order in which it has them
        decoded, an MPEG program stream later by as much as its first one; the first ones of a
        Matroska file are decoded at a time that nobody knows, but not before those that came
        before them.
        """
        reached_us = self._reached_us
        if packet.dts is not None:
            decoded_us = self.time_us(packet.dts)
        elif packet.pts is not None and reached_us == -NEVER:
            decoded_us = self.time_us(packet.pts)
        else:
            decoded_us = reached_us
        if packet.pts is not None:
            return decoded_us, self.time_us(packet.pts)
        return decoded_us, decoded_us + (self._shift_us or 0)

    def _begin_group(self, packet: Packet[VideoStream]) -> bool:
        """A key packet: where decoding can begin; False if it must begin further back."""
        if self._await_key and packet.pts is None and packet.dts is None:
            return False  # nobody knows when it is shown
        shown_us = self.times(packet)[1]
        if not self._has_landed(shown_us):
            return False
        if self._await_key:
            # Frames that are shown before this one lean on pictures that were not decoded.
            self._clean_from, self._first_due = shown_us, True
            self._is_at_beginning = self._seek_target_us is None or shown_us > self._seek_target_us
        self._await_key = False
        self._note_delay(packet)
        return True

    def _has_landed(self, time_us: int) -> bool:
        """Whether a seek came out at or before its target; if not, it is tried further back."""
        if self._seek_target_us is not None and time_us > self._seek_target_us and self._back_off():
            return False
        self._back_off_us = None
        return True

    def _back_off(self) -> bool:
        """Repeat the last seek further back; False if it went to the beginning already."""
        if self._back_off_us is None or self._seek_target_us is None:
            return False
        if self._seek_target_us - self._back_off_us <= -MICROSECONDS:
            return False
        self._back_off_us = self._back_off_us * 3 + MICROSECONDS
        self._jump()
        return True

    def _jump(self) -> None:
        assert self._back_off_us is not None
        assert self._seek_target_us is not None
        if self._shift_us is None and self._reached_us == -NEVER:
            self._learn_shift()
        if self._restamping is not None:
            self._restamping.clear()
        aim_us = max(self._seek_target_us - self._back_off_us, -MICROSECONDS)
        # Some containers do not seek to before their beginning, others only so to all of it.
        ways = (aim_us, 0) if aim_us < 0 else (aim_us,)
        for us in ways if self.can_seek else ():
            try:
                self._container.seek(self._clock.ticks(us), stream=self._video, backward=True)
            except av.error.FFmpegError:
                continue
            self.seeks += 1
            self._await_key = True
            return
        if self.seeks or self._reached_us != -NEVER:
            raise MediaError(f"{self._uri}: cannot seek to {aim_us / 1e6:.3f} s", "decode_error")
        self._back_off_us = None  # nothing was read yet: go on from the beginning

    def _learn_shift(self) -> None:
        """How much later than it is decoded the file's first picture is shown."""
        for packet in self._container.demux(self._video):
            self._note_shift(packet)
            if self._shift_us is not None:
                break

    # --- the index ------------------------------------------------------------------------

    def key_before(self, target_us: int) -> int | None:
        """When the key frame is decoded that leads to a target, if the index tells.

        A guess: indexes hold times of decoding, or of a few key frames only; landing notices.
        """
        index, ticks = self._video.index_entries, self._clock.ticks(target_us)
        if self._index_is_whole:
            at = index.search_timestamp(ticks, backward=True, any_frame=True)
            # What is shown by then was decoded that many frames earlier, at whatever rate.
            ticks = index[max(0, at - self._delay_frames)].timestamp
        else:
            ticks = self._clock.ticks(target_us - self._delay_us)
            if len(index) < 2 or index[len(index) - 1].timestamp < ticks:
                return None
        found = index.search_timestamp(ticks, backward=True, any_frame=False)
        return self.time_us(index[found].timestamp) if found >= 0 else None

    def key_after(self, packet: Packet[VideoStream]) -> tuple[int, int] | None:
        """The next key frame: when it is shown, and the bytes between the two.

        None if there is none, or if the index does not hold every frame, as Matroska's.
        """
        if packet.dts is None or not self._index_is_whole:
            return None
        index = self._video.index_entries
        here = index.search_timestamp(packet.dts, backward=True, any_frame=True)
        there = index.search_timestamp(packet.dts + 1, backward=False, any_frame=False)
        if here < 0 or there < 0:
            return None
        shown_us = self.time_us(index[there].timestamp) + self._delay_us
        if there + self._delay_frames < len(index):
            shown_us = self.time_us(index[there + self._delay_frames].timestamp)
        return shown_us, index[there].pos - index[here].pos - index[here].size

    @property
    def can_seek(self) -> bool:
        """Whether FFmpeg finds its way in the file."""
        return not is_without_index(self._container, self._video)

    @property
    def _index_is_whole(self) -> bool:
        """Whether there is an entry for every frame."""
        return 0 < self._video.frames <= len(self._video.index_entries)

    def _note_delay(self, packet: Packet[VideoStream]) -> None:
        """How long after its decoding a key frame is shown, in time and in frames."""
        decoded_us, shown_us = self.times(packet)
        self._delay_us = max(self._delay_us, shown_us - decoded_us)
        if self._index_is_whole and packet.dts is not None and packet.pts is not None:
            index = self._video.index_entries
            at, shown = (
                index.search_timestamp(ticks, backward=True, any_frame=True)
                for ticks in (packet.dts, packet.pts)
            )
            self._delay_frames = max(self._delay_frames, shown - at)
