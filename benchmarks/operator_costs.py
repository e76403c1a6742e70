"""What each operator costs: clip-seconds for one CPU-second, on generated 720p footage.

    python benchmarks/operator_costs.py [--seconds 10] [--write]

The baseline is decoding every frame without an operator, in the same run. `--write` puts the
table into docs/operator-costs.md, and the numbers to where `dj plan` reads them. Operators that
only read the row are not listed: they cost microseconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.reference_costs import DATA, OperatorCost, ReferenceCosts
from dj_ops_lib.errors import MissingExtraError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import Every, Frames, HeaderOnly, Observer, Size
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_class, operator_names

WIDTH, HEIGHT, FPS = 1280, 720, 30
PAGE = Path(__file__).parent.parent / "docs" / "operator-costs.md"
VARIANTS = [
    ("video_motion_score_filter", {"method": "dis"}),
    ("video_motion_score_filter", {"method": "motion_vectors"}),
    ("video_motion_score_filter", {"size": 256}),
    ("video_remove_watermark_mapper", {"detection_method": "still_edges"}),
    ("video_split_by_scene_mapper", {"detector": "AdaptiveDetector"}),
    ("video_split_by_scene_mapper", {"detector": "histogram"}),
    ("video_split_by_scene_mapper", {"verify": True}),
]


def footage(path: Path, seconds: float) -> Clip:
    """A clip with camera motion, grain, moving shapes, a cut each four seconds, and sound."""
    import av

    rng = np.random.default_rng(0)
    grounds = []
    for _ in range(4):
        cells = rng.integers(0, 256, (20, 40, 3)).astype(np.float32)
        grounds.append(cv2.resize(cells, (WIDTH * 2, HEIGHT), interpolation=cv2.INTER_CUBIC))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 60
        stream.options = {"crf": "23", "preset": "veryfast"}
        sound = container.add_stream("aac", rate=48_000)
        for i in range(round(seconds * FPS)):
            x = (3 * i) % WIDTH
            image = grounds[i // (4 * FPS) % 4][:, x : x + WIDTH]
            image = image + rng.normal(0, 4, (HEIGHT, WIDTH, 1))
            image = np.clip(image, 0, 255).astype(np.uint8)
            cv2.circle(image, (200 + 2 * i % 800, 360), 80, (40, 200, 240), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
        noise = rng.normal(0, 0.1, (2, round(seconds * 48_000))).astype(np.float32)
        for start in range(0, noise.shape[1], 1024):
            block = np.ascontiguousarray(noise[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
            frame.sample_rate, frame.pts = 48_000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    header = probe(str(path), Access((str(path.parent),)))
    values = {name: getattr(header, name) for name in header.__slots__}
    return Clip("c", "bench", "0", video_uri=str(path), **values)


class Nothing(Observer):
    """Looks at nothing."""


def cpu_seconds(clip: Clip, operator: Operator | None) -> float:
    """CPU time of one pass over the clip, the second one, when all is loaded."""
    access = Access((str(Path(str(clip.video_uri)).parent),))
    took = 0.0
    for _ in range(2):
        began = time.process_time()
        if operator is None:
            decode(clip, [(Frames(Every(), Size(exact=(16, 16)), "gray"), Nothing())], access)
        else:
            observer = operator.observe(clip)
            decode(clip, [(operator.needs(), observer)], access)
            observer.result()
        took = time.process_time() - began
    return took


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and {DATA.name}")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    plain = [(name, {}) for name in operator_names()]
    rows: list[tuple[str, dict[str, Any], float]] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = footage(Path(folder) / "footage.mp4", arguments.seconds)
        baseline = cpu_seconds(clip, None)
        for name, parameters in sorted([*plain, *VARIANTS], key=lambda v: (v[0], str(v[1]))):
            operator_class(name)
            operator = make_operator(name, parameters)
            if isinstance(operator.needs(), HeaderOnly):
                continue
            try:
                rows.append((name, parameters, cpu_seconds(clip, operator)))
            except MissingExtraError as error:
                print(f"{name}: {error}")
    seconds = clip.duration_s or arguments.seconds
    costs = ReferenceCosts(
        f"{seconds:.0f} s of generated {WIDTH}x{HEIGHT} at {FPS} frames a second, H.264, one core",
        round(seconds / baseline, 1),
        tuple(
            OperatorCost(
                name, parameters, float(f"{seconds / took:.4g}"), round(took / baseline, 3)
            )
            for name, parameters, took in sorted(rows, key=lambda row: row[2])
        ),
    )
    print(costs.page())
    if arguments.write:
        PAGE.write_text(costs.page(), encoding="utf-8")
        DATA.write_text(costs.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
