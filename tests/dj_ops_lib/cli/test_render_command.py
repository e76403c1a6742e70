"""`dj render` makes files of a table's clips, and says what it did with each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, signature
from dj_ops_lib.warehouse import Provenance, Warehouse


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one video of two seconds and a table of three clips of it."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for i in range(20):
            image = np.full((64, 64, 3), i * 12, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    spans = {"whole": (0.0, 2.0), "piece": (0.5, 1.3), "lost": (0.0, 1.0)}
    rows = [
        Clip(
            *(name, "s", "0"),
            video_uri=str(tmp_path / ("a.mp4" if name != "lost" else "lost.mp4")),
            start_s=start,
            end_s=end,
            signature=signature("sha256:x", start, end, ()),
        ).to_row()
        for name, (start, end) in spans.items()
    ]
    Warehouse(str(tmp_path / "warehouse")).replace_shard(
        "s/t/cleaned",
        "0",
        pa.Table.from_pylist(rows, CLIP_SCHEMA).to_batches(),
        schema=CLIP_SCHEMA,
        provenance=Provenance(),
    )
    return tmp_path


def dj_render(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dj_ops_lib.cli import app; app()", "render"]
    command += ["s/t/cleaned", "--warehouse", str(place / "warehouse"), "--out", str(place / "out")]
    command += ["--root", str(place), "--workers", "1", "--preset", "ultrafast", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_clips_become_files_and_a_lost_video_costs_only_its_own(place: Path) -> None:
    first = dj_render(place, "--json")
    found = {line["clip_id"]: line for line in map(json.loads, first.stdout.splitlines())}
    assert {name: line["how"] for name, line in found.items()} == {
        "whole": "copied",
        "piece": "encoded",
        "lost": None,
    }
    assert found["lost"]["error"]["class"] == "missing"
    assert first.returncode == 1
    frames = {"whole": 20, "piece": 8}
    for name, number in frames.items():
        with av.open(found[name]["path"]) as container:
            assert sum(1 for _ in container.decode(video=0)) == number
    again = dj_render(place)
    assert "1 failed, 2 found" in again.stdout
    assert "lost: missing" in again.stdout
    assert len(list((place / "out").iterdir())) == 2


def test_rows_are_chosen_by_sql(place: Path) -> None:
    done = dj_render(place, "--where", "clip_id = 'whole'")
    assert done.returncode == 0, done.stderr
    assert "1 copied" in done.stdout
