"""Small real videos, shards made of them, and a look at the processes that make them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import psutil
import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, clip_id
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Provenance, Warehouse

FPS = 10


def write_video(
    path: Path, seconds: float, *, level: int = 128, size: int = 64, gop: int = 10
) -> None:
    """A bright square that moves over a background of grey `level`; 10 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"threads": "1"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        stream.time_base = Fraction(1, FPS)
        for i in range(round(seconds * FPS)):
            image = np.full((size, size, 3), level, np.uint8)
            at = i * 3 % (size - 8)
            image[at : at + 8, at : at + 8] = 255 - level
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@dataclasses.dataclass
class Workshop:
    """A warehouse with a source `toys`, and how to run stages on it."""

    root: Path
    warehouse: Warehouse
    options: EngineOptions

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    def raw(self, shard: str, entries: list[dict[str, Any]]) -> None:
        """Write a raw shard; an entry is `source_id` and any other column."""
        rows = []
        for number, entry in enumerate(entries):
            span = entry.get("start_s"), entry.get("end_s")
            row = {"source": "toys", "shard": shard, "keep": True} | entry
            row["clip_id"] = clip_id("toys", f"{shard}/{entry['source_id']}", *span, number)
            rows.append(row)
        table = pa.Table.from_pylist(rows, CLIP_SCHEMA)
        self.warehouse.replace_shard(
            "toys/raw", shard, table.to_batches(), schema=CLIP_SCHEMA, provenance=Provenance()
        )

    def locate(self, source_id: str) -> str | None:
        path = self.videos / f"{source_id}.mp4"
        return str(path) if path.exists() else None

    def probe(self, shard: str = "0", **changes: Any) -> StageReport:
        options = dataclasses.replace(self.options, **changes)
        return probe_shard(
            self.warehouse, source="toys", shard=shard, options=options, locate=self.locate
        )

    def run(
        self, *operators: Operator, shard: str = "0", recipe: str = "r", **changes: Any
    ) -> StageReport:
        """Run the operators as the only stage of a recipe."""
        options = dataclasses.replace(self.options, **changes)
        made = Recipe(recipe, (Stage("cleaned", operators),))
        return process_shard(
            self.warehouse, made, "cleaned", source="toys", shard=shard, options=options
        )

    def rows(self, table: str = "toys/r/cleaned", shard: str = "0") -> list[dict[str, Any]]:
        return self.frame(table, shard).to_dicts()

    def frame(self, table: str = "toys/r/cleaned", shard: str = "0") -> pl.DataFrame:
        batches = list(self.warehouse.read_shard(table, shard))
        return pl.DataFrame(pa.Table.from_batches(batches))


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that a process has started."""
    return [c for c in process.children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]


def wait_for(condition: Callable[[], bool]) -> None:
    """Look ten times a second, for a minute at most; the other program cannot tell us."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")
