"""Throughput on two workers against one, through the whole engine and warehouse.

    python benchmarks/cores.py [--workers 2]

A stage with motion and scene cuts over real H.264 clips of different lengths.
Rounds with one worker and with several take turns, so that a change of the
machine's load hits both; the best round of each counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.engine.options import EngineOptions, available_cores
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.media.access import Access
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.warehouse import Provenance, Warehouse

CLIPS = 24
ROUNDS = 2


def write_clips(folder: Path) -> None:
    """Clips of 2 to 9 s, 640 x 360, 25 frames a second, of a texture that moves."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (600, 1400, 3), dtype=np.uint8)
    for clip in range(CLIPS):
        with av.open(str(folder / f"{clip}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for i in range(25 * (2 + clip % 8)):
                at = (i * (1 + clip % 3)) % 400
                image = np.ascontiguousarray(texture[clip : clip + 360, at : at + 640])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def make_media(warehouse: Warehouse, folder: Path, options: EngineOptions) -> None:
    """The media table of all clips."""
    rows = [
        {"clip_id": str(i), "source": "s", "shard": "0", "source_id": str(i), "keep": True}
        for i in range(CLIPS)
    ]
    table = pa.Table.from_pylist(rows, CLIP_SCHEMA)
    warehouse.replace_shard(
        "s/raw", "0", table.to_batches(), schema=CLIP_SCHEMA, provenance=Provenance()
    )

    def locate(source_id: str) -> str:
        return str(folder / f"{source_id}.mp4")

    probe_shard(warehouse, source="s", shard="0", options=options, locate=locate)


def video_seconds_per_second(root: Path, workers: int, number: int) -> float:
    """One round in a warehouse of its own, so that nothing is reused."""
    warehouse = Warehouse(str(root / f"warehouse{number}"))
    options = EngineOptions(access=Access(roots=(str(root),)), workers=workers)
    make_media(warehouse, root, options)  # and the workers are started
    operators = (
        make_operator("video_motion_score_filter", {"min_score": 0.0, "size": 128}),
        make_operator("video_split_by_scene_mapper", {}),
    )
    recipe = Recipe("bench", (Stage("cleaned", operators),))
    report = process_shard(warehouse, recipe, "cleaned", source="s", shard="0", options=options)
    assert report.measured == CLIPS, report
    return report.video_seconds / report.wall_seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    best = {1: 0.0, workers: 0.0}
    with tempfile.TemporaryDirectory(prefix="cores-") as folder:
        root = Path(folder)
        write_clips(root)
        for number in range(ROUNDS):
            for count in (1, workers):
                rate = video_seconds_per_second(root, count, 2 * number + (count > 1))
                best[count] = max(best[count], rate)
    table = Table(title=f"{CLIPS} clips, {available_cores()} cores, load {os.getloadavg()[0]:.1f}")
    for column in ("workers", "video-s/s", "ratio"):
        table.add_column(column, justify="right")
    for count, rate in best.items():
        table.add_row(str(count), f"{rate:.2f}", f"{rate / best[1]:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
