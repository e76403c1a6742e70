"""Labels of clips whose motion was made."""

import cv2
import numpy as np
import pytest

from dj_ops_lib.errors import RecipeError

NAME = "video_motion_tier_mapper"
HEIGHT, WIDTH = 144, 256


def texture(seed, height, width):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


GROUND = texture(0, HEIGHT + 200, WIDTH + 400)
BLOCK = texture(1, 72, 72)


def view(x=100, y=100, block_at=None, block=BLOCK):
    image = GROUND[y : y + HEIGHT, x : x + WIDTH].copy()
    if block_at is not None:
        bx, by = block_at
        image[by : by + block.shape[0], bx : bx + block.shape[1]] = block
    return cv2.merge([image] * 3)


def label(op, feed, images, **parameters):
    operator = op(NAME, **parameters)
    (columns,) = operator.annotate([None], [feed(operator, images)])
    return columns


MOTIONS = {
    "static": [view()] * 25,
    "camera-driven": [view(x=20 + 3 * i) for i in range(25)],
    "shaky": [view(*np.random.default_rng(i).integers(90, 110, 2)) for i in range(25)],
    "tiny": [view(block_at=(20 + i, 40), block=BLOCK[:40, :40]) for i in range(25)],
    "medium": [view(block_at=(10 + 2 * i, 40)) for i in range(25)],
    "strong": [view(block_at=(5 + 7 * i, 40)) for i in range(25)],
}


@pytest.mark.parametrize("tier", MOTIONS)
def test_motion_is_labelled_by_how_it_was_made(op, feed, tier):
    assert label(op, feed, MOTIONS[tier], sampling_fps=25)["video_motion_tier"] == tier


def test_the_speed_of_a_pan_is_its_pixels_a_second_over_the_diagonal(op, feed):
    columns = label(op, feed, MOTIONS["camera-driven"])
    expected = 3 * 25 / np.hypot(HEIGHT, WIDTH)
    assert columns["video_motion_camera"] == pytest.approx(expected, rel=0.1)
    assert columns["video_motion_residual"] < 0.1 * expected
    assert columns["video_motion_jitter"] < 0.1 * expected


def test_a_zoom_is_the_cameras(op, feed):
    images = []
    for i in range(25):
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, 1 + 0.02 * i)
        images.append(cv2.warpAffine(view(), matrix, (WIDTH, HEIGHT)))
    assert label(op, feed, images)["video_motion_tier"] == "camera-driven"


@pytest.mark.parametrize("frames", [0, 1])
def test_a_clip_without_a_pair_has_no_label(op, feed, clip, frames):
    operator = op(NAME)
    (columns,) = operator.annotate([None], [feed(operator, [view()] * frames, clip())])
    assert set(columns.values()) == {None}


def test_thresholds_move_the_labels(op, feed):
    assert label(op, feed, MOTIONS["medium"], static_speed=9.0)["video_motion_tier"] == "static"
    strong = label(op, feed, MOTIONS["medium"], strong_speed=0.0, tiny_speed=0.0)
    assert strong["video_motion_tier"] == "strong"


@pytest.mark.parametrize(("parameter", "value"), [("sampling_fps", 0), ("camera_share", 2)])
def test_a_value_out_of_range_is_refused(op, parameter, value):
    with pytest.raises(RecipeError, match=f"{NAME}: {parameter} {value}"):
        op(NAME, **{parameter: value})
