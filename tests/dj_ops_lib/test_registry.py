"""Operators are found by walking the folders, and nothing is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.registry import nearest, operator_class, operator_names


def test_an_operator_is_found_under_the_name_of_its_file() -> None:
    assert "video_resolution_filter" in operator_names()
    assert operator_class("video_resolution_filter").__name__ == "VideoResolutionFilter"


def test_a_name_that_is_almost_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(RecipeError, match="did you mean 'video_resolution_filter'"):
        operator_class("video_resolutions_filter")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("video_text_len_filter", None),  # not video_exposure_filter, with which it shares 4 words
        ("video_aesthetics_filter", None),
        ("video_motion_filter", "video_motion_score_filter"),
        ("motion_score", "video_motion_score_filter"),
        ("video_split_by_keyframe_mapper", "video_split_by_key_frame_mapper"),
        ("document_deduplicator", "video_deduplicator"),
    ],
)
def test_a_name_is_offered_for_what_tells_it_apart(written: str, meant: str | None) -> None:
    assert nearest(written, operator_names()) == (f"; did you mean '{meant}'?" if meant else "")


@pytest.mark.parametrize("name", operator_names())
def test_a_dropped_letter_is_recognised_in_every_name(name: str) -> None:
    middle = len(name) // 2
    written = name[:middle] + name[middle + 1 :]
    assert nearest(written, operator_names()) == f"; did you mean '{name}'?"


def test_listing_and_describing_all_operators_loads_no_heavy_library() -> None:
    code = (
        "import sys; from dj_ops_lib.registry import *;"
        "[operator_class(n)().needs() for n in operator_names()];"
        "heavy = {'torch','transformers','ray','cv2','av','scenedetect','onnxruntime','lance'};"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
