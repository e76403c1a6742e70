"""What passes that were not made yet would cost, from what such passes have cost.

A table's own history first, then that of the source's other tables, then the
numbers of `docs/operator-costs.md`. Not here: which passes (`forecast.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from dj_ops_lib.engine.ordering import Cost
from dj_ops_lib.engine.reference_costs import estimated_seconds
from dj_ops_lib.engine.shard import recent_costs
from dj_ops_lib.operator import Operator
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.result_schema import results_table


class ExpectedTime:
    """CPU seconds of passes over clips of one stage.

    Args:
        warehouse: Where earlier runs are.
        table: The stage's table.
    """

    def __init__(self, warehouse: Warehouse, table: str) -> None:
        self._warehouse = warehouse
        self._table = table
        self.unknown: dict[str, None] = {}
        """Names of the operators that nothing is known of, in the order in which they came."""

    def seconds(self, operators: Sequence[Operator], duration_s: float | None) -> float:
        """CPU seconds of one pass of these operators; 0.0, and named in `unknown`, if not known.

        Args:
            operators: Those that look at the clip.
            duration_s: How long the clip is.
        """
        costs = [self._cost(o.name) for o in operators]
        known = [c for c in costs if c is not None]
        if len(known) == len(operators):
            return max(sum(c.own for c in known), *(c.whole for c in known))
        estimate = estimated_seconds(operators)
        if estimate is not None:
            return estimate * (duration_s or 0.0)
        alone = [estimated_seconds([o]) for o in operators]
        for operator, cost, own in zip(operators, costs, alone, strict=True):
            if cost is None and own is None:
                self.unknown[operator.name] = None
        whole = [c.whole for c in known] + [own * (duration_s or 0.0) for own in alone if own]
        return max(whole, default=0.0)

    def _cost(self, operator: str) -> Cost | None:
        return self._own.get(operator) or self._others.get(operator)

    @functools.cached_property
    def _own(self) -> dict[str, Cost]:
        return recent_costs(self._warehouse, self._table)

    @functools.cached_property
    def _others(self) -> dict[str, Cost]:
        source = self._table.partition("/")[0]
        found: dict[str, Cost] = {}
        for table in self._warehouse.tables():
            if table.startswith(f"{source}/") and table not in (
                self._table,
                results_table(source),
            ):
                found |= recent_costs(self._warehouse, table)
        return found
