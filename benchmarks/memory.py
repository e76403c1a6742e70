"""Peak memory of a worker's pass over a long file against a short one.

    python benchmarks/memory.py [--minutes 60]

A 1080p file of one minute, and the same minute repeated by stream copy. Each is
measured in a process of its own by what a worker runs, with motion, scene cuts
and the black, frozen and letterbox measures in one pass.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.measuring import Task, measure_task
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.media.probe import probe
from dj_ops_lib.recipe_file import make_operator

OPERATORS = {
    "video_motion_score_filter": {"method": "dis", "size": 256},
    "video_split_by_scene_mapper": {},
    "video_black_freeze_filter": {},
    "video_letterbox_filter": {},
}


def measure(path: str) -> float:
    """Peak resident memory in MiB of a pass over `path` in this process."""
    access = Access(roots=(str(Path(path).parent),))
    header = probe(path, access)
    clip = Clip(
        "clip",
        "bench",
        "0",
        video_uri=path,
        width=header.width,
        height=header.height,
        fps=header.fps,
        num_frames=header.num_frames,
        duration_s=header.duration_s,
    )
    operators = tuple((name, make_operator(name, given)) for name, given in OPERATORS.items())
    outcome = measure_task(Task(clip, operators), access)
    failures = [m.failure for m in outcome.measurements.values() if m.failure]
    if failures:
        raise SystemExit(f"{path}: {failures[0]}")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_files(folder: Path, minutes: int) -> list[Path]:
    """The file of one minute and the file of `minutes`."""
    ffmpeg = [str(find_ffmpeg()), "-v", "error", "-y"]
    short, long = folder / "short.mp4", folder / "long.mp4"
    source = "testsrc2=size=1920x1080:rate=30:duration=60"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60"]
    subprocess.run([*ffmpeg, "-f", "lavfi", "-i", source, *encode, str(short)], check=True)
    repeat = ["-stream_loop", str(minutes - 1), "-i", str(short), "-c", "copy", str(long)]
    subprocess.run([*ffmpeg, *repeat], check=True)
    return [short, long]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(arguments.one))
        return 0
    peaks = []
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        for path in write_files(Path(folder), arguments.minutes):
            command = [sys.executable, __file__, "--one", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.append(float(done.stdout))
    table = Table(title=f"1080p, peak resident memory, load {os.getloadavg()[0]:.1f}")
    for column in ("minutes", "MiB", "more than the first"):
        table.add_column(column, justify="right")
    for minutes, peak in zip((1, arguments.minutes), peaks, strict=True):
        table.add_row(str(minutes), f"{peak:.0f}", f"{peak - peaks[0]:+.0f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
