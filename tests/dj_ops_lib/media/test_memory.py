"""Memory does not grow with the length of a video."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from media_truth import ffmpeg

_LOOK = """
import resource, sys
from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import (
    Audio, Every, Frames, KeyFrames, MotionVectors, Observer, Packets, Size, Uniform)

path = sys.argv[1]
access = Access(roots=(path.rpartition("/")[0],))
header = probe(path, access)
clip = Clip("c", "s", "0", video_uri=path, duration_s=header.duration_s, fps=header.fps,
            num_frames=header.num_frames)
plans = [Frames(Every(), Size(short=256)), Frames(Uniform(16)), Frames(KeyFrames()), Packets()]
wanted = [(need, Observer()) for need in [*plans, MotionVectors(), Audio(rate=16000)]]
report = decode(clip, wanted, access)
print(report.frames_decoded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_hour_takes_as_much_memory_as_a_minute(tmp_path: Path) -> None:
    minute, hour = tmp_path / "minute.mp4", tmp_path / "hour.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=1920x1080:rate=2:duration=60",
           "-f", "lavfi", "-i", "sine=duration=60", "-c:v", "libx264", "-preset", "ultrafast",
           "-g", "20", "-c:a", "aac", minute)  # fmt: skip
    ffmpeg("-stream_loop", "59", "-i", minute, "-c", "copy", hour)
    peaks = {}
    for path, frames in ((minute, 120), (hour, 7200)):
        command = [sys.executable, "-c", _LOOK, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        decoded, kibibytes = map(int, done.stdout.split())
        assert decoded == frames
        peaks[path] = kibibytes / 1024
    assert peaks[hour] - peaks[minute] < 100, peaks
