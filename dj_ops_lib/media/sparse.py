"""Key frames and frames at given times of one window, the rest of it left undecoded.

The packets of a group of pictures are held back until it is known what of the group
is wanted: nothing, its key frame alone, or a frame inside, for which it is decoded
from its key frame on, up to that frame. So one pass serves both, no frame is decoded
twice, and no index is needed; where nobody listens to the packets in between and
there is an index, they are not even read.

Not here: which frames a plan wants (`plans`) and what becomes of them (`delivery`).
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av.error

from dj_ops_lib.media.container import MICROSECONDS
from dj_ops_lib.media.position import NEVER
from dj_ops_lib.media.video import KeyFrameError, Shown, VideoReader, leans

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_WORTH_A_SEEK_US = 2 * MICROSECONDS
"""Without an index, targets nearer than this are reached by reading on."""

_WORTH_A_SEEK_BYTES = 2 * 2**20
"""Bytes before the next key frame from which they are left out: two requests of an object."""

_HELD_BYTES = 32 * 2**20
"""Packets held back; a group of pictures that is larger is decoded before it is known why."""


class SparseReader(VideoReader):
    """Decodes a few frames of one window of one stream.

    Frames that are decoded on the way to a target come out, too.

    Args:
        container: The open file.
        video: Its stream.
        zero: Time stamp of the file's beginning in seconds.
        uri: Name of the file, for messages.
        start_us: Beginning of the window, from the file's beginning.
        end_us: End of the window, exclusive; None for the end of the file.
        keys: Whether key frames are wanted; where the window has none, its first frame is.
        targets: Times from the file's beginning for which the first frame at or after each is
            wanted; the last frame for those past it.
        may_jump: Whether packets may be left unread.
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
        keys: bool,
        targets: Iterable[int],
        may_jump: bool,
    ) -> None:
        super().__init__(container, video, zero=zero, uri=uri, start_us=start_us, end_us=end_us)
        self._wants_keys = keys
        self._all_targets = sorted(targets)
        self._targets = collections.deque(self._all_targets)
        self._may_jump = may_jump
        self._run: list[Packet[VideoStream]] = []  # held back, from a key frame or the last fed on
        self._run_bytes = 0
        self._key_wanted = False  # the run begins with a key frame that is wanted by itself
        self._candidate: int | None = None  # place in the run of a key frame that a target may mean
        self._feeding = self._fed = False  # packets go to the decoder; it holds some of the group
        self._fed_to_us = self._shown_to_us = -NEVER
        self._lacks_first = keys
        self._look_ahead = False
        self._seeks_before = 0
        self._sought = False

    # --- holding back ---------------------------------------------------------------------

    def _take(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        if self._feeding:
            yield from self._decode(packet)
            self._stop_feeding()
        else:
            yield from self._hold(packet)
        if not self.finished and not self._feeding and self._candidate is None:
            stop_us = self._next_stop(packet)
            if stop_us is not None:
                yield from self._show_key()
                self.seek(stop_us)

    def _hold(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        shown_us = self.times(packet)[1]
        if packet.is_keyframe and (self._end_us is None or shown_us < self._end_us):
            yield from self._settle()
            if shown_us >= self._start_us and self._is_due(shown_us):
                # It is what the target means, unless a picture follows that is shown before it.
                self._candidate = len(self._run)
                self._keep(packet)
            else:
                yield from self._begin([packet])
            return
        if self._candidate is not None and shown_us >= self.times(self._run[self._candidate])[1]:
            yield from self._settle()
        if self._targets or self._lacks_first:
            self._keep(packet)
            if self._is_due(shown_us) or self._run_bytes > _HELD_BYTES:
                yield from self._feed_run()

    def _is_due(self, shown_us: int) -> bool:
        """Whether a target waits for a frame that is shown then or earlier."""
        return bool(self._targets) and self._targets[0] <= shown_us

    def _keep(self, packet: Packet[VideoStream]) -> None:
        self._run.append(packet)
        self._run_bytes += packet.size

    def _settle(self) -> Iterator[Shown]:
        """The candidate is what its target means: what was held before it is not needed."""
        if self._candidate is not None:
            begun, self._candidate = self._run[self._candidate :], None
            self._meet(self.times(begun[0])[1])
            yield from self._begin(begun, at_target=True)

    def _begin(
        self, begun: list[Packet[VideoStream]], *, at_target: bool = False
    ) -> Iterator[Shown]:
        """A new group of pictures; of the one before it, nothing is wanted but its key frame."""
        yield from self._show_key()
        shown_us = self.times(begun[0])[1]
        self._clean_from, self._first_due = shown_us, True
        self._key_wanted = shown_us >= self._start_us and (at_target or self._wants_keys)
        self._lacks_first &= shown_us < self._start_us
        self._look_ahead, self._sought = True, self.seeks > self._seeks_before
        self._seeks_before = self.seeks
        for packet in begun:
            self._keep(packet)
        if not self._targets and not self._lacks_first:
            yield from self._show_key()
            self.finished = not self._wants_keys

    def _meet(self, shown_us: int) -> None:
        while self._is_due(shown_us):
            self._targets.popleft()

    # --- decoding -------------------------------------------------------------------------

    def _show_key(self) -> Iterator[Shown]:
        """Drop what is held, but for the key frame at its beginning if that is wanted."""
        run, self._run, self._run_bytes = self._run, [], 0
        wanted, self._key_wanted = self._key_wanted, False
        if self._fed:
            self._context.flush_buffers()
            self._forget()
        if wanted and self.times(run[0])[1] > self._shown_to_us:
            yield self._key_picture(run[0])

    def _forget(self) -> None:
        super()._forget()
        self._fed = False

    def _key_picture(self, packet: Packet[VideoStream]) -> Shown:
        """The picture of a key packet by itself.

        A decoder that is told to skip the others loses key frames of open groups of pictures,
        or gives them in the wrong order: it waits for pictures that never come (FFmpeg 5.1 to
        8, x264 with open-gop: 3 of 5, backwards, 2026-11-22). So each is drained at once.
        """
        shown_us = self.times(packet)[1]
        self._set_skip(packet, shown_us)
        try:
            frames = self._context.decode(packet) or self._context.decode(None)
        except av.error.FFmpegError as error:
            raise self._error(f"decoding fails: {error.strerror}") from error
        self._context.flush_buffers()
        self.frames_decoded += len(frames)
        if not frames or (leans(frames[0]) and not self._from_beginning):
            raise KeyFrameError
        if frames[0].is_corrupt:
            raise self._error(f"damaged key frame at {shown_us / 1e6:.3f} s")
        self._in_window = True
        self._shown_to_us = shown_us
        return Shown(frames[0], shown_us, key_frame=True)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._run, self._run_bytes, self._candidate, self._key_wanted = [], 0, None, False
        self._feeding = self._fed = True
        self._targets = collections.deque(t for t in self._all_targets if t > self._shown_to_us)

    def _feed_run(self) -> Iterator[Shown]:
        """Decode what is held, and go on until all that is wanted of it has come out."""
        run, self._run, self._run_bytes = self._run, [], 0
        self._candidate, self._key_wanted = None, False
        self._feeding = self._fed = True
        for packet in run:
            yield from self._decode(packet)
        self._stop_feeding()

    def _decode(self, packet: Packet[VideoStream]) -> Iterator[Shown]:
        self._fed_to_us = max(self._fed_to_us, self.times(packet)[1])
        yield from super()._decode(packet)

    def _decoded(self, packet: Packet[VideoStream] | None) -> Iterator[Shown]:
        for shown in super()._decoded(packet):
            self._meet(shown.pts_us)
            if shown.pts_us > self._shown_to_us:  # not again, where a seek came out further back
                self._shown_to_us = shown.pts_us
                yield shown

    def _stop_feeding(self) -> None:
        """Hold back again, once nothing that is wanted can come out of what was fed."""
        self._lacks_first &= not self._in_window
        owed = self._is_due(self._fed_to_us) or bool(self._keys) or self._lacks_first
        owed |= self._from_beginning and (self._wants_keys or bool(self._targets))
        # Without time stamps nobody knows whether a key frame has come out.
        if not owed and not (self._unstamped and self._wants_keys):
            self._feeding, self._look_ahead = False, True
            self.finished |= not self._targets and not self._wants_keys

    def _flush(self) -> Iterator[Shown]:
        yield from self._settle()
        if self.finished:
            return
        if self._feeding or self._targets or self._lacks_first:
            # The last frame is wanted for targets past it, or the only one on screen.
            yield from self._feed_run()
            yield from super()._flush()
        else:
            yield from self._show_key()
            yield from self._finish()

    # --- leaving out ----------------------------------------------------------------------

    def _next_stop(self, packet: Packet[VideoStream]) -> int | None:
        """Where to seek to, to leave out what follows a packet; None to read on.

        Asked once a group of pictures: without an index a seek may lead back to its beginning.
        """
        if not self._may_jump or not self._look_ahead or not self.can_seek:
            return None
        self._look_ahead = False
        end_us = NEVER if self._end_us is None else self._end_us
        stop_us = min(self._targets[0], end_us - 1) if self._targets else NEVER
        if self._wants_keys:
            after = self.key_after(packet)
            if after is None:
                return None
            key_us, skipped = after
            worth = skipped >= _WORTH_A_SEEK_BYTES and key_us < end_us and key_us <= stop_us
            stop_us = key_us
        elif (decoded_us := self.key_before(stop_us)) is not None:
            worth = decoded_us > self._reached_us
        else:
            worth = not self._sought and stop_us - self._reached_us > _WORTH_A_SEEK_US
        ahead = self._seek_target_us is None or stop_us > self._seek_target_us
        return stop_us if worth and ahead else None
