"""The silent share of real files: what the ffmpeg program's silencedetect says, over their length.

Random silences, in the codecs that web video has, whole and in pieces; sound that begins late,
ends early, or is no sound at all.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.ffmpeg import run_ffmpeg

NAME = "video_audio_filter"
RATE = 48_000
SHORTEST = 0.5
CODECS = {"aac": "mp4", "libopus": "webm", "flac": "mkv"}
SECONDS, PIECES = 80, 30


def write(path, samples, codec, *, seconds=None, late=0.0):
    """A file with a small picture of `seconds` and mono float samples that begin `late`."""
    raw = path.with_suffix(".f32")
    raw.write_bytes(samples.astype("<f4").tobytes())
    seconds = len(samples) / RATE if seconds is None else seconds
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=64x64:r=10:d={seconds}")
    sound = ("-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", str(raw))
    delay = ("-af", f"asetpts=PTS+{late}/TB") if late else ()
    video = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8")
    if path.suffix != ".webm":
        video = ("-c:v", "libx264", "-preset", "ultrafast")
    coded = ("-map", "0:v", "-map", "1:a", *video, "-pix_fmt", "yuv420p", *delay, "-c:a", codec)
    run_ffmpeg(*picture, *sound, *coded, str(path))
    return path


def tone(seconds, dbfs=-18.0):
    time_s = np.arange(round(seconds * RATE)) / RATE
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * 440 * time_s)


def silences(path, shortest=SHORTEST):
    """(start, end) in seconds of what the program calls silent."""
    log = run_ffmpeg("-i", str(path), "-vn", "-af", f"silencedetect=n=-60dB:d={shortest}",
                     "-f", "null", "-")  # fmt: skip
    starts, ends = (re.findall(rf"silence_{e}: (-?[\d.]+)", log) for e in ("start", "end"))
    return list(zip(map(float, starts), map(float, ends), strict=True))


@pytest.fixture(scope="module", params=["aac", "libopus"])
def interrupted(request, tmp_path_factory):
    """A tone with random silences, and where they are as the program finds them."""
    rng = np.random.default_rng(20261125)
    samples = tone(SECONDS)
    at = 0.4
    while at < SECONDS - 6:
        length = rng.uniform(0.2, 5)
        samples[round(at * RATE) : round((at + length) * RATE)] = 0
        at += length + rng.uniform(0.1, 3)
    folder = tmp_path_factory.mktemp("interrupted")
    path = write(folder / f"tone.{CODECS[request.param]}", samples, request.param)
    return path, silences(path, 0.1)


def pieces(found):
    """Random spans, and the share of each that is silent by the silences of the whole file."""
    rng = np.random.default_rng(8)
    while True:
        start = round(rng.uniform(0, SECONDS - 8), 3)
        end = start + round(rng.uniform(1.5, 8), 3)
        gaps = [min(b, end) - max(a, start) for a, b in found if a < end and b > start]
        # Codecs smear an edge over some milliseconds: just at the limit, both answers are right.
        if all(abs(gap - SHORTEST) > 0.05 for gap in gaps):
            yield start, end, sum(gap for gap in gaps if gap >= SHORTEST) / (end - start)


def test_random_silences_of_a_whole_file(op, file_clip, watch, interrupted):
    path, _ = interrupted
    expected = sum(b - a for a, b in silences(path)) / SECONDS
    assert 0.3 < expected < 0.8
    columns = watch(op(NAME), file_clip(path))
    assert columns["video_silence_ratio"] == pytest.approx(expected, abs=0.005)


def test_random_silences_in_pieces_of_a_file(op, file_clip, watch, interrupted):
    path, found = interrupted
    wrong = []
    for (start, end, expected), _ in zip(pieces(found), range(PIECES), strict=False):
        clip = file_clip(path, start_s=start, end_s=end)
        share = watch(op(NAME), clip)["video_silence_ratio"]
        if share is None or abs(share - expected) > 0.02:
            wrong.append((start, end, share, expected))
    assert wrong == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("late", "ends"), [(1.0, 4.0), (0.0, 2.5), (1.2, 3.1), (0.0, 5.0)])
def test_what_of_the_clip_has_no_sound_is_silent(op, tmp_path, file_clip, watch, codec, late, ends):
    path = write(tmp_path / f"a.{CODECS[codec]}", tone(ends - late), codec, seconds=4, late=late)
    share = watch(op(NAME), file_clip(path))["video_silence_ratio"]
    assert share == pytest.approx((late + max(0.0, 4 - ends)) / 4, abs=0.02)
    piece = watch(op(NAME), file_clip(path, start_s=0.3, end_s=3.7))["video_silence_ratio"]
    missing = max(0.0, late - 0.3), max(0.0, 3.7 - ends)
    assert piece == pytest.approx(sum(g for g in missing if g >= SHORTEST) / 3.4, abs=0.02)


def test_the_command_tells_what_the_program_does(tmp_path):
    samples = tone(10)
    samples[round(1.146 * RATE) : round(6.143 * RATE)] = 0
    inside = write(tmp_path / "inside.mp4", samples, "aac")
    late = write(tmp_path / "late.mp4", tone(3), "aac", seconds=4, late=1.0)
    broken = tone(2)
    broken[RATE : RATE + 100] = np.nan
    broken = write(tmp_path / "broken.mkv", broken, "pcm_f32le")
    command = [Path(sys.executable).parent / "dj", "op", NAME, "--json", inside, late, broken]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    shares = [r["columns"].get("video_silence_ratio") for r in rows]
    assert shares[:2] == [pytest.approx(0.50, abs=0.005), pytest.approx(0.25, abs=0.01)]
    assert [r["keep"] for r in rows] == [True, True, None]
    assert rows[2]["error"]["class"] == "decode_error"
    assert "broken.mkv" in rows[2]["error"]["message"]
    assert "no numbers" in rows[2]["error"]["message"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error_of_the_clips_that_hold_them(
    op, tmp_path, file_clip, watch, value
):
    samples = tone(6)
    samples[2 * RATE + 7] = value
    path = write(tmp_path / "odd.mkv", samples, "pcm_f32le")
    with pytest.raises(MediaError, match=r"odd\.mkv.* no numbers") as caught:
        watch(op(NAME), file_clip(path))
    assert caught.value.error_class == "decode_error"
    for start in (0.0, 3.0):
        columns = watch(op(NAME), file_clip(path, start_s=start, end_s=start + 1.5))
        assert columns["video_loudness"] == pytest.approx(-21, abs=1)


@settings(max_examples=40)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 60_000)), max_size=8),
    chunks=st.lists(st.integers(1, 50_000), min_size=1, max_size=6),
    missing=st.integers(0, 50_000),
)
def test_silences_are_counted_to_the_sample_whatever_pieces_they_come_in(
    op, clip, runs, chunks, missing
):
    samples = np.concatenate([np.empty(0), *(np.full(n, 0.1 * loud) for loud, n in runs)])
    length = len(samples) + missing
    observer = op(NAME).observe(clip(duration_s=length / RATE))
    at = 0
    while at < len(samples):
        size = chunks[at % len(chunks)]
        observer.audio(samples[None, at : at + size].astype(np.float32))
        at += size
    text = "".join("x" if s else " " for s in samples) + " " * missing
    silent = sum(len(run) for run in re.findall(" +", text) if len(run) >= SHORTEST * RATE)
    share = observer.result()["video_silence_ratio"]
    assert share == (None if not len(samples) else silent / length)
