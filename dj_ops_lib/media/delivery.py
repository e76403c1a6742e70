"""Frames of one clip to the observers that asked for them, each in the shape it asked for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dj_ops_lib.media.edits import PictureEdits
from dj_ops_lib.media.pictures import Converter, Format, Scaling
from dj_ops_lib.media.plans import Length, Selection, needs_every_frame, select
from dj_ops_lib.media.tone_mapping import Node
from dj_ops_lib.needs import At, Frame, Frames, KeyFrames, Observer

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MICROSECONDS = 1_000_000


@dataclasses.dataclass(slots=True)
class _Show:
    """One plan's selection and who looks at it, by the converter that makes their picture."""

    selection: Selection
    viewers: dict[Converter, list[Observer]]


@dataclasses.dataclass(slots=True)
class _Seen:
    """A frame that came by, and what was made of it; only the first and the last are kept."""

    frame: VideoFrame
    time_us: int
    pts_us: int
    index: int | None
    key_frame: bool
    edited: VideoFrame | None = None
    pictures: dict[Converter, Frame] = dataclasses.field(default_factory=dict)


class Delivery:
    """Selects, converts once per size and format, and hands out.

    Args:
        wanted: The frame plans, and their observers.
        length: What the plans need to know of the clip.
        display: Display (width, height) of the clip in pixels.
        edits: What is done to a picture before it is shown, if anything.
        edited: Whether frames come edited already, and therefore upright.
        every_frame: Whether all frames are decoded whatever the plans are.
        bt709: Filters that bring the colours of frames to BT.709, where that is not a matrix alone.
    """

    def __init__(
        self,
        wanted: Sequence[tuple[Frames, Observer]],
        length: Length,
        display: tuple[int, int],
        *,
        edits: PictureEdits | None = None,
        edited: bool = False,
        every_frame: bool = False,
        bt709: Sequence[Node] = (),
    ) -> None:
        self._edits = edits
        self._converters: dict[tuple[int, int, Format, Scaling], Converter] = {}
        self._shows: dict[At, _Show] = {}
        for need, observer in wanted:
            width, height = need.size.resolve(*display) if need.size else display
            key = (width, height, need.format, need.scaling)
            if key not in self._converters:
                self._converters[key] = Converter(
                    width,
                    height,
                    need.format,
                    upright=edited or edits is not None,
                    scaling=need.scaling,
                    bt709=bt709,
                )
            show = self._shows.setdefault(need.at, _Show(select(need.at, length), {}))
            show.viewers.setdefault(self._converters[key], []).append(observer)
        self.every_frame = every_frame or any(needs_every_frame(at) for at in self._shows)
        self.delivered = 0
        self._index = 0
        self._first: _Seen | None = None
        self._last: _Seen | None = None

    @property
    def conversions(self) -> int:
        """Pictures made so far."""
        return sum(converter.count for converter in self._converters.values())

    @property
    def has_frames(self) -> bool:
        """Whether any frame came by."""
        return self._first is not None

    @property
    def wants_keys(self) -> bool:
        """Whether a plan asks for key frames."""
        return any(isinstance(at, KeyFrames) for at in self._shows)

    @property
    def targets(self) -> list[int]:
        """The times that plans wait for, from the clip's start."""
        return sorted({t for show in self._shows.values() for t in show.selection.targets})

    def offer(self, frame: VideoFrame, time_us: int, pts_us: int, *, key_frame: bool) -> None:
        """Show a frame to those who want it.

        Args:
            frame: The decoded frame.
            time_us: Microseconds from the clip's start.
            pts_us: Microseconds from the file's beginning.
            key_frame: Whether it is a key frame.
        """
        index = self._index if self.every_frame else None
        seen = self._last = _Seen(frame, time_us, pts_us, index, key_frame)
        if self._first is None:
            self._first = seen
        for show in self._shows.values():
            for _ in range(show.selection.wants(time_us, self._index, key_frame=key_frame)):
                self._show(show, seen)
        self._index += 1

    def finish(self) -> None:
        """Show the last frame to plans with targets past the end, the first where no key was."""
        for show in self._shows.values():
            wants_first, wants_last = show.selection.left_over()
            if wants_first and self._first is not None:
                self._show(show, self._first)
            if self._last is not None:
                for _ in range(wants_last):
                    self._show(show, self._last)

    def end(self, time_us: int) -> None:
        """Say where the pictures end, in microseconds from the clip's start."""
        for show in self._shows.values():
            for observer in itertools.chain.from_iterable(show.viewers.values()):
                observer.end(time_us / _MICROSECONDS)

    def _show(self, show: _Show, seen: _Seen) -> None:
        for converter, observers in show.viewers.items():
            if converter not in seen.pictures:
                if self._edits is not None and seen.edited is None:
                    seen.edited = self._edits.apply(seen.frame, seen.time_us)
                seen.pictures[converter] = Frame(
                    image=converter.convert(seen.edited or seen.frame),
                    time_s=seen.time_us / _MICROSECONDS,
                    pts_s=seen.pts_us / _MICROSECONDS,
                    index=seen.index,
                    key_frame=seen.key_frame,
                )
            picture = seen.pictures[converter]
            if not show.selection.sampled:
                picture = dataclasses.replace(picture, sampled=False)
            for observer in observers:
                observer.frame(picture)
                self.delivered += 1
