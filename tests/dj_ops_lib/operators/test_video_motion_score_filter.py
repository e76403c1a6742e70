"""The motion score against squares moving at a known speed."""

import itertools
import math
from fractions import Fraction

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
    assert columns == {"video_motion_score": -1.0, "video_motion_rate": -1.0}
    assert kept(op(NAME), columns) == [False]
    assert kept(op(NAME, min_score=-1, min_rate=0.0), columns) == [False]
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
    row = {"video_motion_score": score, "video_motion_rate": 0.0}
    assert kept(op(NAME, **parameters), row) == [expected]


@pytest.mark.parametrize(
    ("parameters", "rate", "expected"),
    [
        ({}, 0.0, True),
        ({"min_rate": 0.1}, 0.1, True),
        ({"min_rate": 0.1}, 0.09, False),
        ({"max_rate": 0.5}, 0.5, True),
        ({"max_rate": 0.5}, 0.51, False),
        ({"min_rate": 0.1, "min_closed_interval": False}, 0.1, False),
        ({"max_rate": 0.5, "max_closed_interval": False}, 0.5, False),
        ({"min_rate": 0.1, "max_rate": 0.5, "reversed_range": True}, 0.05, True),
        ({"min_rate": 0.1, "max_rate": 0.5, "reversed_range": True}, 0.3, False),
        ({"min_rate": 0.1, "max_rate": 0.5, "reversed_range": True}, 0.1, True),
    ],
)
def test_rates_are_kept_inside_their_range(op, kept, parameters, rate, expected):
    row = {"video_motion_score": 1.0, "video_motion_rate": rate}
    assert kept(op(NAME, **parameters), row) == [expected]


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
    assert needs.at == Fps(2, with_second=True, pair_s=0.06)
    assert (needs.size.resolve(640, 360) if needs.size else None) == size
    assert (needs.size.resolve(360, 640) if needs.size else None) == (size and size[::-1])


def test_the_sampling_rate_is_the_recipes(op):
    needs = op(NAME, sampling_fps=5.5, size=64).needs()
    assert needs == Frames(Fps(5.5, with_second=True, pair_s=0.06), Size(short=64), "bgr24")


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


# --- the rate, in real files ----------------------------------------------------------------


def panned(fps, width, rate, seconds=1.2, height=None):
    """A camera that passes over a ground by so many widths of the picture a second."""
    ground = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (360, 2400)).astype(np.uint8), (0, 0), 5
    )
    ground = cv2.merge([cv2.normalize(ground, None, 10, 245, cv2.NORM_MINMAX)] * 3)
    for i in range(round(seconds * fps)):
        shift = np.float32([[1, 0, 640 * rate * i / fps], [0, 1, 0]])
        view = cv2.warpAffine(ground, shift, (640, 360), flags=cv2.WARP_INVERSE_MAP | 1)
        size = (width, height or width * 9 // 16)
        yield cv2.resize(view, size, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("fps", "width", "rate"),
    [(15, 640, 0.3), (30, 640, 0.3), (60, 640, 0.3), (30, 1920, 0.3), (60, 320, 0.3),
     (25, 640, 0.02), (25, 640, 0.8), (30, 640, 0.140625), (8, 640, 0.1)],
)  # fmt: skip
def test_the_rate_is_the_same_at_every_frame_rate_and_size(
    op, tmp_path, write_video, file_clip, watch, fps, width, rate
):
    path = write_video(tmp_path / "pan.mp4", panned(fps, width, rate), fps=fps, gop=60)
    columns = watch(op(NAME, method="dis"), file_clip(path))
    assert columns["video_motion_rate"] == pytest.approx(rate, rel=0.1, abs=0.003)


@pytest.mark.parametrize("method", ["farneback", "dis", "motion_vectors"])
@pytest.mark.parametrize("squeezed", [False, True])
def test_the_rate_is_of_the_picture_as_it_is_shown_with_every_method(
    op, tmp_path, write_video, file_clip, watch, method, squeezed
):
    images = panned(30, 320 if squeezed else 640, 0.2, height=360)
    sar = Fraction(2) if squeezed else None
    path = write_video(
        tmp_path / "pan.mp4", images, fps=30, gop=60, sample_aspect_ratio=sar, preset="medium"
    )
    clip = file_clip(path)
    assert (clip.width, clip.height) == (640, 360)
    columns = watch(op(NAME, method=method, size=180), clip)
    assert columns["video_motion_rate"] == pytest.approx(0.2, rel=0.2)
    if method == "motion_vectors":  # half a second of it, in pixels of 320x180
        assert columns["video_motion_score"] == pytest.approx(0.2 * 320 / 2, rel=0.3)


def test_a_moment_of_motion_is_not_the_motion_of_the_clip(op, feed):
    """The median: one jump, as a cut makes it, is no speed."""
    images = list(moving_texture(0, frames=50))
    images[25:] = [np.roll(images[0], 40, axis=1)] * 25
    assert feed(op(NAME), images)["video_motion_rate"] == pytest.approx(0, abs=0.005)
