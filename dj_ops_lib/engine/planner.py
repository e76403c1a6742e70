"""Which operators of a stage look at a clip at the same time, and in which order.

Pure: from operators to a plan. A splitter or an editor ends a segment, because
what follows sees other clips. Inside a segment, operators form waves by what
they need; everything in a wave is measured in one pass over the clip, and a
clip that a wave rejects does not enter the next.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from dj_ops_lib.needs import Audio, Frames, HeaderOnly, KeyFrames, MotionVectors, Packets
from dj_ops_lib.operator import Kind, Operator

BARRIERS = frozenset({Kind.SPLITTER, Kind.EDITOR})


class Level(enum.IntEnum):
    """What a wave has to read of a clip, in order of cost."""

    HEADER = 0
    KEY_FRAMES = 1
    FRAMES = 2
    MODELS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Wave:
    """Operators that are measured in one pass.

    Attributes:
        level: What the pass has to read.
        operators: In the order of the recipe, which is also the order of decisions.
    """

    level: Level
    operators: tuple[Operator, ...]

    @property
    def opens_media(self) -> bool:
        """Whether the pass needs a worker process rather than only rows."""
        return self.level is not Level.HEADER


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """Waves over the same clips, and what is done to the clips that pass them.

    Attributes:
        waves: At least one.
        barrier: The splitter or editor that the segment ends with, measured in one of the waves.
    """

    waves: tuple[Wave, ...]
    barrier: Operator | None = None

    @property
    def operators(self) -> tuple[Operator, ...]:
        """All operators in the order in which they decide; the barrier comes last."""
        ordered = [o for w in self.waves for o in w.operators if o is not self.barrier]
        return tuple(ordered) if self.barrier is None else (*ordered, self.barrier)


def level(operator: Operator) -> Level:
    """What `operator` has to read of a clip."""
    if operator.resources.model:
        return Level.MODELS
    match operator.needs():
        case HeaderOnly():
            return Level.HEADER
        case Packets() | Frames(at=KeyFrames()):
            return Level.KEY_FRAMES
        case Frames() | Audio() | MotionVectors():
            return Level.FRAMES


def plan_operators(operators: Sequence[Operator]) -> tuple[Segment, ...]:
    """The segments of a stage, in order.

    Args:
        operators: The stage's operators in the order of the recipe.
    """
    segments: list[Segment] = []
    begun: list[Operator] = []
    for operator in operators:
        begun.append(operator)
        if operator.kind in BARRIERS:
            segments.append(Segment(_waves(begun), operator))
            begun = []
    if begun:
        segments.append(Segment(_waves(begun)))
    return tuple(segments)


def _waves(operators: Sequence[Operator]) -> tuple[Wave, ...]:
    """Group by level; what reads another operator's column comes after that operator's wave."""
    makers = {c.name: o for o in operators for c in o.columns}
    place: dict[str, tuple[Level, int]] = {}
    for operator in operators:
        own = (level(operator), 0)
        read = [makers[c] for c in operator.reads if c in makers and makers[c] is not operator]
        after = [(place[o.name][0], place[o.name][1] + 1) for o in read]
        place[operator.name] = max([own, *after])
    return tuple(
        Wave(Level.HEADER if all(level(o) is Level.HEADER for o in group) else at[0], group)
        for at in sorted(set(place.values()))
        if (group := tuple(o for o in operators if place[o.name] == at))
    )
