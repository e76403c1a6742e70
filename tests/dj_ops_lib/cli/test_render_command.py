"""`dj render` makes files of a table's clips, and says what it did with each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, signature
from dj_ops_lib.warehouse import Provenance, Warehouse
from tests.dj_ops_lib.warehouse.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed


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
    write_table(tmp_path, spans, str(tmp_path))
    return tmp_path


def write_table(place: Path, spans: dict[str, tuple[float, float]], videos: str) -> None:
    """Write the table of clips, all of `a.mp4` but the one that is called `lost`."""
    rows = [
        Clip(
            *(name, "s", "0"),
            source_id="lost" if name == "lost" else "a",
            video_uri=f"{videos}/{'lost' if name == 'lost' else 'a'}.mp4",
            start_s=start,
            end_s=end,
            signature=signature("sha256:x", start, end, ()),
        ).to_row()
        for name, (start, end) in spans.items()
    ]
    Warehouse(str(place / "warehouse")).replace_shard(
        "s/t/cleaned",
        "0",
        pa.Table.from_pylist(rows, CLIP_SCHEMA).to_batches(),
        schema=CLIP_SCHEMA,
        provenance=Provenance(),
    )


def dj(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from dj_ops_lib.cli import app; app()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )


def dj_render(
    place: Path, *options: str, root: str = "", out: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    command = ["render", "s/t/cleaned", "--warehouse", str(place / "warehouse")]
    command += ["--out", out or str(place / "out"), "--root", root or str(place)]
    command += ["--workers", "1", "--preset", "ultrafast", *options]
    return dj(*command, **environment)


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


def test_files_that_no_table_names_are_listed_and_removed_when_told_to(place: Path) -> None:
    dj_render(place, "--where", "clip_id = 'whole'")
    (file,) = (place / "out").iterdir()
    command = ["prune", str(place / "out"), "--warehouse", str(place / "warehouse")]
    assert "0 files" in dj(*command).stdout  # it is too young
    told = dj(*command, "--older-hours", "0").stdout
    assert str(file) in told
    assert "1 files, 0.0 MiB, that no table names" in told
    assert file.exists()
    assert "1 files, 0.0 MiB, removed" in dj(*command, "--older-hours", "0", "--delete").stdout
    assert not file.exists()


@pytest.mark.s3
@pytest.mark.slow
def test_clips_go_from_bucket_to_bucket_and_a_takedown_finds_them_there(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        body = (place / "a.mp4").read_bytes()
        server.client().put_object(Bucket=BUCKET, Key="videos/a.mp4", Body=body)
        write_table(place, {"piece": (0.5, 1.3), "rest": (0.7, 2.0)}, f"s3://{BUCKET}/videos")
        there = {"root": f"s3://{BUCKET}/videos", "out": f"s3://{BUCKET}/files"}
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        by_option = ["--endpoint-url", server.endpoint, "--region", "us-east-1"]
        first = dj_render(place, "--json", *by_option, **there, **keys)
        assert first.returncode == 0, first.stderr
        lines = [json.loads(line) for line in first.stdout.splitlines()]
        assert [line["how"] for line in lines] == ["encoded"] * 2
        assert SECRET_KEY not in first.stdout + first.stderr
        by_environment = {"AWS_ENDPOINT": server.endpoint, "AWS_REGION": "us-east-1"}
        assert "2 found" in dj_render(place, **there, **keys, **by_environment).stdout
        files = {
            f"s3://{BUCKET}/{o['Key']}": o["Size"]
            for o in server.client().list_objects_v2(Bucket=BUCKET, Prefix="files/")["Contents"]
        }
        assert set(files) == {line["path"] for line in lines}
        assert min(files.values()) > 1000
        gone = dj("takedown", "--source-id", "a", "--warehouse", str(place / "warehouse"),
                  **keys, **by_environment, DJ_RENDERED=there["out"])  # fmt: skip
        assert gone.returncode == 0, gone.stderr
        assert gone.stdout.count("file removed") == 2
        left = server.client().list_objects_v2(Bucket=BUCKET, Prefix="files/")
        assert [o for o in left.get("Contents", []) if not o["Key"].endswith("/")] == []
    finally:
        server.stop()


@pytest.mark.parametrize("cut", ["exact", "copy"])
def test_all_clips_of_a_turned_video_are_upright_files_unless_asked_otherwise(
    place: Path, cut: str
) -> None:
    """A piece from a key frame could be copied, the other could not: flags must not differ."""
    upright, turned = place / "a.mp4", place / "turned.mp4"
    with av.open(str(upright)) as reader, av.open(str(turned), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(-90)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    turned.replace(upright)
    ways = {"plain": (0, {"encoded"}), "as_stored": (-90, {"copied", "encoded"})}
    if cut == "copy":
        ways["as_stored"] = (-90, {"copied"})
    for pictures, (rotation, how) in ways.items():
        out = place / pictures
        options = ("--cut", cut, "--pictures", pictures, "--json", "--where", "source_id = 'a'")
        done = dj_render(place, *options, out=str(out))
        assert done.returncode == 0, done.stderr
        assert {json.loads(line)["how"] for line in done.stdout.splitlines()} == how
        files = list(out.glob("*.mp4"))
        assert len(files) == 2
        for path in files:
            with av.open(str(path)) as container:
                assert next(container.decode(video=0)).rotation == rotation


def test_failed_attempts_count_as_a_stages_do_until_their_class_is_named(place: Path) -> None:
    (place / "a.mp4").write_bytes((place / "a.mp4").read_bytes()[:700])

    def attempts(*options: str) -> list[int]:
        dj_render(place, "--where", "clip_id = 'piece'", *options)
        rows = Warehouse(str(place / "warehouse")).scan("s/results")
        return [r["error"]["attempts"] for batch in rows for r in batch.to_pylist()]

    assert [attempts() for _ in range(4)] == [[1], [2], [3], [3]]
    assert attempts("--retry-errors", "all") == [4]
