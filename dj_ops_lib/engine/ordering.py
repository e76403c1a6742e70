"""Whether a wave is better measured in two passes: cheap and selective operators first.

Decoding once for all is best as long as decoding is what costs. Where an
operator costs far more than the picture it looks at, clips that a cheaper one
rejects should not reach it. What operators cost and reject is read from the
table's own history. Decisions do not depend on the order: an operator is left
out only for clips that one before it in the recipe has already rejected.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from dj_ops_lib.operator import Filter, Operator
from dj_ops_lib.warehouse import Commit

RECENT_COMMITS = 50
"""Commits of the stage's table that costs are taken from."""

WORTH = 0.8
"""Two passes are made where they are expected to cost at most this part of one."""

LARGEST = 10
"""Operators in a wave up to which all divisions are compared."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What an operator has cost and done, for one clip.

    Attributes:
        own: CPU seconds in the operator itself.
        whole: CPU seconds of the passes that it took part in, decoding included.
        rejects: Part of the clips that reached it that it rejected.
    """

    own: float
    whole: float
    rejects: float


def costs_of(commits: Iterable[Commit]) -> dict[str, Cost]:
    """Costs by operator name, over all commits that measured something."""
    measured: dict[str, list[float]] = {}
    for commit in commits:
        for use in commit.provenance.operators if commit.provenance else ():
            sums = measured.setdefault(use.operator, [0.0] * 5)
            values = (use.measured, use.seconds, use.pass_seconds, use.rows_in, use.rejected)
            for i, value in enumerate(values):
                sums[i] += value
    return {
        name: Cost(own / count, whole / count, rejected / max(1.0, entered))
        for name, (count, own, whole, entered, rejected) in measured.items()
        if count
    }


def passes(
    operators: Sequence[Operator], costs: Mapping[str, Cost]
) -> tuple[tuple[Operator, ...], ...]:
    """The operators of a wave in one group, or in two that are measured after each other.

    Args:
        operators: In the order of the recipe.
        costs: What is known; unless all operators are, there is one group.
    """
    together = (tuple(operators),)
    if not 1 < len(operators) <= LARGEST or any(o.name not in costs for o in operators):
        return together
    own = sum(costs[o.name].own for o in operators)
    decoding = max(0.0, max(costs[o.name].whole for o in operators) - own)
    filters = [i for i, o in enumerate(operators) if isinstance(o, Filter)]
    best, first = WORTH * (decoding + own), frozenset[int]()
    for size in range(1, min(len(operators), len(filters) + 1)):
        for chosen in itertools.combinations(filters, size):
            expected = _expected(operators, costs, decoding, frozenset(chosen))
            if expected < best:
                best, first = expected, frozenset(chosen)
    if not first:
        return together
    return (
        tuple(o for i, o in enumerate(operators) if i in first),
        tuple(o for i, o in enumerate(operators) if i not in first),
    )


def _expected(
    operators: Sequence[Operator],
    costs: Mapping[str, Cost],
    decoding: float,
    first: frozenset[int],
) -> float:
    """CPU seconds for one clip if the operators at `first` are measured in a pass of their own."""
    total = decoding + sum(costs[operators[i].name].own for i in first)
    reached_by_any = 0.0
    for i, operator in enumerate(operators):
        if i not in first:
            passing = (1.0 - costs[operators[j].name].rejects for j in first if j < i)
            reached = math.prod(passing)
            reached_by_any = max(reached_by_any, reached)
            total += reached * costs[operator.name].own
    return total + reached_by_any * decoding
