"""Filters on pictures against pictures whose black, borders, light and detail are known."""

import math

import cv2
import numpy as np
import pytest

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.needs import Frame

BLACK_FREEZE = "video_black_freeze_filter"
LETTERBOX = "video_letterbox_filter"
EXPOSURE = "video_exposure_filter"
SHARPNESS = "video_sharpness_filter"
INTEGRITY = "video_integrity_filter"


def flat(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


def textured(seed, height=48, width=64, low=60, high=220):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3)).astype(np.uint8)


def lively(frames, first=0):
    return [textured(first + i) for i in range(frames)]


def test_black_and_frozen_shares_are_of_the_time(op, feed):
    images = [flat(0)] * 25 + lively(50) + [textured(99)] * 25
    columns = feed(op(BLACK_FREEZE), images)
    assert columns["video_black_ratio"] == pytest.approx(0.25)
    assert columns["video_freeze_ratio"] == pytest.approx(0.5)  # the black second is frozen, too


def test_a_clip_in_motion_is_neither_black_nor_frozen(op, feed, kept):
    columns = feed(op(BLACK_FREEZE), lively(50))
    assert columns == {"video_black_ratio": 0.0, "video_freeze_ratio": 0.0}
    assert kept(op(BLACK_FREEZE), columns) == [True]


def test_runs_shorter_than_the_minimum_do_not_count(op, feed):
    images = lively(25) + [flat(0)] * 10 + lively(15, 40)
    assert feed(op(BLACK_FREEZE), images)["video_black_ratio"] == pytest.approx(10 / 50)
    assert feed(op(BLACK_FREEZE, black_duration=0.4), images)["video_black_ratio"] > 0
    assert feed(op(BLACK_FREEZE, black_duration=0.41), images)["video_black_ratio"] == 0
    assert feed(op(BLACK_FREEZE), images)["video_freeze_ratio"] == 0
    frozen = feed(op(BLACK_FREEZE, freeze_duration=0.4), images)["video_freeze_ratio"]
    assert frozen == pytest.approx(10 / 50)


def test_two_frozen_runs_side_by_side_are_two(op, feed):
    images = [textured(1)] * 20 + [textured(2)] * 20
    assert feed(op(BLACK_FREEZE, freeze_duration=1), images)["video_freeze_ratio"] == 0
    frozen = feed(op(BLACK_FREEZE, freeze_duration=0.8), images)["video_freeze_ratio"]
    assert frozen == pytest.approx(1)


@pytest.mark.parametrize(("dark", "expected"), [(0.97, 0.0), (0.99, 1.0)])
def test_a_frame_is_black_when_nearly_all_of_it_is_dark(op, feed, dark, expected):
    image = flat(0, 100, 100)
    image[round(100 * dark) :] = 200
    assert feed(op(BLACK_FREEZE), [image] * 10)["video_black_ratio"] == pytest.approx(expected)


def test_one_frame_is_no_freeze_and_no_frame_has_no_share(op, feed, clip):
    assert feed(op(BLACK_FREEZE), lively(1))["video_freeze_ratio"] == 0
    assert feed(op(BLACK_FREEZE), [], clip()) == {
        "video_black_ratio": None,
        "video_freeze_ratio": None,
    }


def test_shares_follow_timestamps_where_the_frame_rate_varies(op, clip):
    operator = op(BLACK_FREEZE)
    observer = operator.observe(clip(duration_s=4.0, fps=1.0, num_frames=4))
    for i, (time_s, image) in enumerate(
        [(0.0, textured(0)), (0.5, flat(0)), (2.5, textured(1)), (3.0, textured(2))]
    ):
        observer.frame(Frame(image, time_s, time_s, i, False))
    assert observer.result()["video_black_ratio"] == pytest.approx(2 / 4)


def bordered(top, bottom, left, right, seed=0, height=90, width=160):
    image = textured(seed, height, width)
    image[:top] = image[height - bottom :] = 0
    image[:, :left] = image[:, width - right :] = 0
    return image


@pytest.mark.parametrize("borders", [(12, 12, 0, 0), (0, 0, 20, 20), (5, 9, 3, 7), (0, 0, 0, 0)])
def test_the_picture_inside_black_borders_is_found_to_the_pixel(op, feed, borders):
    top, bottom, left, right = borders
    columns = feed(op(LETTERBOX), [bordered(*borders, seed=i) for i in range(4)])
    width, height = 160 - left - right, 90 - top - bottom
    box = [columns[f"video_crop_{k}"] for k in ("x", "y", "width", "height")]
    assert box == [left, top, width, height]
    assert columns["video_border_ratio"] == pytest.approx(1 - width * height / (160 * 90))


def test_a_border_must_be_dark_in_every_frame(op, feed):
    images = [bordered(20, 20, 0, 0), bordered(0, 20, 0, 0, seed=1)]
    columns = feed(op(LETTERBOX), images)
    assert (columns["video_crop_y"], columns["video_crop_height"]) == (0, 70)


def test_an_all_dark_clip_is_all_border_and_has_no_box(op, feed, kept):
    columns = feed(op(LETTERBOX), [flat(3)] * 3)
    assert columns["video_border_ratio"] == 1
    assert columns["video_crop_width"] is None
    assert kept(op(LETTERBOX), columns) == [False]


def test_the_border_limit_decides_what_is_dark(op, feed):
    image = bordered(20, 0, 0, 0)
    image[:20] = 30
    assert feed(op(LETTERBOX), [image])["video_crop_y"] == 0
    assert feed(op(LETTERBOX, limit=30), [image])["video_crop_y"] == 20


@pytest.mark.parametrize(
    ("image", "brightness", "contrast", "dark", "bright", "expected"),
    [
        (flat(0), 0, 0, 1, 0, False),
        (flat(255), 1, 0, 0, 1, False),
        (flat(128), 128 / 255, 0, 0, 0, False),
        (np.concatenate([flat(0), flat(255)]), 0.5, 0.5, 0.5, 0.5, True),
        (np.concatenate([flat(100), flat(160)]), 130 / 255, 30 / 255, 0, 0, True),
    ],
)
def test_exposure(op, feed, kept, image, brightness, contrast, dark, bright, expected):
    columns = feed(op(EXPOSURE), [image] * 3)
    assert columns["video_brightness"] == pytest.approx(brightness)
    assert columns["video_contrast"] == pytest.approx(contrast)
    assert (columns["video_dark_ratio"], columns["video_bright_ratio"]) == (dark, bright)
    assert kept(op(EXPOSURE), columns) == [expected]


def test_exposure_averages_over_frames(op, feed):
    columns = feed(op(EXPOSURE), [flat(0), flat(255), flat(255), flat(255)])
    assert columns["video_brightness"] == pytest.approx(0.75)


def test_sharpness_is_the_variance_of_the_laplacian(op, feed):
    image = np.zeros((20, 20, 3), np.uint8)
    image[10, 10] = 100
    # One bright point: -4 * 100 at it and 100 at its four neighbours, 0 elsewhere; mean 0.
    expected = (400**2 + 4 * 100**2) / 400
    assert feed(op(SHARPNESS), [image])["video_sharpness"] == pytest.approx(expected)


def test_blur_lowers_the_sharpness(op, feed, kept):
    sharp = textured(0, 240, 320)
    scores = [
        feed(op(SHARPNESS), [cv2.GaussianBlur(sharp, (0, 0), s) if s else sharp])
        for s in (0, 1, 2, 4)
    ]
    values = [s["video_sharpness"] for s in scores]
    assert values == sorted(values, reverse=True)
    assert kept(op(SHARPNESS), scores)[::3] == [True, False]


@pytest.mark.parametrize("name", [LETTERBOX, EXPOSURE, SHARPNESS])
def test_without_frames_there_is_nothing_to_say(op, feed, clip, name):
    assert set(feed(op(name), [], clip()).values()) == {None}


def test_a_whole_clip_passes_the_integrity_filter(op, feed, kept):
    columns = feed(op(INTEGRITY), lively(25))
    assert columns == {
        "video_decoded_frames": 25,
        "video_frames_ratio": 1.0,
        "video_decoded_ratio": 1.0,
        "video_timestamp_errors": 0,
    }
    assert kept(op(INTEGRITY), columns) == [True]


def test_a_clip_that_ends_early_does_not(op, feed, kept, clip):
    columns = feed(op(INTEGRITY), lively(20), clip(duration_s=1.0, num_frames=25))
    assert columns["video_frames_ratio"] == pytest.approx(0.8)
    assert columns["video_decoded_ratio"] == pytest.approx(0.8)
    assert kept(op(INTEGRITY), columns) == [False]
    assert kept(op(INTEGRITY, min_frames_ratio=0.8, min_decoded_ratio=0.79), columns) == [True]


def test_timestamps_that_go_back_are_counted(op, clip):
    observer = op(INTEGRITY).observe(clip(duration_s=0.2, num_frames=5))
    for i, time_s in enumerate([0.0, 0.04, 0.04, 0.02, 0.16]):
        observer.frame(Frame(flat(9), time_s, time_s, i, False))
    assert observer.result()["video_timestamp_errors"] == 2


@pytest.mark.parametrize(
    ("name", "column", "limit"),
    [
        (BLACK_FREEZE, "video_black_ratio", "max_black_ratio"),
        (BLACK_FREEZE, "video_freeze_ratio", "max_freeze_ratio"),
        (LETTERBOX, "video_border_ratio", "max_border_ratio"),
        (EXPOSURE, "video_brightness", "min_brightness"),
        (EXPOSURE, "video_contrast", "min_contrast"),
        (SHARPNESS, "video_sharpness", "min_sharpness"),
        (SHARPNESS, "video_sharpness", "max_sharpness"),
        ("video_fps_filter", "video_fps", "min_fps"),
        ("video_fps_filter", "video_fps", "max_fps"),
        ("video_bitrate_filter", "video_bitrate", "min_bitrate"),
        ("video_bitrate_filter", "video_bits_per_pixel", "max_bits_per_pixel"),
    ],
)
def test_each_edge_is_inside_a_closed_range_and_outside_an_open_one(op, kept, name, column, limit):
    low = limit.startswith("min_")
    edge = 0.25
    middling = {
        "video_black_ratio": 0.0,
        "video_freeze_ratio": 0.0,
        "video_brightness": 0.5,
        "video_contrast": 0.2,
        "video_dark_ratio": 0.1,
        "video_bright_ratio": 0.1,
        "video_bitrate": 1e6,
        "video_bits_per_pixel": 0.1,
    }
    own, fields = {c.name for c in op(name).columns}, type(op(name)).model_fields
    others = {k: v for k, v in middling.items() if k in own}
    rows = [others | {column: v} for v in (edge, math.nextafter(edge, 0), math.nextafter(edge, 1))]
    inside = [True, not low, low]
    other = {k: 0 for k in ("min_fps", "min_sharpness", "min_bits_per_pixel") if k in fields}
    limits = other | {limit: edge}
    assert kept(op(name, **limits), rows) == inside
    opened = {("min" if low else "max") + "_closed_interval": False}
    assert kept(op(name, **limits, **opened), rows) == [False, *inside[1:]]
    reverse = kept(op(name, **limits, reversed_range=True), rows)
    assert reverse == [True, low, not low]


def test_the_frame_rate_is_the_rows(op, clip, kept):
    columns = op("video_fps_filter").measure(clip(fps=23.976))
    assert columns == {"video_fps": 23.976}
    assert kept(op("video_fps_filter", min_fps=24), columns) == [False]


def test_the_bit_rate_counts_the_clips_own_packets(op, clip):
    whole = clip(duration_s=2.0, width=10, height=10)
    part = clip(start_s=1.0, end_s=2.0, duration_s=1.0, width=10, height=10)
    of_whole, of_part = (2500 * 8 / 2, 2500 * 8 / (100 * 4)), (500 * 8, 500 * 8 / 200)
    for of, (rate, density) in ((whole, of_whole), (part, of_part)):
        observer = op("video_bitrate_filter").observe(of)
        for size, pts_s in ((1000, 0.0), (1000, 0.5), (400, 1.0), (100, 1.5)):
            observer.packet(bytes(size), pts_s, 0)
            observer.packet(bytes(7), pts_s, 1)
        columns = observer.result()
        assert columns["video_bitrate"] == pytest.approx(rate)
        assert columns["video_bits_per_pixel"] == pytest.approx(density)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        (BLACK_FREEZE, "black_level", 1.5),
        (BLACK_FREEZE, "freeze_duration", -1),
        (LETTERBOX, "limit", 255),
        (LETTERBOX, "frame_num", 0),
        (EXPOSURE, "frame_num", 0),
        (SHARPNESS, "size", 3),
        (INTEGRITY, "max_timestamp_errors", 0.5),
    ],
)
def test_a_value_out_of_range_is_refused(op, name, parameter, value):
    with pytest.raises(RecipeError, match=f"{name}: {parameter} {value}"):
        op(name, **{parameter: value})
