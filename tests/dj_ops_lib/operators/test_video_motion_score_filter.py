"""The motion score against squares moving at a known speed."""

import itertools
import math

import cv2
import numpy as np
import pytest

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.needs import Fps, Frames, Size

NAME = "video_motion_score_filter"


def moving_texture(pixels_a_frame, frames=4, height=96, width=160):
    """A smooth random texture that shifts sideways; every pixel moves by the same amount."""
    wide = np.random.default_rng(0).integers(0, 256, (height, width + 200)).astype(np.uint8)
    wide = cv2.GaussianBlur(wide, (0, 0), 3)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    for i in range(frames):
        shift = round(i * pixels_a_frame)
        yield cv2.merge([wide[:, shift : shift + width]] * 3)


@pytest.mark.parametrize("method", ["farneback", "dis"])
@pytest.mark.parametrize("speed", [1, 2, 4])
def test_the_score_is_the_speed_in_pixels_a_frame(op, feed, speed, method):
    score = feed(op(NAME, method=method), moving_texture(speed))["video_motion_score"]
    assert score == pytest.approx(speed, rel=0.15)


def test_a_static_clip_scores_zero_and_is_rejected_by_the_default(op, feed, kept):
    columns = feed(op(NAME), moving_texture(0))
    assert columns["video_motion_score"] == pytest.approx(0, abs=0.01)
    assert kept(op(NAME), columns) == [False]


@pytest.mark.parametrize("frames", [0, 1])
def test_without_a_pair_the_score_is_minus_one(op, feed, kept, frames):
    columns = feed(op(NAME), list(moving_texture(1))[:frames])
    assert columns == {"video_motion_score": -1.0}
    assert kept(op(NAME), columns) == [False]
    assert kept(op(NAME, min_score=-1), columns) == [True]


def test_relative_divides_by_the_diagonal(op, feed):
    absolute = feed(op(NAME), moving_texture(2))["video_motion_score"]
    relative = feed(op(NAME, relative=True), moving_texture(2))["video_motion_score"]
    assert relative == pytest.approx(absolute / math.hypot(96, 160), rel=1e-12)


def test_the_score_is_opencvs_own_mean_over_pairs(op, feed):
    images = list(moving_texture(3))
    grays = [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in images]
    pairs = itertools.pairwise(grays)
    flows = [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0) for a, b in pairs]
    expected = np.mean([np.linalg.norm(f, axis=2).mean(dtype=np.float64) for f in flows])
    assert feed(op(NAME), images)["video_motion_score"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("parameters", "score", "expected"),
    [
        ({}, 0.25, True),
        ({}, math.nextafter(0.25, 0), False),
        ({"max_score": 3.0}, 3.0, True),
        ({"max_score": 3.0}, math.nextafter(3, 4), False),
        ({"min_closed_interval": False}, 0.25, False),
        ({"max_score": 3.0, "max_closed_interval": False}, 3.0, False),
        ({"reversed_range": True}, 0.1, True),
        ({"reversed_range": True}, 0.3, False),
    ],
)
def test_scores_are_kept_inside_their_range(op, kept, parameters, score, expected):
    assert kept(op(NAME, **parameters), {"video_motion_score": score}) == [expected]


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, None),
        ({"size": 120}, (213, 120)),
        ({"size": [120]}, (213, 120)),
        ({"size": [300, 200]}, (300, 200)),
        ({"size": (200, 300)}, (300, 200)),
        ({"size": 120, "max_size": 160}, (160, 90)),
        ({"size": 120, "divisible": 8}, (208, 120)),
        ({"divisible": 8}, (640, 360)),
    ],
)
def test_frames_are_asked_for_in_the_size_wanted_not_transposed(op, parameters, size):
    needs = op(NAME, **parameters).needs()
    assert needs.at == Fps(2, with_second=True)
    assert (needs.size.resolve(640, 360) if needs.size else None) == size
    assert (needs.size.resolve(360, 640) if needs.size else None) == (size and size[::-1])


def test_the_sampling_rate_is_the_recipes(op):
    needs = op(NAME, sampling_fps=5.5, size=64).needs()
    assert needs == Frames(Fps(5.5, with_second=True), Size(short=64), "bgr24")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *[
            ("sampling_fps", 0),
            ("sampling_fps", -1),
            ("size", 0),
            ("size", [3, 4, 5]),
            ("size", [1, 0]),
        ],
        *[("divisible", 0), ("max_size", 0), ("pyr_scale", 1), ("levels", 0), ("flags", 4)],
        *[("min_score", math.nan), ("method", "raft"), ("if_output_optical_flow", True)],
    ],
)
def test_a_value_out_of_range_is_refused_by_name(op, parameter, value):
    with pytest.raises(RecipeError, match=rf"{NAME}(: | has no parameter '){parameter}"):
        op(NAME, **{parameter: value})


@pytest.mark.parametrize("method", ["farneback", "dis"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 3, 3), (1, 64, 3), (9, 7, 3), (16, 400, 3)])
def test_tiny_and_narrow_frames_have_a_finite_score(op, feed, shape, method):
    images = [np.random.default_rng(v).integers(0, 256, shape) for v in range(3)]
    assert math.isfinite(feed(op(NAME, method=method), images)["video_motion_score"])


def test_dis_is_right_where_farneback_loses_fast_motion(op, feed):
    images = list(moving_texture(40, height=480, width=640))
    scores = [feed(op(NAME, method=m), images)["video_motion_score"] for m in ("dis", "farneback")]
    assert scores[0] == pytest.approx(40, rel=0.1)
    assert scores[1] < 30
