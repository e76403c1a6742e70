"""Splitters: cuts at known frames, pieces by arithmetic."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.clip import Span
from dj_ops_lib.errors import RecipeError

SCENE = "video_split_by_scene_mapper"
DURATION = "video_split_by_duration_mapper"


def shot(color, frames, seed=0):
    """A coloured, slightly noisy shot."""
    noise = np.random.default_rng(seed).integers(0, 8, (frames, 36, 64, 3))
    return list(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8))


def faded(images, levels):
    return [(i * level).astype(np.uint8) for i, level in zip(images, levels, strict=True)]


RED, GREEN, BLUE = (20, 20, 220), (30, 200, 30), (220, 60, 20)


@pytest.mark.parametrize("detector", ["ContentDetector", "AdaptiveDetector", "histogram"])
def test_hard_cuts_are_found_at_their_frames(op, feed, detector):
    images = shot(RED, 30) + shot(GREEN, 40, 1) + shot(BLUE, 30, 2)
    spans = feed(op(SCENE, detector=detector), images)
    assert spans == [Span(0, 30 / 25), Span(30 / 25, 70 / 25), Span(70 / 25, 4.0)]


def test_the_threshold_detector_cuts_in_the_middle_of_a_fade_through_black(op, feed):
    images = [
        *shot(RED, 30),
        *faded(shot(RED, 10), np.linspace(1, 0, 10)),
        *faded(shot(BLUE, 10), np.linspace(0, 1, 10)),
        *shot(BLUE, 30),
    ]
    spans = feed(op(SCENE, detector="ThresholdDetector"), images)
    assert len(spans) == 2
    assert abs(spans[0].end_s * 25 - 40) <= 2
    late = feed(op(SCENE, detector="ThresholdDetector", fade_bias=1), images)
    assert late[0].end_s > spans[0].end_s


def test_the_last_fade_out_is_a_scene_only_if_asked_for(op, feed):
    images = shot(RED, 40) + faded(shot(RED, 20), np.linspace(1, 0, 20))
    assert len(feed(op(SCENE, detector="ThresholdDetector"), images)) == 1
    ended = feed(op(SCENE, detector="ThresholdDetector", add_final_scene=True), images)
    assert len(ended) == 2


@pytest.mark.parametrize("images", [[], shot(RED, 1), shot(RED, 60)], ids=["0", "1", "60"])
def test_a_clip_without_a_cut_is_one_span_its_own(op, feed, clip, images):
    whole = clip(start_s=3.0, end_s=8.0)
    assert feed(op(SCENE), images, whole) == [Span(3.0, 8.0)]


def test_spans_are_in_the_files_time_and_use_the_frames_own_timestamps(op, feed, clip):
    images = shot(RED, 30) + shot(GREEN, 30)
    spans = feed(op(SCENE), images, clip(start_s=7.0, end_s=9.4))
    assert spans == [Span(7.0, 7.0 + 30 / 25), Span(7.0 + 30 / 25, 9.4)]


def test_scenes_shorter_than_the_minimum_are_not_made(op, feed):
    images = shot(RED, 30) + shot(GREEN, 8) + shot(BLUE, 30)
    assert len(feed(op(SCENE, min_scene_len=5), images)) == 3
    assert len(feed(op(SCENE, min_scene_len=20), images)) == 2


def test_an_explicit_threshold_is_used_whatever_the_detector(op, feed):
    images = shot(RED, 30) + shot(GREEN, 30)
    assert len(feed(op(SCENE, threshold=250.0), images)) == 1
    detector = {"detector": "AdaptiveDetector"}
    assert len(feed(op(SCENE, **detector), images)) == 2
    assert len(feed(op(SCENE, threshold=27.0, min_content_val=250.0, **detector), images)) == 1


def test_weights_choose_what_a_change_is(op, feed):
    bright, dark = shot((200, 200, 200), 30), shot((60, 60, 60), 30)
    assert len(feed(op(SCENE, weights=[1, 0, 0, 0]), bright + dark)) == 1
    assert len(feed(op(SCENE, luma_only=True), bright + dark)) == 2


def test_verify_finds_the_cut_that_the_first_detector_missed(op, feed):
    images = shot(RED, 30) + shot(GREEN, 30)
    blind = {"threshold": 250.0}
    assert len(feed(op(SCENE, **blind), images)) == 1
    assert feed(op(SCENE, verify=True, **blind), images) == [Span(0, 1.2), Span(1.2, 2.4)]
    whole = feed(op(SCENE, verify=True), shot(RED, 60))
    assert whole == [Span(0, 2.4)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector": "KoalaDetector"}, "detector"),
        ({"threshold": -1}, "threshold"),
        ({"min_scene_len": -1}, "min_scene_len"),
        ({"fade_bias": 0.5}, "'fade_bias' is not a parameter of ContentDetector"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"weights": [0, 0, 0, 0]}, "weights"),
        ({"weights": [1, 0, 0]}, "weights"),
        ({"treshold": 3}, "did you mean 'threshold'"),
    ],
)
def test_wrong_scene_parameters_are_refused(op, parameters, message):
    with pytest.raises(RecipeError, match=message):
        op(SCENE, **parameters)


@pytest.mark.parametrize(
    ("parameters", "duration", "pieces"),
    [
        ({}, 25.0, [(0, 10), (10, 20), (20, 25)]),
        ({}, 20.0, [(0, 10), (10, 20)]),
        ({}, 10.0, [(0, 10)]),
        ({}, 3.0, [(0, 3)]),
        ({"min_last_split_duration": 5}, 25.0, [(0, 10), (10, 20), (20, 25)]),
        ({"min_last_split_duration": 5.1}, 25.0, [(0, 10), (10, 20)]),
        ({"min_last_split_duration": 5}, 3.0, [(0, 3)]),
        ({"overlap_duration": 4}, 20.0, [(0, 10), (6, 16), (12, 20)]),
        ({"split_duration": 2.5}, 6.0, [(0, 2.5), (2.5, 5), (5, 6)]),
        ({"split_duration": 0.1}, 0.3, [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]),
        # At 25 frames a second no frame begins in the last 30 ms, and one does in 40 ms.
        ({"split_duration": 2}, 4.03, [(0, 2), (2, 4.03)]),
        ({"split_duration": 2}, 4.04, [(0, 2), (2, 4), (4, 4.04)]),
        ({"split_duration": 2, "min_last_split_duration": 1}, 2.03, [(0, 2.03)]),
    ],
)
def test_pieces_by_duration(op, clip, parameters, duration, pieces):
    spans = op(DURATION, **parameters).measure(clip(duration_s=duration))
    assert [(s.start_s, s.end_s) for s in spans] == [pytest.approx(p) for p in pieces]


def test_pieces_of_a_clip_inside_a_file_start_where_the_clip_starts(op, clip):
    spans = op(DURATION).measure(clip(start_s=100.0, end_s=115.0, duration_s=15.0))
    assert spans == [Span(100.0, 110.0), Span(110.0, 115.0)]


def test_the_original_is_kept_by_default_as_in_data_juicer(op):
    assert op(DURATION).keeps_original
    assert not op(DURATION, keep_original_sample=False).keeps_original
    assert not op(SCENE).keeps_original


@given(
    duration=st.floats(0.01, 500),
    split=st.floats(0.5, 50),
    overlap=st.floats(0, 0.9),
    least=st.floats(0, 5),
)
def test_pieces_cover_the_clip_in_order_and_only_the_last_may_be_short(
    op, clip, duration, split, overlap, least
):
    operator = op(
        DURATION,
        split_duration=split,
        overlap_duration=overlap * split,
        min_last_split_duration=least,
    )
    spans = operator.measure(clip(duration_s=duration))
    assert spans[0].start_s == 0
    assert all(math.isclose(s.end_s - s.start_s, split, rel_tol=1e-9) for s in spans[:-1])
    assert all(s.start_s < s.end_s <= duration for s in spans)
    assert all(a.start_s < b.start_s <= a.end_s + 1e-9 for a, b in itertools.pairwise(spans))
    assert spans[-1].end_s == duration or duration - spans[-1].end_s <= max(split, least)


@pytest.mark.parametrize("overlap", [10, 11, -1])
def test_an_overlap_that_never_advances_is_refused(op, overlap):
    with pytest.raises(RecipeError, match="overlap_duration"):
        op(DURATION, overlap_duration=overlap)
