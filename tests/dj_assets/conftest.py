"""A small source on disk, real video bytes included, and definitions over it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from dj_assets.build import build_defs
from dj_assets.resources import Compute, WarehouseResource
from dj_ops_lib.media.ffmpeg import find_ffmpeg

MOVING = "testsrc2=s=192x128:r=10:d=2"
STILL = "color=c=teal:s=192x128:r=10:d=2"


@pytest.fixture(scope="session")
def msr_vtt_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with five MSR-VTT entries: two move, one is still, one is gone, one is bad.

    Three entries make a shard.
    """
    root = tmp_path_factory.mktemp("data")
    videos = root / "msr_vtt" / "videos"
    videos.mkdir(parents=True)
    for name, pattern in (("video0", MOVING), ("video1", STILL), ("video3", MOVING + ",hue=h=90")):
        command = [find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", pattern]
        command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(videos / f"{name}.mp4")]
        subprocess.run(command, check=True)
    (videos / "video4.mp4").write_bytes(b"not a video")
    entries = [
        {"video_id": f"video{i}", "category": 1, "url": "", "start time": 0.0, "end time": 2.0,
         "split": "train", "id": i}
        for i in range(5)
    ]  # fmt: skip
    sentences = [{"video_id": f"video{i}", "caption": "a pattern", "sen_id": i} for i in range(5)]
    tables = {"info": {}, "videos": entries, "sentences": sentences}
    path = root / "msr_vtt" / "train_val_videodatainfo.json"
    path.write_text(json.dumps(tables), encoding="utf-8")
    (root / "msr_vtt" / "source.yaml").write_text("rows_per_shard: 3\n", encoding="utf-8")
    return root


@pytest.fixture
def definitions(msr_vtt_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The project's definitions over `msr_vtt_files` and an empty warehouse."""
    monkeypatch.setenv("DJ_DATA", str(msr_vtt_files))
    return build_defs(
        warehouse=WarehouseResource(uri=str(tmp_path / "warehouse")), compute=Compute(workers=1)
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
