"""Packets of one video stream in, clean decoded frames of a window out: every one of them.

Here: the window, what the decoder may skip on the way to it, damage. Not here: moving
about (`position`), leaving out what nobody wants (`sparse`), which frames a plan wants
(`plans`) and what becomes of them (`delivery`).

One thread decodes: with a worker per core, frame threads cost 10 % more CPU time
(720p H.264, 360 frames, 1.72 s against 1.56 s, 2026-11-22).
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import MICROSECONDS
from dj_ops_lib.media.position import NEVER, Position
from dj_ops_lib.media.probe import frame_rate
from dj_ops_lib.media.succession import Succession

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_REORDERED = 16
"""Pictures that a decoder may hold before it gives one out (`max_num_reorder_frames` of H.264)."""

_HEED_SKIP = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8"})
"""Decoders that look at `skip_frame` for each picture, and come back when it is taken away.

libdav1d reads it when it opens, and loses pictures for good: 16 of 33 of a clip amid an SVT-AV1
file, 2 of libaom's (2026-11-26).
"""


_FIRST_ONES_LEAN_ON_NOTHING = frozenset({"vvc"})
"""Codecs whose file may begin with a key frame that is shown after pictures which follow it.

Their decoders leave out by themselves what leans on pictures before the first.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame of the window.

    Attributes:
        frame: The frame.
        pts_us: Microseconds from the file's beginning.
        key_frame: Whether the file says that decoding can begin with it.
    """

    frame: VideoFrame
    pts_us: int
    key_frame: bool


class KeyFrameError(Exception):
    """What the file calls a key frame cannot be decoded by itself.

    So it is with intra refresh: pictures come out when all parts of them have been renewed, up
    to seconds later. And where a container calls every picture one, as FFmpeg writes H.261 and
    H.263+: what comes out leans on pictures that were not decoded.
    """


class SkippedError(Exception):
    """The picture on screen when the window opens was left out on the way to it."""


def leans(frame: VideoFrame) -> bool:
    """Whether a picture was made from others, as far as its decoder says."""
    from av.video.frame import PictureType

    return not frame.key_frame and frame.pict_type in {PictureType.P.value, PictureType.B.value}


class VideoReader(Position):
    """Decodes one window of one stream.

    Args:
        container: The open file.
        video: Its stream.
        zero: Time stamp of the file's beginning in seconds.
        uri: Name of the file, for messages.
        start_us: Beginning of the window, from the file's beginning.
        end_us: End of the window, exclusive; None for the end of the file.
    """

    def __init__(
        self,
        container: InputContainer,
        video: VideoStream,
        *,
        zero: Fraction,
        uri: str,
        start_us: int,
        end_us: int | None,
    ) -> None:
        super().__init__(container, video, zero=zero, uri=uri)
        self._context = video.codec_context
        self._start_us = start_us
        self._end_us = end_us
        self._skips = self._context.codec.name in _HEED_SKIP and not self._stamps_some
        self._skip = ""
        self._skipped_to_us = self._before_us = -NEVER
        self._keys: set[int] = set()
        self._before: VideoFrame | None = None
        self._unstamped: list[int] = []
        self._succession: Succession[VideoFrame] = Succession()
        self._in_window = self._from_beginning = False
        self._past_end = 0
        self._pictures_end_us = start_us
        self.finished = False
        self.frames_decoded = 0

    @property
    def pictures_end_us(self) -> int:
        """Where the last picture so far is over, no later than the window."""
        end_us = self._pictures_end_us
        return end_us if self._end_us is None else min(end_us, self._end_us)

    def feed(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        """Take the stream's next packet; the frames of the window that come out.

        Raises:
            MediaError: `decode_error`.
        """
        if packet.size > 0 and not self.follow(packet):
            return
        if self.finished:
            return
        if packet.size > 0 and not packet.is_discard:
            # Those of MPEG-TS and FLV do not say how long they are shown.
            length_us = self._clock.length_us(packet.duration or self._frame_ticks)
            shown_us = self.times(packet)[1] + length_us
            self._pictures_end_us = max(self._pictures_end_us, shown_us)
        at_end = packet.size == 0 or self._is_past_end(packet)
        if packet.is_corrupt and not at_end:
            raise self._error(f"damaged packet at {self.times(packet)[1] / 1e6:.3f} s")
        try:
            yield from self._flush() if at_end else self._take(packet)
        except KeyFrameError:
            self._begin_anew()
        except SkippedError:
            self._skips = False
            self._context.skip_frame = "DEFAULT"
            self._go_back(self._start_us)

    def _is_past_end(self, packet: Packet[VideoStream]) -> bool:
        """Whether nothing from a packet on is shown in the window."""
        if self._end_us is None or self.times(packet)[0] < self._end_us:
            return False
        # Without a time of display, it may be shown before pictures that were decoded earlier.
        self._past_end += 1
        return packet.pts is not None or self._past_end > _REORDERED

    def _take(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        """What is done with a packet that belongs to the window or leads to it."""
        yield from self._decode(packet)

    def _flush(self) -> Iterator[Shown]:
        """The frames that are still to come at the end of the window; it is finished then."""
        yield from self._decoded(None)
        if self._first_due and not self._from_beginning:
            raise KeyFrameError
        yield from self._finish()

    def _begin_anew(self) -> None:
        """Decode from the file's beginning, as what it calls key frames cannot be trusted."""
        self._from_beginning = True
        self._go_back(-MICROSECONDS)

    def _go_back(self, target_us: int) -> None:
        """Read again what was read before."""
        self.seek(target_us)
        # A Matroska does not say when its first pictures are decoded: not after what is left.
        self._reached_us = -NEVER

    def _jump(self) -> None:
        super()._jump()
        self._forget()

    def _forget(self) -> None:
        """The decoder begins anew: nothing that it was fed will come out."""
        self._unstamped.clear()
        self._keys.clear()
        self._succession.clear()

    def _decode(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        decoded_us, shown_us = self.times(packet)
        if packet.pts is None:
            heapq.heappush(self._unstamped, decoded_us)
        elif packet.is_keyframe:
            self._keys.add(shown_us)
        self._set_skip(packet, shown_us)
        yield from self._decoded(packet)

    def _set_skip(self, packet: Packet[VideoStream], shown_us: int) -> None:
        """Leave out what nothing leans on, on the way from the key frame to the window."""
        if not self._skips:
            return
        until_us = shown_us + self._clock.length_us(packet.duration or 0)
        skip = "DEFAULT"
        if until_us < self._start_us and packet.pts is not None:
            skip, self._skipped_to_us = "NONREF", max(self._skipped_to_us, shown_us)
        if skip != self._skip:
            self._context.skip_frame = skip  # type: ignore[assignment]
            self._skip = skip

    def _decoded(self, packet: Packet[VideoStream] | None) -> Iterator[Shown]:
        try:
            frames = self._context.decode(packet)
        except av.error.EOFError:
            frames = []
        except av.error.FFmpegError as error:
            raise self._error(f"decoding fails: {error.strerror}") from error
        self.frames_decoded += len(frames)
        for frame, time_us in self._timed(frames, is_last=packet is None):
            is_stamped = frame.pts is not None and time_us == self.time_us(frame.pts)
            is_stamped &= not self._stamps_some
            key_frame = time_us in self._keys if is_stamped else bool(frame.key_frame)
            self._keys.discard(time_us)
            if self._clean_from is not None and time_us < self._clean_from and not self._is_clean:
                continue
            if self._is_amiss(frame, time_us):
                raise KeyFrameError
            if self._end_us is not None and time_us >= self._end_us:
                yield from self._finish()
                return
            if frame.is_corrupt:
                raise self._error(f"damaged picture at {time_us / 1e6:.3f} s")
            if time_us < self._start_us:
                self._before, self._before_us = frame, time_us
                continue
            self._in_window = True
            yield Shown(frame, time_us, key_frame)

    @functools.cached_property
    def _frame_ticks(self) -> int:
        """How long a picture is shown on average."""
        rate, base = frame_rate(self._video), self._video.time_base
        return round(1 / (rate * base)) if rate and base else 1

    @property
    def _is_clean(self) -> bool:
        """Whether what is shown before the key frame that decoding began with leans on no other."""
        return self._is_at_beginning and self._context.codec.name in _FIRST_ONES_LEAN_ON_NOTHING

    def _is_amiss(self, frame: VideoFrame, time_us: int) -> bool:
        """Whether pictures are missing before the first one, or it is a key frame that is none."""
        first, self._first_due = self._first_due, False
        begun_us = max(self._start_us, self._clean_from or 0)
        amiss = time_us > begun_us or (time_us == self._clean_from and leans(frame))
        return first and amiss and not self._from_beginning

    def _finish(self) -> Iterator[Shown]:
        if self.finished:
            return
        if not self._in_window and self._before_us < self._skipped_to_us and self._skips:
            # It is shown longer than its packet says, as in a Matroska after an uneven frame.
            raise SkippedError
        self.finished = True
        if not self._in_window and self._before is not None:
            # Shown longer than the window lasts: the picture on screen when it opens.
            yield Shown(self._before, self._start_us, key_frame=bool(self._before.key_frame))

    def _timed(
        self, frames: Sequence[VideoFrame], *, is_last: bool
    ) -> Iterator[tuple[VideoFrame, int]]:
        """Frames in order of display, with their times.

        An AVI has decoding times only; frames come out in order of display, so the n-th takes
        the n-th smallest of them. In an MPEG program stream some pictures have a time, and the
        others follow them.
        """
        for frame in frames:
            if not self._stamps_some:
                yield frame, self._shown_at(frame)
                continue
            length = frame.duration or self._frame_ticks
            for earlier, ticks in self._succession.push(frame, frame.pts, length):
                yield earlier, self._shown_at(earlier) if ticks is None else self.time_us(ticks)
        if is_last and self._stamps_some:
            for earlier, ticks in self._succession.flush():
                yield earlier, self._shown_at(earlier) if ticks is None else self.time_us(ticks)

    def _shown_at(self, frame: VideoFrame) -> int:
        if frame.pts is not None:
            return self.time_us(frame.pts)
        return heapq.heappop(self._unstamped) if self._unstamped else self._reached_us

    def _error(self, text: str) -> MediaError:
        return MediaError(f"{self._uri}: {text}", "decode_error")
