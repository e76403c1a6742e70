"""Scene cuts: F1 on generated cuts, fades and flashes, against PySceneDetect's own command.

    python benchmarks/scene_cuts.py [--files 12]

Each file has hard cuts and fades through black, which are scene changes, and flashes and fast
pans, which are not. A change counts as found within 2 frames of a cut and inside the black and
the fades of a fade. The baseline is the library's command on the same files, in the same run.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import polars as pl

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.recipe_file import make_operator

Image = npt.NDArray[np.uint8]
WIDTH, HEIGHT, FPS = 640, 360, 25
FADE = 12
COMMANDS = {
    "ContentDetector": "detect-content",
    "AdaptiveDetector": "detect-adaptive",
    "ThresholdDetector": "detect-threshold",
    "histogram": "detect-hist",
}


def shot(rng: np.random.Generator, frames: int) -> list[Image]:
    """A shot with a camera move, some of them fast, a moving shape, and perhaps a flash."""
    cells = rng.integers(0, 256, (6, 14, 3)).astype(np.float32)
    ground = cv2.resize(cells, (WIDTH * 3, HEIGHT), interpolation=cv2.INTER_CUBIC)
    ground = np.clip(ground * rng.uniform(0.5, 1) + rng.uniform(10, 60), 25, 255)
    speed = rng.choice([0, 1, 3, 12])
    flash = int(rng.integers(8, frames - 8)) if rng.random() < 0.3 else -9
    images = []
    for i in range(frames):
        x = int(speed * i) % (WIDTH * 2)
        image = (ground[:, x : x + WIDTH] + rng.normal(0, 3, (HEIGHT, WIDTH, 1))).clip(0, 255)
        place = int(50 + 6 * i) % WIDTH, int(HEIGHT / 2 + 60 * np.sin(i / 9))
        cv2.circle(image, place, 40, (250, 60, 60), -1)
        if 0 <= i - flash < 2:
            image = image * 0.3 + 180
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


def film(seed: int) -> tuple[list[Image], list[tuple[int, int]]]:
    """Pictures, and where scenes change: first and last frame that counts as right."""
    rng = np.random.default_rng(seed)
    images = shot(rng, int(rng.integers(30, 90)))
    changes: list[tuple[int, int]] = []
    for _ in range(6):
        following = shot(rng, int(rng.integers(30, 90)))
        at = len(images)
        if rng.random() < 0.4:
            for k in range(FADE):
                images[at - FADE + k] = (images[at - FADE + k] * (1 - k / FADE)).astype(np.uint8)
                following[k] = (following[k] * (k / FADE)).astype(np.uint8)
            changes.append((at - FADE, at + FADE))
        else:
            changes.append((at - 2, at + 2))
        images += following
    return images, changes


def encode(path: Path, images: list[Image]) -> None:
    """An H.264 file of these pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "23", "preset": "ultrafast"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))


def our_cuts(path: Path, detector: str, *, verify: bool = False) -> list[int]:
    """Frames at which our splitter cuts."""
    access = Access((str(path.parent),))
    header = probe(str(path), access)
    values = {name: getattr(header, name) for name in header.__slots__}
    clip = Clip("c", "bench", "0", video_uri=str(path), **values)
    operator = make_operator(
        "video_split_by_scene_mapper", {"detector": detector, "verify": verify}
    )
    observer = operator.observe(clip)
    decode(clip, [(operator.needs(), observer)], access)
    return [round(span.start_s * FPS) for span in observer.result()[1:]]


def their_cuts(path: Path, detector: str) -> list[int]:
    """Frames at which PySceneDetect's command cuts, with the same shortest scene."""
    command = [sys.executable, "-m", "scenedetect", "-q", "-i", str(path), "-o", str(path.parent)]
    command += ["-m", "15", COMMANDS[detector], "list-scenes", "-q", "-s", "-f", "scenes.csv"]
    subprocess.run(command, check=True, capture_output=True)
    with (path.parent / "scenes.csv").open(newline="") as file:
        return [int(row["Start Frame"]) - 1 for row in csv.DictReader(file)][1:]


def score(found: list[int], changes: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Right, wrong and missed; each change can be found once."""
    left = list(changes)
    right = 0
    for frame in found:
        hit = next((c for c in left if c[0] <= frame <= c[1]), None)
        if hit:
            left.remove(hit)
            right += 1
    return right, len(found) - right, len(left)


def cpu_of(who: int) -> float:
    """CPU seconds of this process or of its children so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def measured(files: int) -> Iterator[dict[str, object]]:
    """One row for each detector."""
    truth: list[list[tuple[int, int]]] = []
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{i}.mp4" for i in range(files)]
        for seed, path in enumerate(paths):
            images, changes = film(seed)
            encode(path, images)
            truth.append(changes)
        for detector in COMMANDS:
            totals = {"ours": np.zeros(3), "theirs": np.zeros(3), "verified": np.zeros(3)}
            same = 0
            before = cpu_of(resource.RUSAGE_SELF), cpu_of(resource.RUSAGE_CHILDREN)
            for path, changes in zip(paths, truth, strict=True):
                ours, theirs = our_cuts(path, detector), their_cuts(path, detector)
                totals["ours"] += score(ours, changes)
                totals["theirs"] += score(theirs, changes)
                same += ours == theirs
            ours_s = cpu_of(resource.RUSAGE_SELF) - before[0]
            theirs_s = cpu_of(resource.RUSAGE_CHILDREN) - before[1]
            for path, changes in zip(paths, truth, strict=True):
                totals["verified"] += score(our_cuts(path, detector, verify=True), changes)
            f1 = {k: 2 * v[0] / (2 * v[0] + v[1] + v[2]) for k, v in totals.items()}
            yield {
                "detector": detector,
                "F1 ours": round(float(f1["ours"]), 3),
                "F1 theirs": round(float(f1["theirs"]), 3),
                "F1 ours, verify": round(float(f1["verified"]), 3),
                "files cut the same": f"{same} of {files}",
                "CPU time, theirs / ours": round(theirs_s / ours_s, 1),
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=12)
    cv2.setNumThreads(1)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=120):
        print(pl.DataFrame(list(measured(parser.parse_args().files))))
