"""Deciding again from stored statistics, against measuring, for a million rows.

    python benchmarks/redecide.py [--rows 1000000]

Writes a shard of that many rows as if they had been measured with motion and
three header filters, moves a threshold, and runs the stage again through the
real warehouse. The cost of measuring is taken from real clips measured in the
same run, on the same number of workers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.engine.options import EngineOptions, available_cores
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.engine.tables import to_batches
from dj_ops_lib.media.access import Access
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Provenance, Warehouse

CLIPS = 24
CLIP_SECONDS = 4


def recipe(min_score: float) -> Recipe:
    """The recipe whose threshold moves."""
    operators = (
        make_operator("video_resolution_filter", {"min_width": 128, "min_height": 128}),
        make_operator("video_aspect_ratio_filter", {}),
        make_operator("video_duration_filter", {"min_duration": 1.0, "max_duration": 60.0}),
        make_operator("video_motion_score_filter", {"min_score": min_score, "max_score": 20.0}),
    )
    return Recipe("bench", (Stage("cleaned", operators),))


def write_clips(folder: Path) -> None:
    """Real H.264 clips, 640 x 360, of a texture that moves."""
    import av

    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (400, 1200, 3), dtype=np.uint8)
    for clip in range(CLIPS):
        with av.open(str(folder / f"{clip}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for i in range(25 * CLIP_SECONDS):
                at = (i * (1 + clip % 5)) % 500
                image = np.ascontiguousarray(texture[clip : clip + 360, at : at + 640])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def seconds_to_measure(root: Path, options: EngineOptions) -> float:
    """Wall seconds that one clip takes, measured on real ones."""
    warehouse = Warehouse(str(root / "real"))
    rows = [
        {"clip_id": str(i), "source": "s", "shard": "0", "source_id": str(i), "keep": True}
        for i in range(CLIPS)
    ]
    table = pa.Table.from_pylist(rows, CLIP_SCHEMA)
    warehouse.replace_shard(
        "s/raw", "0", table.to_batches(), schema=CLIP_SCHEMA, provenance=Provenance()
    )
    videos = root / "videos"

    def locate(source_id: str) -> str:
        return str(videos / f"{source_id}.mp4")

    probe_shard(warehouse, source="s", shard="0", options=options, locate=locate)
    report = process_shard(
        warehouse, recipe(0.25), "cleaned", source="s", shard="0", options=options
    )
    assert report.measured == CLIPS, report
    return report.wall_seconds / CLIPS


def stored_rows(count: int) -> pl.DataFrame:
    """Rows of the media table, each of its own content."""
    number = pl.int_range(pl.len())
    base = {
        "source": "s",
        "shard": "0",
        "video_uri": "/videos/clip.mp4",
        "availability": "ok",
        "width": 640,
        "height": 360,
        "fps": 25.0,
        "num_frames": 250,
        "duration_s": 10.0,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "video_codec": "h264",
        "text": "a man walks along the beach while the sun goes down behind the hills",
        "keep": True,
    }
    text = number.cast(pl.String).str.zfill(32)
    empty = pl.DataFrame(CLIP_SCHEMA.empty_table())
    return (
        empty.clear(count)
        .with_columns(pl.lit(v).cast(empty.schema[k]).alias(k) for k, v in base.items())
        .with_columns(
            text.alias("clip_id"),
            text.alias("source_id"),
            text.alias("media_id"),
            text.reverse().alias("signature"),
        )
    )


def store_measured(warehouse: Warehouse, rows: pl.DataFrame) -> None:
    """Write the media shard, and the stage's shard as if it had been measured before."""
    warehouse.replace_shard(
        "s/media", "0", to_batches(rows, CLIP_SCHEMA), schema=CLIP_SCHEMA, provenance=Provenance()
    )
    before = recipe(0.25)
    stage = before.stages[0]
    rng = np.random.default_rng(1)
    entries = [
        pl.struct(
            pl.lit(o.name).alias("operator"),
            (pl.lit(o.fingerprint()) + pl.col("signature")).alias("fingerprint"),
            pl.lit(None, pl.String).alias("result"),
        )
        for o in stage.operators
    ]
    measured = rows.with_columns(
        pl.concat_list(entries).alias("measured"),
        pl.col("width").alias("video_width"),
        pl.col("height").alias("video_height"),
        pl.lit(640 / 360).alias("video_aspect_ratios"),
        pl.lit(16).alias("video_aspect_numerator"),
        pl.lit(9).alias("video_aspect_denominator"),
        pl.lit(10.0).alias("video_duration"),
        pl.Series("video_motion_score", rng.gamma(2.0, 2.0, len(rows))),
    )
    schema = before.schema(stage)
    missing = set(schema.names) - set(measured.columns)
    assert not missing, f"columns that the benchmark does not fill: {missing}"
    warehouse.replace_shard(
        "s/bench/cleaned", "0", to_batches(measured, schema), schema=schema, provenance=Provenance()
    )


def decide_again(warehouse: Warehouse, options: EngineOptions) -> tuple[StageReport, float]:
    """Move the threshold; wall seconds from reading the input to the commit."""
    started = time.monotonic()
    report = process_shard(
        warehouse, recipe(1.0), "cleaned", source="s", shard="0", options=options
    )
    return report, time.monotonic() - started


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="redecide-") as folder:
        root = Path(folder)
        (root / "videos").mkdir()
        write_clips(root / "videos")
        options = EngineOptions(access=Access(roots=(str(root / "videos"),)))
        per_clip = seconds_to_measure(root, options)
        warehouse = Warehouse(str(root / "warehouse"))
        store_measured(warehouse, stored_rows(count))
        report, seconds = decide_again(warehouse, options)
    assert report.measured == 0, report
    assert report.rows_out == count, report
    table = Table(title=f"{count:,} rows, {available_cores()} cores, load {os.getloadavg()[0]:.1f}")
    for column in ("what", "seconds", "of measuring"):
        table.add_column(column, justify="right")
    measuring = per_clip * count
    table.add_row(
        f"measuring (from {CLIPS} clips of {CLIP_SECONDS} s)", f"{measuring:,.0f}", "100 %"
    )
    table.add_row("deciding again", f"{seconds:.2f}", f"{100 * seconds / measuring:.4f} %")
    Console().print(table)
    Console().print(f"CPU seconds of deciding again: {report.cpu_seconds:.2f}")
    Console().print(f"kept {report.kept:,}, rejected {dict(report.rejected)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
