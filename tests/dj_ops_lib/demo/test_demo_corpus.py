"""The demo corpus is what it says: its files, held against FFmpeg and against arithmetic."""

from __future__ import annotations

import filecmp
import itertools
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dj_ops_lib.demo.encode import BurntText
from dj_ops_lib.media.ffmpeg import find_ffmpeg

SOURCES = ("msr_vtt", "internvid", "panda70m")
ONE_OF_EVERYTHING = {
    "hard_cuts", "fade", "static", "too_fast", "tiny", "extreme_aspect", "rotated",
    "non_square_pixels", "variable_frame_rate", "burnt_in_text", "letterbox", "black", "no_audio",
    "ten_bit", "odd_dimensions", "one_frame", "truncated", "zero_bytes", "text_file", "missing",
    "exact_duplicate", "rescaled_duplicate", "plain", "long",
}  # fmt: skip


def frames(path: Path) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """(time in seconds, luma) of every frame."""
    with av.open(str(path)) as container:
        return [
            (float(frame.time or 0), frame.to_ndarray(format="gray"))
            for frame in container.decode(video=0)
        ]


def files_of(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def test_it_is_small_and_has_one_of_everything(corpus):
    sizes = [(corpus.root / file).stat().st_size for file in files_of(corpus.root)]
    assert sum(sizes) < 40_000_000
    assert 58 <= len(corpus.truth["videos"]) <= 72
    assert {video["feature"] for video in corpus.truth["videos"]} >= ONE_OF_EVERYTHING
    for source in SOURCES:
        assert len(corpus.truth["sources"][source]["shards"]) >= 3
    assert {entry["source"] for entry in corpus.truth["malformed"]} == set(SOURCES)


def test_another_process_makes_the_same_bytes(corpus, tmp_path):
    other = tmp_path / "other"
    subprocess.run(
        [sys.executable, "-m", "dj_ops_lib.demo", str(other)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
    )
    files = files_of(corpus.root)
    assert files_of(other) == files
    differing = filecmp.cmpfiles(corpus.root, other, [str(f) for f in files], shallow=False)[1:]
    assert differing == ([], [])


def test_another_seed_draws_other_ids(corpus):
    from dj_ops_lib.demo.plan import internvid

    drawn = {video.source_id for video in internvid(1)}
    given = {v["source_id"] for v in corpus.truth["videos"] if v["source"] == "internvid"}
    assert not drawn & given
    assert all(re.fullmatch(r"[\w-]{11}", one) for one in drawn)


def test_every_readable_file_holds_the_frames_sizes_and_sound_that_it_should(corpus):
    for video in corpus.truth["videos"]:
        path = corpus.root / video["file"]
        if video["fate"] != "whole":
            continue
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (video["coded_width"], video["coded_height"])
            assert stream.frames == video["num_frames"]
            assert float(stream.duration * stream.time_base) == pytest.approx(video["duration_s"])
            assert stream.pix_fmt == video["pixel_format"]
            assert stream.sample_aspect_ratio == Fraction(
                *map(int, video["sample_aspect_ratio"].split(":"))
            )
            assert bool(container.streams.audio) == video["has_audio"]
            first = next(container.decode(stream))
            assert -first.rotation % 360 == video["rotation"]


def test_what_cannot_be_read_cannot_be_read(corpus):
    fates = {v["fate"]: corpus.root / v["file"] for v in corpus.truth["videos"]}
    assert set(fates) == {"whole", "truncated", "empty", "text", "missing"}
    assert not fates["missing"].exists()
    assert fates["empty"].stat().st_size == 0
    for fate in ("truncated", "empty", "text"):
        with pytest.raises(av.error.InvalidDataError):
            av.open(str(fates[fate]))


def test_pictures_change_at_once_at_hard_cuts_and_nowhere_else(corpus):
    for video in corpus.videos("hard_cuts") + corpus.videos("plain"):
        shown = frames(corpus.root / video["file"])
        changes = [
            (after[0], np.abs(after[1].astype(int) - before[1]).mean())
            for before, after in itertools.pairwise(shown)
        ]
        sudden = [time for time, change in changes if change > 25]
        assert sudden == pytest.approx(video["hard_cuts_s"])
        assert max([c for t, c in changes if t not in sudden]) < 10


def test_a_fade_goes_through_black(corpus):
    for video in corpus.videos("fade"):
        shown = dict(frames(corpus.root / video["file"]))
        (time,) = video["fades_s"]
        assert shown[time].max() < 20
        assert shown[0.0].mean() > 60
        assert shown[4.0].mean() > 60


def speed(before, after, *, camera: bool) -> float:
    """Widths that the picture moves: all of it by phase correlation, or the mean of its flow."""
    if camera:
        (x, y), _ = cv2.phaseCorrelate(before.astype(np.float64), after.astype(np.float64))
        return float(np.hypot(x, y)) / before.shape[1]
    flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return float(np.hypot(flow[..., 0], flow[..., 1]).mean()) / before.shape[1]


def test_motion_is_safely_inside_or_outside_the_range_of_the_demo_recipe(corpus):
    """Widths of the picture a second, kept from 0.003 to 0.5; here between neighbouring frames."""
    limits = {"static": (-1, 0.001), "moderate": (0.004, 0.3), "too_fast": (0.7, 0.8)}
    for video in corpus.truth["videos"]:
        if video["fate"] != "whole" or video["exact_duplicate_of"] or video["num_frames"] < 20:
            continue
        shown = frames(corpus.root / video["file"])
        for shot in video["shots"]:
            start, end = round(shot["start_s"] * 20), round(shot["end_s"] * 20)
            taken = [picture for _, picture in shown[start:end]]
            camera = shot["pan_px_per_s"] > 0
            rates = [
                20 * speed(*taken[i : i + 2], camera=camera) for i in range(5, end - start - 1, 10)
            ]
            rate = float(np.median(rates))
            low, high = limits[shot["motion_kind"]]
            assert low < rate < high, (video["source_id"], video["feature"], rate)
            if camera:
                assert rate == pytest.approx(shot["pan_px_per_s"] / video["width"], rel=0.05)


def test_burnt_in_text_is_where_the_truth_says(corpus):
    for video in corpus.videos("burnt_in_text"):
        with_text = frames(corpus.root / video["file"])
        always_white = np.min([picture for _, picture in with_text[::10]], axis=0) > 200
        covered = np.zeros_like(always_white)
        for text in video["text"]:
            left, top, width, height = text["box"]
            assert always_white[top : top + height, left : left + width].mean() > 0.1
            covered[top : top + height, left : left + width] = True
        assert not (always_white & ~covered).any()


def test_a_box_of_text_is_as_tight_as_it_can_be():
    plane = np.zeros((100, 300), dtype=np.uint8)
    cv2.putText(plane, "ABC", (10, 44), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    assert BurntText("ABC", 10, 20).box == cv2.boundingRect(plane)


@pytest.mark.parametrize(
    ("feature", "ffmpeg_filter", "pattern"),
    [
        ("letterbox", "cropdetect=limit=24:round=2:skip=0", r"crop=(\d+):(\d+):(\d+):(\d+)"),
        ("black", "blackdetect=d=2", r"black_start:0 black_end:(?:2.95|3) "),
        ("static", "freezedetect=d=2", r"freeze_start: 0"),
    ],
)
def test_ffmpegs_own_detectors_agree(corpus, feature, ffmpeg_filter, pattern):
    for video in corpus.videos(feature):
        command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-i"]
        command += [
            str(corpus.root / video["file"]),
            "-vf",
            ffmpeg_filter,
            "-an",
            "-f",
            "null",
            "-",
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        found = re.findall(pattern, said)
        assert found
        if feature == "letterbox":
            left, top, width, height = video["visible_box"]
            assert tuple(map(int, found[-1])) == (width, height, left, top)


def test_copies_are_the_same_bytes_and_rescaled_ones_the_same_picture(corpus):
    by_id = {v["source_id"]: corpus.root / v["file"] for v in corpus.truth["videos"]}
    copies = corpus.videos("exact_duplicate")
    assert len(copies) == 3
    for video in copies:
        original = by_id[video["exact_duplicate_of"]]
        assert original.read_bytes() == (corpus.root / video["file"]).read_bytes()
    (small,) = corpus.videos("rescaled_duplicate")
    group = [
        v for v in corpus.videos("original") if v["near_duplicates"] == small["near_duplicates"]
    ]
    large = frames(corpus.root / group[0]["file"])
    for (_, a), (_, b) in zip(large, frames(corpus.root / small["file"]), strict=True):
        mean = a.reshape(192, 2, 320, 2).mean(axis=(1, 3))
        assert np.abs(mean - b).mean() < 4


def test_truth_names_every_annotated_clip_once_and_every_outcome_is_there(corpus):
    keys = [
        (c["source"], c["annotation_file"], c["annotation_row"], c["annotated_start_s"])
        for c in corpus.truth["clips"]
    ]
    assert len(set(keys)) == len(keys)
    assert json.loads((corpus.root / "truth.json").read_text("utf-8")) == corpus.truth
    ends = [p["outcome"] for c in corpus.truth["clips"] for p in c.get("pieces", [c])]
    told = {o.get("rejected_by") or o.get("error") or "kept" for o in ends}
    assert told == {
        "kept", "corrupt", "missing", "span_out_of_range", "video_resolution_filter",
        "video_aspect_ratio_filter", "video_duration_filter", "video_motion_score_filter",
        "video_deduplicator",
    }  # fmt: skip
