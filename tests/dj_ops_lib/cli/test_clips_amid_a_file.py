"""What `dj run` and `dj op` measure of a clip is of that clip, wherever in its file it lies."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from unittest import mock

import lance
import numpy as np
import pytest

from dj_ops_lib.cli import app
from dj_ops_lib.media.ffmpeg import run_ffmpeg


def dj(*arguments: str) -> str:
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["dj", *arguments]),
        contextlib.redirect_stdout(printed),
        pytest.raises(SystemExit) as done,
    ):
        app()
    assert not done.value.code, printed.getvalue()
    return printed.getvalue()


def test_pieces_of_an_av1_file_move_as_those_of_the_same_pictures_in_h264(tmp_path: Path) -> None:
    """In the second piece of SVT-AV1's pyramid, every second picture is one nothing leans on."""
    videos = tmp_path / "videos"
    videos.mkdir()
    picture = ("-f", "lavfi", "-i", "testsrc2=size=256x144:rate=25:duration=4")
    av1 = ("-c:v", "libsvtav1", "-preset", "10", "-crf", "20", "-g", "100", "-pix_fmt", "yuv420p")
    run_ffmpeg(*picture, *av1, str(videos / "av1.mp4"))
    run_ffmpeg(*picture, "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p",
               str(videos / "h264.mp4"))  # fmt: skip
    recipe = tmp_path / "pieces.yaml"
    recipe.write_text(
        "stages:\n"
        "  - name: clips\n"
        "    operators:\n"
        "      - video_split_by_duration_mapper:\n"
        "          {split_duration: 1.32, keep_original_sample: false}\n"
        "  - name: measured\n"
        "    operators:\n"
        "      - video_motion_score_filter: {sampling_fps: 25, min_score: 0}\n"
    )
    dj("run", str(recipe), "--videos", str(videos), "--warehouse", str(tmp_path / "tables"))
    table = lance.dataset(tmp_path / "tables/files/pieces/measured.lance").to_table().to_pylist()
    moves = {
        codec: [
            row["video_motion_score"]
            for row in sorted(table, key=lambda row: row["start_s"] or 0.0)
            if Path(row["video_uri"]).stem == codec
        ]
        for codec in ("av1", "h264")
    }
    assert len(moves["av1"]) == 4
    assert np.allclose(moves["av1"], moves["h264"], rtol=0.15), moves


def test_a_trim_is_cut_at_its_first_key_frame(tmp_path: Path) -> None:
    film, trim = tmp_path / "film.mp4", tmp_path / "trim.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=4", "-c:v", "libx264",
               "-g", "48", "-keyint_min", "48", "-sc_threshold", "0", str(film))  # fmt: skip
    run_ffmpeg("-ss", "1.0", "-i", str(film), "-c", "copy", str(trim))
    printed = dj("op", "video_split_by_key_frame_mapper", "--json", str(trim))
    original, *pieces = json.loads(printed)["clips"]
    assert original["start_s"] == 0
    assert [piece["start_s"] for piece in pieces] == pytest.approx([0, 0.92, 2.84], abs=2e-3)
