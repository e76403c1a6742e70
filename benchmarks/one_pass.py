"""One decode for a whole wave, against decoding alone.

    python benchmarks/one_pass.py [--seconds 12] [--rounds 3]

A wave of motion (DIS at 256 px), scene cuts, black and frozen time, letterbox, a
perceptual signature and three uniform frames on 720p H.264, and a wave that
looks at key frames only (one every 60), each divided by a bare PyAV decode of
the same file on one thread. All take turns, so that a change of the machine's
load hits every one; CPU seconds of the best round count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
from rich.console import Console
from rich.table import Table

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.ffmpeg import run_ffmpeg
from dj_ops_lib.media.frames import DecodeReport, decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import Frame, Frames, KeyFrames, Need, Observer, Uniform
from dj_ops_lib.recipe_file import make_operator

WAVE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("video_motion_score_filter", {"method": "dis", "max_size": 256}),
    ("video_split_by_scene_mapper", {}),
    ("video_black_freeze_filter", {}),
    ("video_letterbox_filter", {}),
    ("video_near_deduplicator", {}),
)
TARGETS = {"wave": 1.4, "key frames": 1 / 12}


class Look(Observer):
    """Does nothing with what it sees, like a model that is not there."""

    def frame(self, frame: Frame) -> None:
        """Touch the picture."""
        int(frame.image[0, 0, 0])

    def result(self) -> None:
        """Nothing."""


def write_video(path: Path, seconds: int) -> None:
    """720p, 30 frames a second, a key frame every 60, 5 to 6 Mb/s, as decode-costs.md has it."""
    picture = f"mandelbrot=size=1280x720:rate=30,noise=alls=8:allf=t,trim=duration={seconds}"
    run_ffmpeg(
        *("-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23"),
        *("-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-pix_fmt", "yuv420p", str(path)),
    )


def bare(path: Path) -> int:
    """Decode every frame with PyAV on one thread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def wave(clip: Clip, access: Access) -> DecodeReport:
    """The whole wave in one pass."""
    operators = [make_operator(name, parameters) for name, parameters in WAVE]
    wanted: list[tuple[Need, Observer]] = [(o.needs(), o.observe(clip)) for o in operators]
    wanted.append((Frames(Uniform(3)), Look()))
    report = decode(clip, wanted, access)
    for _, observer in wanted:
        observer.result()
    return report


def key_frames(clip: Clip, access: Access) -> DecodeReport:
    """Key frames, at the size that an image model takes."""
    return decode(clip, [(Frames(KeyFrames()), Look())], access)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process for one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=12, help="length of the video")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, arguments.seconds)
        access = Access((folder,))
        header = probe(str(path), access)
        clip = Clip(
            *("benchmark", "benchmark", "0"),
            video_uri=str(path),
            width=header.width,
            height=header.height,
            fps=header.fps,
            num_frames=header.num_frames,
            duration_s=header.duration_s,
        )
        work: dict[str, Callable[[], object]] = {
            "bare decode": lambda: bare(path),
            "wave": lambda: wave(clip, access),
            "key frames": lambda: key_frames(clip, access),
        }
        wave(clip, access)  # imports and OpenCV's first call are not decoding
        rounds = [
            {name: cpu_seconds(run) for name, run in work.items()} for _ in range(arguments.rounds)
        ]
        times = {name: min(taken[name] for taken in rounds) for name in work}
        report = wave(clip, access)
    table = Table("work", "CPU s", "of bare decode", "target")
    for name, seconds in times.items():
        ratio = seconds / times["bare decode"]
        target = f"{TARGETS[name]:.3f}" if name in TARGETS else ""
        table.add_row(name, f"{seconds:.2f}", f"{ratio:.3f}", target)
    console = Console()
    console.print(table)
    console.print(
        f"{header.num_frames} frames; the wave of {len(WAVE) + 1} plans decoded "
        f"{report.frames_decoded}, delivered {report.frames_delivered} and converted "
        f"{report.conversions}; key frames alone {times['bare decode'] / times['key frames']:.1f} "
        "times as fast as the decode"
    )


if __name__ == "__main__":
    main()
