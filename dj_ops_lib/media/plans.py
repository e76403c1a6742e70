"""Which frames a plan asks for, decided as frames go by. Pure: no file, no picture.

A `Selection` is told of every frame of the clip that is decoded, in order of
time, and says how often the plan wants it; at the end it may still ask for the
first or the last frame. Times are microseconds from the clip's start, so that
a time that went through a float column still meets its frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from dj_ops_lib.needs import At, Every, Fps, KeyFrames, Uniform


@dataclasses.dataclass(frozen=True, slots=True)
class Length:
    """What plans need to know of a clip beforehand.

    Attributes:
        duration_us: Duration in microseconds.
        fps: Average frame rate in frames per second.
        num_frames: Frames in the clip.
    """

    duration_us: int
    fps: float
    num_frames: int


class Selection:
    """One plan's choice among the frames of one clip.

    Attributes:
        sampled: Whether the frame that was wanted last is one that others are compared with.
    """

    sampled = True

    def wants(self, time_us: int, index: int, *, key_frame: bool) -> int:
        """How often this frame is wanted (a target can be met twice by one frame)."""
        raise NotImplementedError

    def left_over(self) -> tuple[bool, int]:
        """At the end: (whether the first frame is wanted, how often the last one is)."""
        return False, 0

    @property
    def targets(self) -> Sequence[int]:
        """The times that are waited for; none where that is no matter of time."""
        return ()


class EverySelection(Selection):
    """Every frame."""

    def wants(self, time_us: int, index: int, *, key_frame: bool) -> int:
        """Always once."""
        return 1


class KeyFrameSelection(Selection):
    """Every key frame; the first frame where there is none, and where it is asked for."""

    def __init__(self, plan: KeyFrames) -> None:
        self._with_first = plan.with_first
        self._found = False

    def wants(self, time_us: int, index: int, *, key_frame: bool) -> int:
        """Once, if it is a key frame, or the first one."""
        wanted = key_frame or (self._with_first and not self._found)
        self._found |= wanted
        return int(wanted)

    def left_over(self) -> tuple[bool, int]:
        """The first frame, if no key frame came by."""
        return not self._found, 0

    @property
    def targets(self) -> Sequence[int]:
        """The beginning, if the first frame is asked for."""
        return [0] if self._with_first else ()


class FpsSelection(Selection):
    """Frames 0, step, 2 * step, ..., frame 1 with `with_second`, seconds of pairs with `pair_s`."""

    def __init__(self, plan: Fps, length: Length) -> None:
        rate = min(plan.rate, length.fps)
        step = round(length.fps / rate) if rate > 0 else 1
        self.step = max(1, min(step, length.num_frames - 1))
        self._with_second = plan.with_second
        self._pair_us = None if plan.pair_s is None else round(plan.pair_s * 1_000_000)
        self._due_us: int | None = None

    def wants(self, time_us: int, index: int, *, key_frame: bool) -> int:
        """By position among the clip's frames, or by time since one of them."""
        self.sampled = index % self.step == 0 or (self._with_second and index == 1)
        ends_pair = self._due_us is not None and time_us >= self._due_us
        if ends_pair:
            self._due_us = None
        if self._pair_us is not None and self._due_us is None and index % self.step == 0:
            self._due_us = time_us + self._pair_us
        return int(self.sampled or ends_pair)


class UniformSelection(Selection):
    """The first frame at or after each target time; the last frame for what is left."""

    def __init__(self, plan: Uniform, length: Length) -> None:
        n = max(1, min(plan.n, length.num_frames))
        duration = length.duration_us
        shares = [Fraction(1, 2)] if n == 1 else [Fraction(i, n - 1) for i in range(n)]
        self._targets = [round(duration * share) for share in shares]
        self._next = 0

    def wants(self, time_us: int, index: int, *, key_frame: bool) -> int:
        """Once for every target that it is the first to reach."""
        before = self._next
        while self._next < len(self._targets) and self._targets[self._next] <= time_us:
            self._next += 1
        return self._next - before

    def left_over(self) -> tuple[bool, int]:
        """The last frame, once for every target past the end."""
        return False, len(self._targets) - self._next

    @property
    def targets(self) -> Sequence[int]:
        """The target times."""
        return self._targets


def select(at: At, length: Length) -> Selection:
    """The selection that a plan makes on a clip of this length."""
    match at:
        case KeyFrames():
            return KeyFrameSelection(at)
        case Uniform():
            return UniformSelection(at, length)
        case Fps():
            return FpsSelection(at, length)
        case Every():
            return EverySelection()


def needs_every_frame(at: At) -> bool:
    """Whether a plan takes all frames to be decoded, rather than a few here and there."""
    return isinstance(at, Every | Fps)
