"""How two answers differ, and which differences are known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from .answers import Answer
from .cases import Case

TOLERANCE = {"video_motion_score": 0.02}
"""Share by which a statistic may differ, by name; decoders and versions of OpenCV round."""


LEVELS = 8
"""Grey levels by which an eighth by an eighth of a picture may differ after encoding."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """What is not the same for one file.

    Attributes:
        case: The case.
        file: Name of the file.
        what: `kept`, `statistics`, `pieces`, `cuts`, `sizes`, `frames`, `sound`, `level` or
            `picture`.
        text: The two sides, for a reader.
    """

    case: Case
    file: str
    what: str
    text: str


def differences(case: Case, file: str, theirs: Answer, ours: Answer) -> Iterator[Difference]:
    """Everything in which the answers about one file differ."""

    def found(what: str, their: object, our: object) -> Difference:
        return Difference(case, file, what, f"theirs {their}, ours {our}")

    if theirs.kept != ours.kept:
        yield found("kept", theirs.error or theirs.kept, ours.error or ours.kept)
    for name, value in theirs.statistics.items() if not ours.error else ():
        mine = ours.statistics.get(name)
        if mine is None or not math.isclose(
            value, mine, rel_tol=TOLERANCE.get(name, 1e-6), abs_tol=1e-6
        ):
            yield found("statistics", f"{value:.6g}", mine)
    if theirs.kept and ours.kept and len(theirs.pieces) != len(ours.pieces):
        yield found("pieces", _spans(theirs), _spans(ours))
    elif theirs.kept and ours.kept:
        yield from _different_pieces(case, file, theirs, ours)


def _different_pieces(case: Case, file: str, theirs: Answer, ours: Answer) -> Iterator[Difference]:
    for what, attribute in (("frames", "frames"), ("sizes", "size"), ("sound", "sound")):
        sides = [[getattr(p, attribute) for p in a.pieces] for a in (theirs, ours)]
        if sides[0] != sides[1]:
            yield Difference(case, file, what, f"theirs {sides[0]}, ours {sides[1]}")
    if "_split_" in case.operator and _spans(theirs) != _spans(ours):
        text = f"theirs {_spans(theirs)}, ours {_spans(ours)}"
        yield Difference(case, file, "cuts", text)
    for their, our in zip(theirs.pieces, ours.pieces, strict=True):
        heard = their.level is not None and our.level is not None
        if heard and not math.isclose(their.level, our.level, rel_tol=0.05, abs_tol=0.002):
            text = f"theirs {their.level:.4f}, ours {our.level:.4f}"
            yield Difference(case, file, "level", text)
        if their.thumbnail and our.thumbnail:
            apart = max(abs(a - b) for a, b in zip(their.thumbnail, our.thumbnail, strict=True))
            if apart > LEVELS:
                yield Difference(case, file, "picture", f"{apart} grey levels apart")


def _spans(answer: Answer) -> list[tuple[int | None, int | None]]:
    return [(p.first, p.last) for p in answer.pieces]
