"""A rejected row is explained by the number that decided, and the parameter that it missed."""

from __future__ import annotations

import pytest

from dj_ops_lib.operator import Filter, is_no_limit
from dj_ops_lib.operators.deduplicators.video_deduplicator import VideoDeduplicator
from dj_ops_lib.operators.filters.video_aspect_ratio_filter import (
    VideoAspectRatioFilter,
    parse_ratio,
)
from dj_ops_lib.operators.filters.video_audio_filter import VideoAudioFilter
from dj_ops_lib.operators.filters.video_motion_score_filter import VideoMotionScoreFilter
from dj_ops_lib.registry import operator_class, operator_names
from dj_ops_lib.rejection import limit_parameter, why

FILTERS = [n for n in operator_names() if issubclass(operator_class(n), Filter)]


def motion(value: float | None, **parameters: object) -> str:
    operator = VideoMotionScoreFilter(**parameters)
    return why(operator, {"video_motion_score": value})


def test_the_number_and_the_threshold_are_named():
    assert motion(0.0121) == "video_motion_score 0.0121 < min_score 0.25"
    assert motion(31.5, max_score=20.0) == "video_motion_score 31.5 > max_score 20"
    assert motion(None) == "video_motion_score has no value"
    assert motion(0.25, min_closed_interval=False) == "video_motion_score 0.25 <= min_score 0.25"
    assert motion(3.0, reversed_range=True, max_score=20.0) == (
        "reversed_range rejects video_motion_score 3 within min_score 0.25 ... max_score 20"
    )


def test_a_number_just_below_its_threshold_is_told_from_it():
    assert motion(0.2499996) == "video_motion_score 0.2499996 < min_score 0.25"


def test_limits_are_shown_as_the_recipe_writes_them():
    row = {"video_aspect_ratios": 3 / 9, "video_aspect_numerator": 3, "video_aspect_denominator": 9}
    assert why(VideoAspectRatioFilter(), row) == "video_aspect_ratios 0.3333 < min_ratio 9/21"


def test_a_clip_without_sound_and_a_copy_say_so():
    silent = {"video_has_audio": False, "video_silence_ratio": None, "video_loudness": None}
    assert why(VideoAudioFilter(), silent) == "video_has_audio false; require_audio true"
    copy = {"duplicate_of": "c1", "duplicate_distance": 0.0}
    assert why(VideoDeduplicator(), copy) == "repeats c1, an exact copy"


@pytest.mark.parametrize("name", FILTERS)
def test_every_limit_of_every_filter_is_a_parameter_with_that_value(name):
    operator = operator_class(name)()
    for column, limits in operator.thresholds().items():
        for side, limit in zip(("min", "max"), limits, strict=True):
            if limit is None:
                continue
            parameter = limit_parameter(operator, column, side)
            assert parameter is not None, (column, side)
            value = getattr(operator, parameter)
            assert (parse_ratio(value) if isinstance(value, str) else value) == pytest.approx(limit)


@pytest.mark.parametrize("name", FILTERS)
def test_whatever_a_filter_rejects_has_a_reason(name):
    """Just outside of each limit, the reason names that limit, and the filter agrees."""
    operator = operator_class(name)()
    for column, (lowest, highest) in operator.thresholds().items():
        for side, limit in (("min", lowest), ("max", highest)):
            if limit is None or is_no_limit(limit):
                continue
            row = {column: limit - 1 if side == "min" else limit + 1}
            assert f"{side}_" in why(operator, row)
