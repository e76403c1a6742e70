"""Both edges of every range of every filter: closed, open, reversed, and with nothing measured."""

import pyarrow as pa
import pytest

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Filter
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_class, operator_names

FILTERS = [n for n in operator_names() if issubclass(operator_class(n), Filter)]


def limits():
    """(filter, parameter) of every limit."""
    for name in FILTERS:
        for parameter in operator_class(name).model_fields:
            if parameter.startswith(("min_", "max_")) and not parameter.endswith("_interval"):
                yield name, parameter


def shown_at(name, parameter):
    """(column, 0 for its lowest or 1 for its highest value kept) that a parameter decides."""
    for value in (0.5, 3, "3/2", 0.01, 30, -10.0):
        try:
            changed = make_operator(name, {parameter: value}).thresholds()
        except RecipeError:  # not a value of this parameter
            continue
        found = [
            (column, side)
            for column, limit in make_operator(name, {}).thresholds().items()
            for side in (0, 1)
            if limit[side] != changed[column][side]
        ]
        if found:
            assert len(found) == 1
            return found[0]
    return None


def inside(limit):
    """A value well inside (lowest, highest); no default, for a default is no edge if reversed."""
    lowest, highest = limit
    lowest = (0.0 if highest is None else highest - 10) if lowest is None else lowest
    lowest = max(-1e6, lowest)
    highest = min(1e6, lowest + 10 if highest is None else highest)
    return lowest + 0.37 * (highest - lowest)


UNDECLARED_IS_KEPT = {("video_integrity_filter", "video_frames_ratio")}
"""Columns that are null where a file declares nothing to compare with; that rejects no clip."""

LIMITS = [(n, p, *at) for n, p in limits() if (at := shown_at(n, p)) is not None]


def whole(operator, column):
    """Whether a column holds whole numbers."""
    return any(c.name == column and pa.types.is_integer(c.type) for c in operator.columns)


def row(operator, column, value):
    """A row that the filter keeps but for `column`, which has this value."""
    found = {"video_has_audio": True}
    for name, limit in operator.thresholds().items():
        middle = inside(limit)
        found[name] = round(middle) if whole(operator, name) else middle
    if operator.name == "video_aspect_ratio_filter":
        top = None if value is None else round(value * 2000)
        found |= {"video_aspect_numerator": top, "video_aspect_denominator": 2000}
    found[column] = value
    return {c.name: found.get(c.name) for c in operator.columns}


def test_every_limit_of_every_filter_is_found():
    """A limit that `thresholds` does not show is in no chart, and in none of these tests."""
    shown = {(n, p) for n, p, *_ in LIMITS}
    assert set(limits()) - shown == {
        ("video_motion_score_filter", "max_size"),  # what is looked at, not what is kept
    }


@pytest.mark.parametrize(("name", "parameter", "column", "side"), LIMITS)
def test_an_edge_is_kept_if_closed_and_only_then(op, kept, name, parameter, column, side):
    edge = inside(op(name).thresholds()[column])
    if whole(op(name), column):
        edge = round(edge)
    if isinstance(getattr(op(name), parameter), str):
        edge = "3/2"
    plain = op(name, **{parameter: edge})
    number = plain.thresholds()[column][side]
    step = 1 if whole(plain, column) else 1e-3
    within, outside = (
        (number + step, number - step) if side == 0 else (number - step, number + step)
    )
    rows = [row(plain, column, value) for value in (within, number, outside)]
    assert kept(plain, rows) == [True, True, False]
    interval = ("min", "max")[side] + "_closed_interval"
    other = ("max", "min")[side] + "_closed_interval"
    assert kept(op(name, **{parameter: edge, interval: False}), rows) == [True, False, False]
    assert kept(op(name, **{parameter: edge, other: False}), rows) == [True, True, False]
    # As in Data-Juicer the edge belongs to what is kept, reversed or not, if it is closed.
    assert kept(op(name, **{parameter: edge, "reversed_range": True}), rows) == [False, True, True]
    opened = {parameter: edge, interval: False, "reversed_range": True}
    assert kept(op(name, **opened), rows) == [False, False, True]
    unmeasured = row(plain, column, None)
    assert kept(plain, unmeasured) == [True if (name, column) in UNDECLARED_IS_KEPT else None]
