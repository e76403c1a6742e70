"""What an operator may ask to see of a clip, and how it is shown.

Plans for frames, packets and sound, and the observer that is fed with them.
Which frames a plan of a name means is written here, once; `media/` carries it
out for all observers of a clip in one pass.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclasses.dataclass(frozen=True, slots=True)
class HeaderOnly:
    """The row's columns and nothing of the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Packets:
    """The compressed packets of all video streams, nothing decoded."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeyFrames:
    """Every key frame, without decoding the rest; the first frame where there is none.

    `with_first` adds the first frame where that is no key frame.
    """

    with_first: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Uniform:
    """`n` frames spread evenly over the clip.

    The frame at half the duration for n = 1, else the first frame whose pts is at or after
    i * duration / (n - 1), the last frame for targets past the end. `n` is clipped to the number
    of frames.
    """

    n: int


@dataclasses.dataclass(frozen=True, slots=True)
class Fps:
    """Frames 0, step, 2 * step, ... with step = round(fps / min(rate, fps)).

    The step is kept within 1 ... num_frames - 1. `with_second` adds frame 1, which Data-Juicer's
    motion filter reads. `pair_s` adds, after each frame of the step, the first one that is shown at
    least so many seconds later; while one is waited for, no other is.
    """

    rate: float
    with_second: bool = False
    pair_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Every:
    """Every frame."""


At = KeyFrames | Uniform | Fps | Every


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Size to scale frames to, from the clip's display size. Aspect ratio is kept.

    Attributes:
        short: Short edge in pixels, None to leave it.
        max_short: Largest short edge; frames are never enlarged for it.
        max_long: Largest long edge in pixels, applied after `short`.
        divisible: Both edges are floored to a multiple of this.
        exact: (width, height) in pixels; overrides everything else.
        long: Long edge in pixels; with `short`, too, the aspect ratio is not kept.
        nearest: The short edge below `max_long` is rounded, not floored.
    """

    short: int | None = None
    max_short: int | None = None
    max_long: int | None = None
    divisible: int = 1
    exact: tuple[int, int] | None = None
    long: int | None = None
    nearest: bool = False

    def resolve(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels to scale a frame of `width` x `height` to."""
        if self.exact:
            return self.exact
        short, long = min(width, height), max(width, height)
        if self.short is not None:
            short, long = self.short, self.long or int(self.short * long / short)
        elif self.long is not None:
            short, long = int(self.long * short / long), self.long
        if self.max_short is not None and short > self.max_short:
            short, long = self.max_short, int(self.max_short * long / short)
        if self.max_long is not None and long > self.max_long:
            scaled = self.max_long * short / long
            short, long = round(scaled) if self.nearest else int(scaled), self.max_long
        short, long = (
            max(self.divisible, e // self.divisible * self.divisible) for e in (short, long)
        )
        return (short, long) if width <= height else (long, short)


@dataclasses.dataclass(frozen=True, slots=True)
class Frames:
    """Decoded pictures.

    Attributes:
        at: Which frames.
        size: What to scale them to, None for the display size.
        format: `rgb24`, `bgr24` or `gray`.
        scaling: How they are made smaller: `area`, the mean of the pixels that become one, or
            `linear`, as OpenCV does it by default, from the four next to a point.
    """

    at: At
    size: Size | None = None
    format: Literal["rgb24", "bgr24", "gray"] = "rgb24"
    scaling: Literal["area", "linear"] = "area"


EVERY_SMALL = Frames(Every(), Size(max_long=256), "bgr24")
"""Every frame with a long edge of 256 pixels, which is what PySceneDetect looks at
(`scene_manager.DEFAULT_MIN_WIDTH`). Operators that look at every frame ask for this one
plan, so that a frame is scaled once for all of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Audio:
    """Decoded sound of the first audio stream: float32 samples in -1 ... 1.

    Attributes:
        rate: Samples per second, None for the file's own.
        mono: Mix all channels into one.
    """

    rate: int | None = None
    mono: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class MotionVectors:
    """The motion vectors that the codec stored, of every frame; no pictures are made.

    They belong to the coded picture: before rotation and edits.
    """


Need = HeaderOnly | Packets | Frames | Audio | MotionVectors


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture as an observer gets it.

    Attributes:
        image: uint8, (height, width, 3) or (height, width) for `gray`; read-only, shared.
        time_s: Seconds from the clip's start.
        pts_s: Seconds from the beginning of the file.
        index: Position among the clip's frames, None where not all were decoded.
        key_frame: Whether it is a key frame.
        sampled: False for a frame that `Fps.pair_s` alone asks for.
    """

    image: npt.NDArray[np.uint8]
    time_s: float
    pts_s: float
    index: int | None
    key_frame: bool
    sampled: bool = True


class Observer:
    """One operator's look at one clip: it is fed what was asked for, in order, then asked.

    The picture passed to `frame` is only valid during the call unless copied.
    """

    def packet(self, payload: bytes, pts_s: float | None, stream: int) -> None:
        """A compressed packet of a video stream."""

    def frame(self, frame: Frame) -> None:
        """A decoded picture."""

    def vectors(self, vectors: npt.NDArray[np.void], picture_type: str) -> None:
        """A frame's motion vectors, as FFmpeg's `AVMotionVector`; empty where it has none.

        Frames come in the order in which they are shown; `picture_type` is `I`, `P`, `B` or
        another letter of FFmpeg's.
        """

    def end(self, time_s: float) -> None:
        """Where the pictures end, in seconds from the clip's start; called where all were decoded.

        The clip's own end if the file goes on behind it: a picture stays until the next one.
        """

    def audio(self, samples: npt.NDArray[np.float32]) -> None:
        """The next samples, (channels, n)."""

    def result(self) -> Any:
        """What the operator's kind asks for: columns, spans, an edit; called once, at the end."""
        raise NotImplementedError
