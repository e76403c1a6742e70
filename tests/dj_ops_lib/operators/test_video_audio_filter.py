"""Sound of known level, with silences of known length."""

import dataclasses

import numpy as np
import pytest

from dj_ops_lib.errors import RecipeError

NAME = "video_audio_filter"
RATE = 48_000


def tone(seconds, dbfs=-23.0, channels=2, hertz=997):
    time_s = np.arange(round(seconds * RATE)) / RATE
    wave = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hertz * time_s)
    return np.stack([wave] * channels).astype(np.float32)


def heard(operator, clip, samples, chunk=4096):
    length_s = samples.shape[1] / RATE
    observer = operator.observe(dataclasses.replace(clip, duration_s=length_s))
    for start in range(0, samples.shape[1], chunk):
        observer.audio(samples[:, start : start + chunk])
    return observer.result()


@pytest.mark.parametrize("dbfs", [-23.0, -33.0])
def test_loudness_of_the_standards_test_tone(op, clip, dbfs):
    # EBU Tech 3341, test cases 1 and 2: a stereo 1 kHz sine at this peak level has this loudness.
    columns = heard(op(NAME), clip(), tone(5, dbfs))
    assert columns["video_loudness"] == pytest.approx(dbfs, abs=0.1)
    assert (columns["video_has_audio"], columns["video_silence_ratio"]) == (True, 0.0)


@pytest.mark.parametrize("channels", [1, 6])
def test_other_channel_layouts_are_heard(op, clip, channels):
    assert heard(op(NAME), clip(), tone(2, channels=channels))["video_loudness"] > -30


def test_the_silent_share_counts_the_middle_and_the_end(op, clip):
    samples = tone(8)
    samples[:, 2 * RATE : 4 * RATE] = 0
    samples[:, 7 * RATE :] = 0
    columns = heard(op(NAME), clip(), samples)
    assert columns["video_silence_ratio"] == pytest.approx(3 / 8, abs=0.01)
    assert heard(op(NAME, silence_duration=1.5), clip(), samples)[
        "video_silence_ratio"
    ] == pytest.approx(2 / 8, abs=0.01)


def test_an_all_silent_track_is_rejected(op, clip, kept):
    columns = heard(op(NAME), clip(), np.zeros((2, 3 * RATE), np.float32))
    assert columns["video_silence_ratio"] == pytest.approx(1, abs=0.01)
    assert kept(op(NAME), columns) == [False]


def test_without_sound_only_require_audio_decides(op, clip, kept):
    columns = heard(op(NAME), clip(), np.zeros((2, 0), np.float32))
    assert columns == {
        "video_has_audio": False,
        "video_silence_ratio": None,
        "video_loudness": None,
    }
    assert kept(op(NAME), columns) == [False]
    assert kept(op(NAME, require_audio=False), columns) == [True]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"max_loudness": -23.0}, True),
        ({"max_loudness": -23.0, "max_closed_interval": False}, False),
        ({"min_loudness": -22.9}, False),
        ({"max_silence_ratio": 0.24}, False),
        ({"max_silence_ratio": 0.24, "reversed_range": True}, True),
    ],
)
def test_ranges(op, kept, parameters, expected):
    row = {"video_has_audio": True, "video_silence_ratio": 0.25, "video_loudness": -23.0}
    assert kept(op(NAME, **parameters), row) == [expected]


@pytest.mark.parametrize(("parameter", "value"), [("silence_level", 0), ("silence_duration", 0)])
def test_a_value_out_of_range_is_refused(op, parameter, value):
    with pytest.raises(RecipeError, match=f"{NAME}: {parameter}"):
        op(NAME, **{parameter: value})
