"""The pass itself: where packets of one clip go, and when it is over.

`frames.decode` says what it is for and what counts as a decode error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import av.error
from av.stream import Discard

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.audio import Hearing
from dj_ops_lib.media.container import (
    MICROSECONDS,
    Clock,
    check_dimensions,
    main_video,
    stamps_some,
    time_zero,
)
from dj_ops_lib.media.conventions import bt709_nodes
from dj_ops_lib.media.delivery import Delivery
from dj_ops_lib.media.edits import PictureEdits, edited_size, needs_every_frame, video_edits
from dj_ops_lib.media.labels import labels_of
from dj_ops_lib.media.orientation import declared_rotation, display_size
from dj_ops_lib.media.plans import Length
from dj_ops_lib.media.position import Position
from dj_ops_lib.media.probe import declared_duration, frame_rate
from dj_ops_lib.media.raw_packets import RawPackets
from dj_ops_lib.media.reach import Reach
from dj_ops_lib.media.sparse import SparseReader
from dj_ops_lib.media.tone_mapping import is_wide
from dj_ops_lib.media.vectors import Vectors
from dj_ops_lib.media.video import VideoReader
from dj_ops_lib.needs import Audio, Frames, MotionVectors, Need, Observer, Packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

_PAST_END_US = 5 * MICROSECONDS
"""How far past the clip's end packets are read on for the sake of other streams."""

_IN_STEP_US = 2 * MICROSECONDS
"""How far before a clip decoding begins where one wrong time stamp is set right by the next."""


@dataclasses.dataclass(frozen=True, slots=True)
class DecodeReport:
    """What one pass cost.

    Attributes:
        packets: Packets read.
        frames_decoded: Pictures out of the decoder, those on the way to the window included.
        frames_delivered: Calls of `Observer.frame`.
        conversions: Scalings and format conversions.
        seeks: Jumps in the file.
        audio_samples: Samples per channel handed out, over all plans.
    """

    packets: int
    frames_decoded: int
    frames_delivered: int
    conversions: int
    seeks: int
    audio_samples: int


class ClipPass:
    """The state of one call of `decode`. Times are microseconds from the file's beginning."""

    def __init__(
        self,
        container: InputContainer,
        clip: Clip,
        uri: str,
        wanted: Sequence[tuple[Need, Observer]],
        access: Access,
    ) -> None:
        self._container, self._uri = container, uri
        self._video = video = main_video(container, uri)
        check_dimensions(uri, video.width, video.height, access)
        video.thread_count = 1
        # A stream can grow on the way; the decoder holds it to what the header may say.
        pixels = access.limits.max_width * access.limits.max_height
        self._vectors = Vectors([o for need, o in wanted if isinstance(need, MotionVectors)])
        export = {"flags2": "+export_mvs"} if self._vectors else {}
        video.codec_context.options = {"max_pixels": str(pixels), **export}
        self._zero = time_zero(container, video)
        self._clocks = {s.index: Clock(s.time_base, self._zero) for s in container.streams}
        self._start_us = round((clip.start_s or 0.0) * MICROSECONDS)
        self._end_us = None if clip.end_s is None else round(clip.end_s * MICROSECONDS)
        duration, is_videos = declared_duration(container, video)
        self._reach = Reach(
            None if duration is None else round(duration * MICROSECONDS),
            is_videos=is_videos,
            frame_us=MICROSECONDS / (float(frame_rate(video)) or 1.0),
            uri=uri,
        )
        observers = [o for need, o in wanted if isinstance(need, Packets)]
        self._raw = RawPackets(observers, self._start_us, self._end_us, uri)
        self._hearing = Hearing.of(
            container,
            [(need, o) for need, o in wanted if isinstance(need, Audio)],
            clip.edits,
            (self._zero, self._start_us, self._end_us),
            uri,
        )
        self._through: PictureEdits | None = None
        self._delivery = self._pictures(clip, wanted)
        self._reader = self._video_reader()
        self._packets = 0

    def _length(self, clip: Clip) -> Length:
        known = self._start_us + round((clip.duration_s or 0.0) * MICROSECONDS)
        end = self._end_us
        if end is None:  # a header may declare less than its file holds, and than the row says
            end = max(known, self._reach.declared_us or 0)
        duration = max(0, end - self._start_us)
        fps = clip.fps or float(frame_rate(self._video))
        return Length(duration, fps, max(1, clip.num_frames or round(duration * fps / 1e6)))

    def _pictures(self, clip: Clip, wanted: Sequence[tuple[Need, Observer]]) -> Delivery | None:
        """Who gets which pictures; None where nobody wants any."""
        plans = [(need, o) for need, o in wanted if isinstance(need, Frames)]
        if not plans and not self._vectors:
            return None
        video = self._video
        swaps = declared_rotation(self._container, video) in {90, 270}
        sar = video.sample_aspect_ratio
        size = display_size(video.width, video.height, sar, swaps=swaps)
        labels = labels_of(video)
        bt709 = bt709_nodes(labels, is_rgb=video.format is not None and video.format.is_rgb)
        edits = None
        if video_edits(clip.edits):
            size = edited_size(*size, clip.edits)
            edits, bt709 = PictureEdits(clip.edits, sar, self._uri, bt709), []
            if needs_every_frame(clip.edits):
                self._through, edits = edits, None
        edited = self._through is not None
        return Delivery(
            plans,
            self._length(clip),
            size,
            edits=edits,
            edited=edited,
            bt709=bt709 if is_wide(labels["color_transfer"], labels["color_primaries"]) else (),
            every_frame=edited or bool(self._vectors) or stamps_some(self._container),
        )

    def _video_reader(self) -> Position:
        """What goes through the video: decoding all of it, some of it, or nothing."""
        container, video, zero, uri = self._container, self._video, self._zero, self._uri
        start_us, end_us, delivery = self._start_us, self._end_us, self._delivery
        if delivery is None:
            return Position(container, video, zero=zero, uri=uri)
        if delivery.every_frame:
            return VideoReader(
                container, video, zero=zero, uri=uri, start_us=start_us, end_us=end_us
            )
        return SparseReader(
            container,
            video,
            zero=zero,
            uri=uri,
            start_us=start_us,
            end_us=end_us,
            keys=delivery.wants_keys,
            targets=[start_us + target for target in delivery.targets],
            may_jump=not self._raw and self._hearing is None,
        )

    # --- the pass -------------------------------------------------------------------------

    def run(self) -> DecodeReport:
        """Read, decode, deliver; then check that nothing was missing.

        Raises:
            MediaError: As for `frames.decode`.
        """
        if self._delivery or self._raw or self._hearing:
            with self._vectors.collecting():
                self._read()
            if self._is_outside and not self._reach.goes_beyond(self._start_us):
                raise self._nothing_there()
        if self._delivery:
            self._offer(None, 0, key_frame=False)
            if not self._delivery.has_frames:
                raise self._nothing_there()
            self._delivery.finish()
            if self._delivery.every_frame and isinstance(self._reader, VideoReader):
                self._delivery.end(self._reader.pictures_end_us - self._start_us)
        if self._hearing:
            self._hearing.finish()
        reader, delivery = self._reader, self._delivery
        return DecodeReport(
            packets=self._packets,
            frames_decoded=reader.frames_decoded if isinstance(reader, VideoReader) else 0,
            frames_delivered=delivery.delivered if delivery else 0,
            conversions=delivery.conversions if delivery else 0,
            seeks=reader.seeks,
            audio_samples=self._hearing.given if self._hearing else 0,
        )

    def _read(self) -> None:
        reader = self._reader
        # Sound may lie before the key frame that it is heard with.
        begin_us = self._start_us - (MICROSECONDS // 2 if self._hearing else 0)
        begin_us -= _IN_STEP_US if stamps_some(self._container) else 0
        if begin_us > 0:
            reader.seek(begin_us)
        held: list[Packet[Any]] = []  # other streams, while a seek may still have to be repeated
        seeks = reader.seeks
        try:
            for packet in reader.demux(*self._streams()):
                if seeks != reader.seeks:
                    seeks = reader.seeks
                    held.clear()
                self._packets += packet.size > 0
                if packet.stream is self._video:
                    self._show(packet)
                elif not reader.landed:
                    held.append(packet)
                    continue
                if reader.landed:
                    for earlier in held:
                        self._take(earlier)
                    held.clear()
                    self._take(packet)
                if self._is_done(packet):
                    break
            else:
                self._reach.check(self._end_us)
        except av.error.FFmpegError as error:
            message = f"{self._uri}: reading fails: {error.strerror}"
            raise MediaError(message, "decode_error") from error

    def _show(self, packet: Packet[Any]) -> None:
        """Decode a packet of the video; where nobody looks, only learn where it is."""
        if not isinstance(self._reader, VideoReader):
            self._reader.follow(packet)
            return
        for shown in self._reader.feed(packet):
            self._vectors.give(shown.frame)
            self._offer(shown.frame, shown.pts_us - self._start_us, key_frame=shown.key_frame)

    def _offer(self, frame: VideoFrame | None, time_us: int, *, key_frame: bool) -> None:
        """Hand a frame on, through the edits that need every frame; None is the end of them."""
        assert self._delivery is not None
        if self._through:
            for edited, at, key in self._through.push(frame, time_us, key_frame=key_frame):
                self._delivery.offer(edited, at, at + self._start_us, key_frame=key)
        elif frame is not None:
            self._delivery.offer(frame, time_us, time_us + self._start_us, key_frame=key_frame)

    def _streams(self) -> list[Any]:
        """What is demuxed. Without an end of its own, the video ends where any stream does."""
        audios = list(self._container.streams.audio)
        if self._reach.is_videos:
            audios = audios[:1] if self._hearing else []
        streams = [*(self._container.streams.video if self._raw else [self._video]), *audios]
        for stream in self._container.streams:
            stream.discard = Discard.default if stream in streams else Discard.all
        return streams

    def _take(self, packet: Packet[Any]) -> None:
        """Raw packets and sound, and how far the file goes."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        time_us = None
        if stamp is not None and packet.size > 0:
            clock, is_video = self._clocks[packet.stream.index], packet.stream is self._video
            time_us = self._reader.times(packet)[1] if is_video else clock.time_us(stamp)
            end_us = time_us + clock.length_us(packet.duration or 0)
            self._reach.note(end_us, is_video=is_video)
        if packet.stream.type == "video":
            self._raw.give(packet, time_us)
        elif self._hearing and packet.stream is self._hearing.stream:
            self._hearing.feed(packet)

    def _is_done(self, packet: Packet[Any]) -> bool:
        reader = self._reader
        if packet.size == 0 or not reader.landed:
            return False  # the packets that flush at the end come once for each stream
        if isinstance(reader, VideoReader) and not reader.finished:
            return False
        stamp = packet.dts if packet.dts is not None else packet.pts
        past_us = -1
        if self._end_us is not None and stamp is not None:
            past_us = self._clocks[packet.stream.index].time_us(stamp) - self._end_us
        if past_us >= _PAST_END_US:
            return True
        raw_done = not self._raw or (past_us >= 0 and packet.stream is self._video)
        return raw_done and (self._hearing is None or self._hearing.past_end)

    def _nothing_there(self) -> MediaError:
        end = "the end" if self._end_us is None else f"{self._end_us / MICROSECONDS:.3f} s"
        span = f"{self._start_us / MICROSECONDS:.3f} s to {end}"
        return MediaError(
            f"{self._uri}: no picture can be decoded from {span}",
            "span_out_of_range" if self._is_outside else "decode_error",
        )

    @property
    def _is_outside(self) -> bool:
        """Whether the clip begins where the header says that nothing is left."""
        declared_us = self._reach.declared_us
        return declared_us is not None and self._start_us >= declared_us
