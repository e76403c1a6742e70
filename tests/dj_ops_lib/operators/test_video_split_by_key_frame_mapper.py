"""Pieces at key frames hold every frame of the clip, each of them once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dj_ops_lib.media.ffmpeg import find_ffmpeg

SPLIT = "video_split_by_key_frame_mapper"


def ffmpeg(*arguments: object) -> None:
    command = [find_ffmpeg(), "-v", "error", "-y", *(str(a) for a in arguments)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames at 25 a second, key frames at 0 s, 1.92 s and 3.84 s; the last is frame 96."""
    path = tmp_path_factory.mktemp("keys") / "film.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4")
    keys = ("-g", 48, "-keyint_min", 48, "-sc_threshold", 0, "-bf", 2)
    ffmpeg(*picture, "-c:v", "libx264", *keys, "-pix_fmt", "yuv420p", path)
    return path


def test_the_first_cut_of_a_trim_is_found_however_late_it_is(op, film, tmp_path, file_clip, watch):
    trim = tmp_path / "trim.mp4"
    ffmpeg("-ss", 1.0, "-i", film, "-c", "copy", trim)  # an edit list leaves out the first second
    spans = watch(op(SPLIT), file_clip(trim))
    assert [s.start_s for s in spans] == pytest.approx([0, 0.92, 2.84], abs=2e-3)


def test_what_cannot_be_decoded_before_the_first_key_frame_is_no_piece(
    op, film, tmp_path, file_clip, watch
):
    trim = tmp_path / "trim.ts"
    ffmpeg("-ss", 1.0, "-i", film, "-c", "copy", "-copyinkf", "-copypriorss", 0, trim)
    spans = watch(op(SPLIT), file_clip(trim))
    # The first key frame, at 0.92 s, is the first picture there is.
    assert [s.start_s for s in spans] == [0, pytest.approx(2.84, abs=0.09)]


@pytest.mark.parametrize("end_s", [2.0, 1.96])
def test_one_frame_is_not_left_over(op, film, file_clip, watch, end_s):
    spans = watch(op(SPLIT), file_clip(film, start_s=0.0, end_s=end_s))
    pieces = [(0.0, 1.92), (1.92, 2.0)] if end_s == 2.0 else [(0.0, 1.96)]
    assert [(s.start_s, s.end_s) for s in spans] == [pytest.approx(p) for p in pieces]
