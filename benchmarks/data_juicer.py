"""The same eight-operator recipe by Data-Juicer and by this project, side by side.

    python benchmarks/data_juicer.py [--env DIR] [--workers 2] [--seconds 8]

Builds an environment with the released peer the first time (minutes), writes
videos with known motion and cuts, and lets both run one recipe file over them
with the same number of workers. Both kept sets and all motion scores are
compared. Data-Juicer writes a file for every piece; this project decides and
writes tables, then renders what is left once. Each side's start-up is left out: the
peer is timed operator by operator inside its process, ours with its workers
started.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml
from peer.environment import add_env_argument, peer_python, run_in_peer
from rich.console import Console
from rich.table import Table

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.files import run_recipe_on_files
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.pool import run_in_workers
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.render import Rendered, render
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Warehouse

PEER = """
import json, sys, time

def main():
    import yaml
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops import load_ops

    recipe, listing, result = sys.argv[1:4]
    operators = load_ops(yaml.safe_load(open(recipe))["process"])
    paths = json.load(open(listing))
    samples = NestedDataset.from_list(
        [{"text": "<__dj__video> a clip <|__dj__eoc|>", "videos": [p]} for p in paths]
    )
    seconds, kept, scores = {}, None, {}
    for operator in operators:
        started = time.monotonic()
        samples = samples.process([operator])
        seconds[operator._name] = time.monotonic() - started
        if operator._name == "video_motion_score_filter":
            kept = [row["videos"][0] for row in samples]
            for row in samples:
                scores[row["videos"][0]] = row["__dj__stats__"]["video_motion_score"][0]
    pieces = sum(len(row["videos"]) for row in samples)
    json.dump(
        {"seconds": seconds, "kept": kept, "scores": scores, "pieces": pieces}, open(result, "w")
    )

if __name__ == "__main__":
    main()
"""


def recipe_text(outputs: str, workers: int, *, native: bool = False) -> str:
    """The recipe, in Data-Juicer's own format; `native` takes our motion instead of theirs."""
    ours = {"method": "dis", "max_size": 256} if native else {}
    written = {"save_dir": outputs}
    process: list[dict[str, dict[str, Any]]] = [
        {"video_resolution_filter": {"min_width": 320, "min_height": 180}},
        {"video_aspect_ratio_filter": {}},
        {"video_duration_filter": {"min_duration": 2}},
        {"video_motion_score_filter": {"min_score": 0.25, **ours}},
        {"video_split_by_scene_mapper": written},
        {
            "video_split_by_duration_mapper": {
                "split_duration": 4,
                "keep_original_sample": False,
                **written,
            }
        },
        {"video_split_by_key_frame_mapper": {"keep_original_sample": False, **written}},
        {"video_resize_resolution_mapper": {"max_height": 240, **written}},
    ]
    for entry in process:
        for parameters in entry.values():
            parameters["num_proc"] = workers
    return yaml.safe_dump({"project_name": "peer", "process": process}, sort_keys=False)


def write_videos(folder: Path, seconds: int) -> list[str]:
    """Eight files of 640 x 360: six that move and cut at half time, a still and a tiny one."""
    rng = np.random.default_rng(0)
    scenes = []
    for tint in ((0.9, 0.5, 0.2), (0.2, 0.5, 0.9)):
        coarse = rng.integers(0, 255, (15, 70, 3)) * np.array(tint)
        scenes.append(
            cv2.resize(coarse.astype(np.uint8), (1680, 360), interpolation=cv2.INTER_CUBIC)
        )
    paths = []
    for number in range(8):
        width, height = (640, 360) if number < 7 else (160, 90)
        speed = 0 if number == 6 else 2 + number
        path = folder / f"clip{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.gop_size = 50
            for i in range(25 * seconds):
                scene = scenes[0 if number == 6 else int(i >= 25 * seconds // 2)]
                at = (i * speed) % 1000
                image = np.ascontiguousarray(scene[:height, at : at + width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        paths.append(str(path))
    return paths


def run_peer(python: str, root: Path, paths: list[str], workers: int) -> dict[str, Any]:
    """Seconds by operator, kept paths and motion scores, as the peer reports them."""
    recipe, listing, result = (root / n for n in ("peer.yaml", "paths.json", "peer.json"))
    outputs = root / "peer_outputs"
    outputs.mkdir()
    recipe.write_text(recipe_text(str(outputs), workers))
    listing.write_text(json.dumps(paths))
    run_in_peer(python, PEER, recipe, listing, result, folder=root)
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def run_ours(
    root: Path, paths: list[str], workers: int, *, native: bool
) -> tuple[float, dict[str, float], list[StageReport]]:
    """Wall seconds of all stages, motion score by kept path, reports."""
    name = "native" if native else "same"
    path = root / f"{name}.yaml"
    path.write_text(recipe_text(str(root), workers, native=native))
    recipe = load_recipe(path)
    warehouse = Warehouse(str(root / name))
    options = EngineOptions(Access(()), workers=workers)
    started = time.monotonic()
    reports = run_recipe_on_files(warehouse, recipe, paths, options=options)
    seconds = time.monotonic() - started
    rows = warehouse.scan(
        "files/peer/cleaned", columns=["source_id", "video_motion_score"], where="keep = true"
    )
    scores = {r["source_id"]: r["video_motion_score"] for batch in rows for r in batch.to_pylist()}
    return seconds, scores, reports


def render_ours(root: Path, workers: int) -> tuple[float, int]:
    """Wall seconds to render the last stage's clips as files, and their number."""
    warehouse = Warehouse(str(root / "same"))
    batches = warehouse.scan("files/peer/cleaned_2", where="keep = true")
    clips = [Clip.from_row(r) for batch in batches for r in batch.to_pylist()]
    folder = root / "rendered"
    folder.mkdir()
    # x264's own default quality, which is what the peer's ffmpeg takes too.
    calls = [(c, folder, Access((str(root),)), Rendering(crf=23)) for c in clips]
    started = time.monotonic()
    results = run_in_workers(
        render, calls, workers=workers, memory_mb=4096, deadlines=[600.0] * len(calls)
    )
    failed = [r for _, r in results if not isinstance(r, Rendered)]
    if failed:
        raise SystemExit(f"{len(failed)} clips were not rendered: {failed[0]}")
    return time.monotonic() - started, len(list(folder.iterdir()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_env_argument(parser)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=8, help="length of a video")
    arguments = parser.parse_args()
    python = peer_python(arguments.env)
    with tempfile.TemporaryDirectory(prefix="data-juicer-") as folder:
        root = Path(folder)
        paths = write_videos(root, arguments.seconds)
        run_ours_first = root / "warm"  # starts our workers, as the peer's imports are left out
        run_ours_first.mkdir()
        run_ours(run_ours_first, paths[-1:], arguments.workers, native=False)
        same, scores, _ = run_ours(root, paths, arguments.workers, native=False)
        rendering, files = render_ours(root, arguments.workers)
        native, _, _ = run_ours(root, paths, arguments.workers, native=True)
        peer = run_peer(python, root, paths, arguments.workers)
    console = Console()
    total = sum(peer["seconds"].values())
    table = Table(
        title=f"{len(paths)} videos of {arguments.seconds} s, {arguments.workers} workers, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for column in ("who", "seconds", "times faster"):
        table.add_column(column, justify="right")
    for name, seconds in peer["seconds"].items():
        table.add_row(f"peer: {name}", f"{seconds:.2f}", "")
    table.add_row("peer, all", f"{total:.2f}", "1.0")
    table.add_row("ours, same parameters, decisions", f"{same:.2f}", f"{total / same:.1f}")
    table.add_row("ours, native motion, decisions", f"{native:.2f}", f"{total / native:.1f}")
    both = same + rendering
    name = f"ours, same parameters, {files} files rendered"
    table.add_row(name, f"{both:.2f}", f"{total / both:.1f}")
    console.print(table)
    console.print(f"the peer made {peer['pieces']} pieces")
    agree = set(peer["kept"]) == set(scores)
    worst = max(
        (abs(scores[p] / s - 1) for p, s in peer["scores"].items() if p in scores and s),
        default=0.0,
    )
    console.print(
        f"kept sets {'agree' if agree else 'DIFFER'}: {len(scores)} of {len(paths)}; "
        f"largest difference of a motion score {100 * worst:.2f} %"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
