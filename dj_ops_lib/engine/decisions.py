"""Who rejected a row, or failed on it: one answer, whatever the order of measuring.

Operators of a wave decide in the order of the recipe, after all of them were
measured; the first that rejects a row or failed on it is the one that is named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dj_ops_lib.operator import Operator

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(slots=True)
class Tally:
    """What one operator did to the rows that reached it.

    Attributes:
        operator: Its name.
        rows_in: Rows that reached it.
        rejected: Rows that it rejected.
        errors: Rows on which it failed.
        rows_out: Rows that went on, pieces counted.
        measured: Clips measured now.
        seconds: CPU seconds spent in the operator itself, without decoding.
        pass_seconds: CPU seconds of the passes that it took part in, decoding included.
    """

    operator: str
    rows_in: int = 0
    rejected: int = 0
    errors: int = 0
    rows_out: int = 0
    measured: int = 0
    seconds: float = 0.0
    pass_seconds: float = 0.0


class Decisions:
    """The state of a segment's rows: alive, rejected by an operator, or in error.

    Attributes:
        alive: Rows that no operator has rejected or failed on.
        rejected_by: Position in `operators` of who rejected a row, -1 for nobody.
        errors: The `error` of rows that failed, by position.
        failures: What failed, by operator name and position; becomes an error when its turn
            comes.
    """

    def __init__(self, rows: int, operators: Sequence[Operator]) -> None:
        self.names = [o.name for o in operators]
        self.alive: Mask = np.ones(rows, dtype=bool)
        self.rejected_by = np.full(rows, -1, dtype=np.int16)
        self.errors: dict[int, dict[str, Any]] = {}
        self.failures: dict[str, dict[int, dict[str, Any]]] = {n: {} for n in self.names}
        self.tallies = {n: Tally(n) for n in self.names}

    def decide(self, operator: Operator, rejecting: Mask) -> None:
        """Let `operator` decide about the rows that are alive.

        Args:
            operator: Whose turn it is.
            rejecting: Rows that it would reject; only rows that reach it count.
        """
        tally = self.tallies[operator.name]
        tally.rows_in = int(self.alive.sum())
        for row, error in self.failures[operator.name].items():
            if self.alive[row]:
                self.errors[row] = error
                self.alive[row] = False
                tally.errors += 1
        rejected = self.alive & rejecting
        self.rejected_by[rejected] = self.names.index(operator.name)
        self.alive &= ~rejected
        tally.rejected = int(rejected.sum())
        tally.rows_out = tally.rows_in - tally.errors - tally.rejected
