"""What operators cost on known footage, for what has no history yet.

The numbers are measured and written by `benchmarks/operator_costs.py`, into
`reference_costs.json` beside this file; `docs/operator-costs.md` shows the same.
Not here: what a stage's own history says (`ordering.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dj_ops_lib.needs import HeaderOnly
from dj_ops_lib.operator import Operator

DATA = Path(__file__).with_suffix(".json")


@dataclasses.dataclass(frozen=True, slots=True)
class OperatorCost:
    """One operator alone over the footage, decoding included.

    Attributes:
        operator: Name of the operator.
        parameters: Those that differ from the defaults.
        clip_seconds_per_cpu_second: Seconds of footage in a second of CPU.
        relative: CPU time, decoding every frame without an operator being 1.
    """

    operator: str
    parameters: Mapping[str, Any]
    clip_seconds_per_cpu_second: float
    relative: float


@dataclasses.dataclass(frozen=True, slots=True)
class ReferenceCosts:
    """All of one run of the benchmark.

    Attributes:
        footage: What was measured on, in words.
        clip_seconds_per_cpu_second: Of decoding every frame without an operator.
        operators: Cheapest first.
    """

    footage: str
    clip_seconds_per_cpu_second: float
    operators: tuple[OperatorCost, ...]

    def to_json(self) -> str:
        """As the file holds it: an operator a line."""
        lines = ",\n  ".join(json.dumps(dataclasses.asdict(o)) for o in self.operators)
        return (
            f'{{\n "footage": {json.dumps(self.footage)},\n "clip_seconds_per_cpu_second": '
            f'{self.clip_seconds_per_cpu_second},\n "operators": [\n  {lines}\n ]\n}}\n'
        )

    def page(self) -> str:
        """As `docs/operator-costs.md` shows it."""
        lines = [
            "# What each operator costs",
            "",
            f"Made by `python benchmarks/operator_costs.py --write`: {self.footage}. Each line is "
            "one operator alone, decoding included; in a stage, operators share one decode. "
            "Operators that only read the row are not listed. `dj plan` takes its estimates from "
            "the same numbers.",
            "",
            "| operator | clip-seconds per CPU-second | cost, decoding every frame = 1 |",
            "|---|---:|---:|",
            f"| every frame decoded, no operator | {self.clip_seconds_per_cpu_second:.0f} | 1.00 |",
        ]
        for o in self.operators:
            text = ", ".join(f"{k}: {v}" for k, v in o.parameters.items())
            name = f"`{o.operator}`" + (f" {text}" if text else "")
            lines.append(f"| {name} | {o.clip_seconds_per_cpu_second:.3g} | {o.relative:.2f} |")
        return "\n".join(lines) + "\n"


@functools.cache
def reference_costs() -> ReferenceCosts:
    """The last run of the benchmark."""
    read = json.loads(DATA.read_text(encoding="utf-8"))
    operators = tuple(OperatorCost(**o) for o in read.pop("operators"))
    return ReferenceCosts(**read, operators=operators)


def cost_of(operator: Operator) -> OperatorCost | None:
    """What is known of an operator: the line that has most of its parameters; None for none."""
    own = operator.model_dump(mode="json")
    fitting = [
        known
        for known in reference_costs().operators
        if known.operator == operator.name
        and all(own.get(k) == v for k, v in known.parameters.items())
    ]
    return max(fitting, key=lambda known: len(known.parameters), default=None)


def estimated_seconds(operators: Sequence[Operator]) -> float | None:
    """CPU seconds for a second of 720p video of operators that share one decode.

    Operators that read the row alone cost nothing to speak of. The dearest operator is taken with
    its decoding, the others with what they cost above decoding every frame.

    Returns:
        None where one of them is not known.
    """
    opening = [o for o in operators if not isinstance(o.needs(), HeaderOnly)]
    known = [cost_of(o) for o in opening]
    costs = sorted(1 / k.clip_seconds_per_cpu_second for k in known if k is not None)
    if len(costs) < len(opening):
        return None
    if not costs:
        return 0.0
    decoding = 1 / reference_costs().clip_seconds_per_cpu_second
    *others, dearest = costs
    return dearest + sum(max(0.0, cost - decoding) for cost in others)
