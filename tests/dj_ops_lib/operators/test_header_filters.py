"""Filters that read nothing but the row: resolution, aspect ratio, duration."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.recipe_file import load_recipe, make_operator

RATIO = "video_aspect_ratio_filter"


def measured(operator, clip):
    return dict(operator.measure(clip))


@pytest.mark.parametrize(
    ("parameters", "size", "expected"),
    [
        ({}, (1, 1), True),
        ({"min_width": 640}, (640, 360), True),
        ({"min_width": 641}, (640, 360), False),
        ({"max_height": 360}, (640, 360), True),
        ({"max_height": 359}, (640, 360), False),
        ({"min_width": 640, "min_closed_interval": False}, (640, 360), False),
        ({"max_height": 360, "max_closed_interval": False}, (640, 360), False),
        ({"min_width": 641, "reversed_range": True}, (640, 360), True),
        ({"min_width": 640, "max_width": 640, "reversed_range": True}, (640, 360), True),
        ({"min_width": 639, "max_width": 641, "reversed_range": True}, (640, 360), False),
    ],
)
def test_resolution_is_kept_inside_its_range(op, clip, kept, parameters, size, expected):
    operator = op("video_resolution_filter", **parameters)
    columns = measured(operator, clip(width=size[0], height=size[1]))
    assert columns == {"video_width": size[0], "video_height": size[1]}
    assert kept(operator, columns) == [expected]


@pytest.mark.parametrize(
    ("parameters", "size", "expected"),
    [
        ({}, (1280, 720), True),
        ({}, (2520, 1080), True),  # 21:9, the default's edge
        ({}, (2521, 1080), False),
        ({}, (1080, 2520), True),  # 9:21, the other edge
        ({}, (1079, 2520), False),
        ({"min_ratio": "16/9"}, (1920, 1080), True),
        ({"min_ratio": "4:3"}, (640, 480), True),
        ({"min_ratio": "16/9"}, (1919, 1080), False),
        ({"min_ratio": "16/9", "max_ratio": "16:9"}, (854, 480), False),
        ({"min_ratio": "16/9", "min_closed_interval": False}, (1920, 1080), False),
        ({"max_ratio": "16/9", "max_closed_interval": False}, (1920, 1080), False),
        ({"max_ratio": "1", "reversed_range": True}, (1920, 1080), True),
        ({"max_ratio": "16/9", "reversed_range": True}, (1920, 1080), True),
        ({"reversed_range": True}, (2520, 1080), False),  # a default limit is no edge
        ({"min_ratio": 1.5, "max_ratio": 2}, (1920, 1080), True),
        ({"min_ratio": 1.8}, (1920, 1080), False),
    ],
)
def test_aspect_ratio_is_compared_exactly(op, clip, kept, parameters, size, expected):
    operator = op(RATIO, **parameters)
    columns = measured(operator, clip(width=size[0], height=size[1]))
    assert columns["video_aspect_ratios"] == size[0] / size[1]
    assert kept(operator, columns) == [expected]


@given(
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    num=st.integers(1, 10_000),
    den=st.integers(1, 10_000),
)
def test_aspect_ratio_agrees_with_integer_arithmetic(clip, kept, width, height, num, den):
    operator = make_operator(RATIO, {"min_ratio": f"{num}/{den}", "max_ratio": "100000"})
    columns = dict(operator.measure(clip(width=width, height=height)))
    assert kept(operator, columns) == [width * den >= num * height]


@given(st.text(max_size=12) | st.integers() | st.floats())
def test_aspect_ratio_refuses_or_understands_anything(value):
    try:
        operator = make_operator(RATIO, {"max_ratio": value})
    except RecipeError as error:
        message = str(error)
    else:
        message = f"{RATIO}: max_ratio {value!r}: "
        assert operator.thresholds()["video_aspect_ratios"][1] > 0
    assert message.startswith(f"{RATIO}: max_ratio {value!r}: ")


def test_a_ratio_need_not_be_quoted_in_a_recipe(op, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"process:\n  - {RATIO}:\n      min_ratio: 4:3\n      max_ratio: 16:9\n")
    (stage,) = load_recipe(recipe).stages
    assert stage.operators == (op(RATIO, min_ratio="4:3", max_ratio="16:9"),)
    with pytest.raises(RecipeError, match="write a ratio as text"):
        op(RATIO, min_ratio=969)


def test_a_clip_of_unknown_size_has_no_ratio_and_is_not_kept(op, clip, kept):
    operator = op(RATIO)
    rows = [measured(operator, clip(width=None)), measured(operator, clip())]
    assert kept(operator, rows) == [None, True]


@pytest.mark.parametrize(
    ("parameters", "duration", "expected"),
    [
        ({}, 0.0, True),
        ({"min_duration": 2}, 2.0, True),
        ({"min_duration": 2}, math.nextafter(2, 0), False),
        ({"max_duration": 2.5}, 2.5, True),
        ({"max_duration": 2.5}, math.nextafter(2.5, 3), False),
        ({"min_duration": 2, "min_closed_interval": False}, 2.0, False),
        ({"max_duration": 2, "max_closed_interval": False}, 2.0, False),
        ({"min_duration": 1, "max_duration": 2, "reversed_range": True}, 3.0, True),
        ({"min_duration": 1, "max_duration": 2, "reversed_range": True}, 2.0, True),
        ({"min_duration": 1, "max_duration": 2, "reversed_range": True}, 1.5, False),
        ({"max_duration": 2, "reversed_range": True}, 0.0, False),
        (
            {"max_duration": 2, "reversed_range": True, "max_closed_interval": False},
            2.0,
            False,
        ),
    ],
)
def test_duration_is_kept_inside_its_range(op, clip, kept, parameters, duration, expected):
    operator = op("video_duration_filter", **parameters)
    columns = measured(operator, clip(duration_s=duration))
    assert columns == {"video_duration": duration}
    assert kept(operator, columns) == [expected]


@pytest.mark.parametrize("value", ["2", None, math.nan, [1]])
def test_a_threshold_of_the_wrong_type_is_refused(op, value):
    with pytest.raises(RecipeError, match="video_duration_filter: min_duration"):
        op("video_duration_filter", min_duration=value)


def test_thresholds_do_not_change_what_was_measured(op):
    assert op(RATIO).fingerprint("s") == op(RATIO, min_ratio="1").fingerprint("s")
    assert op(RATIO).fingerprint("s") != op(RATIO).fingerprint("t")
