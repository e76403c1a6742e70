"""Why a filter rejects a row, in words that name the number and the threshold.

A pure function of the filter and the row, for `dj op`, `dj table explain` and
whoever else shows a rejected clip. Not here: who rejected it (`engine/decisions.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dj_ops_lib.operator import Deduplicator, Filter, Operator, is_no_limit

Row = Mapping[str, Any]


def why(operator: Operator, row: Row) -> str:
    """Such as `video_motion_score 0.0121 < min_score 0.25`; empty where nothing can be said.

    Args:
        operator: Who rejected the row, with the parameters with which it did.
        row: The row, with the columns that the operator adds.
    """
    if isinstance(operator, Deduplicator):
        return _repeats(row)
    if not isinstance(operator, Filter):
        return ""
    ranges_of = operator.thresholds()
    limited = [name for name, ends in ranges_of.items() if any(map(_is_limit, ends))]
    known = {name: row.get(name) for name in limited or ranges_of}
    if operator.reversed_range:
        ranges = [_inside(operator, name, value) for name, value in known.items()]
        return f"reversed_range rejects {' and '.join(ranges)}"
    return "; ".join(_outside(operator, known)) or "; ".join(_others(operator, row, known))


def limit_parameter(operator: Filter, column: str, side: str) -> str | None:
    """The parameter that holds a limit of a column, such as `min_score` of `video_motion_score`.

    The longest one whose name without `min_` or `max_` is part of the column's.

    Args:
        operator: The filter.
        column: Name of a column with a threshold.
        side: `min` or `max`.
    """
    prefix = f"{side}_"
    stems = (n.removeprefix(prefix) for n in type(operator).model_fields if n.startswith(prefix))
    best = max((s for s in stems if s in column), key=len, default=None)
    return None if best is None else prefix + best


def _is_limit(limit: float | None) -> bool:
    return limit is not None and not is_no_limit(limit)


def _outside(operator: Filter, known: Row) -> Iterator[str]:
    """What lies outside of its range."""
    for column, (lowest, highest) in operator.thresholds().items():
        value = known.get(column)
        if value is None:
            continue
        if lowest is not None and _is_limit(lowest):
            sign = "<" if operator.includes_min(lowest) else "<="
            if value < lowest or (value == lowest and sign == "<="):
                yield _compared(operator, column, value, sign, "min", lowest)
        if highest is not None and _is_limit(highest):
            sign = ">" if operator.includes_max(highest) else ">="
            if value > highest or (value == highest and sign == ">="):
                yield _compared(operator, column, value, sign, "max", highest)


def _others(operator: Filter, row: Row, known: Row) -> Iterator[str]:
    """Columns that decide without being a range, beside the parameters that ask for them."""
    plain = {c.name: row.get(c.name) for c in operator.columns if c.name not in known}
    said = [f"{name} {str(v).lower()}" for name, v in plain.items() if isinstance(v, bool)]
    for name, value in operator.deciding_parameters().items():
        if value is True and name not in Filter.model_fields:
            said.append(f"{name} true")
    missing = [name for name, value in known.items() if value is None]
    yield from said or [f"{name} has no value" for name in missing]


def _inside(operator: Filter, column: str, value: Any) -> str:
    lowest, highest = operator.thresholds()[column]
    ends = []
    for side, limit in (("min", lowest), ("max", highest)):
        if limit is not None and _is_limit(limit):
            ends.append(_limit(operator, column, side, limit))
    return f"{column} {_number(value)} within {' ... '.join(ends) or 'any'}"


def _compared(
    operator: Filter, column: str, value: float, sign: str, side: str, limit: float
) -> str:
    return f"{column} {_number(value, limit)} {sign} {_limit(operator, column, side, limit)}"


def _limit(operator: Filter, column: str, side: str, limit: float) -> str:
    name = limit_parameter(operator, column, side)
    if name is None:
        return _number(limit)
    given = getattr(operator, name)  # as written in the recipe: 9/21 rather than 0.4286
    return f"{name} {_number(given)}"


def _number(value: Any, other: float | None = None) -> str:
    """Four digits, or as many as it takes to tell `value` from `other`."""
    if not isinstance(value, float):
        return str(value)
    for digits in range(4, 18):
        text = f"{value:.{digits}g}"
        if other is None or value == other or float(text) != other:
            return text
    return repr(value)


def _repeats(row: Row) -> str:
    if not row.get("duplicate_of"):
        return ""
    distance = row.get("duplicate_distance")
    how = "an exact copy" if distance == 0 else f"distance {_number(distance)}"
    return f"repeats {row['duplicate_of']}, {how}"
