"""The peer's answers as a file, so that they can be compared with where the peer is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .answers import Answer, Piece
from .cases import Case

RECORD = Path(__file__).parents[2] / "tests/dj_ops_lib/operators/data_juicer_answers.json"

Answers = Mapping[str, Answer]
"""By name of the file."""


def write_record(made: Mapping[str, str], cases: Sequence[Case], theirs: Sequence[Answers]) -> None:
    """Write all answers, a line a file, and how they were made."""
    blocks = [f'"made": {json.dumps(dict(made))}']
    for case, answers in zip(cases, theirs, strict=True):
        lines = [f"  {json.dumps(k)}: {json.dumps(_packed(a))}" for k, a in answers.items()]
        blocks.append(f"{json.dumps(case.name)}: {{\n" + ",\n".join(lines) + "\n}")
    RECORD.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def read_record() -> tuple[dict[str, str], dict[str, dict[str, Answer]]]:
    """(how they were made, answers by name of the case and of the file)."""
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    made = found.pop("made")
    return made, {
        case: {file: _unpacked(a) for file, a in answers.items()} for case, answers in found.items()
    }


def _packed(answer: Answer) -> dict[str, Any]:
    packed: dict[str, Any] = {"kept": answer.kept}
    if answer.error:
        packed["error"] = answer.error
    if answer.statistics:
        packed["statistics"] = {k: float(f"{v:.9g}") for k, v in answer.statistics.items()}
    if answer.pieces:
        packed["pieces"] = [[p.frames, p.first, p.last, *p.size, p.sound] for p in answer.pieces]
    return packed


def _unpacked(packed: Mapping[str, Any]) -> Answer:
    pieces = tuple(
        Piece(frames, first, last, (width, height), sound)
        for frames, first, last, width, height, sound in packed.get("pieces", ())
    )
    statistics = packed.get("statistics", {})
    return Answer(packed["kept"], packed.get("error"), statistics, pieces)
