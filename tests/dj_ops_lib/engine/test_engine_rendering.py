"""The rendered stage: files of the kept clips, made once, and a table that tells of them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import psutil
import pytest
from engine_operators import LengthFilter, ShrinkEditor
from engine_workshop import Workshop

from dj_ops_lib.engine.files import run_recipe_on_files
from dj_ops_lib.engine.options import Progress
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse.tombstones import Tombstone

TABLE = "toys/r/rendered"
FAST = Rendering(preset="ultrafast", deadline_s=60)


def write_pattern(path: Path, seconds: float) -> None:
    """A moving test pattern of 128 x 96, ten frames a second, a key frame each second."""
    command = [find_ffmpeg(), "-v", "error", "-f", "lavfi"]
    command += ["-i", f"testsrc2=s=128x96:r=10:d={seconds}", "-c:v", "libx264", "-g", "10"]
    command += ["-bf", "0", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True)


@pytest.fixture
def toys(workshop: Workshop) -> Workshop:
    """Three seconds of which the whole and a piece are clips, and a video that is too short."""
    write_pattern(workshop.videos / "long.mp4", 3)
    write_pattern(workshop.videos / "short.mp4", 1)
    workshop.raw(
        "0",
        [
            {"source_id": "long"},
            {"source_id": "long", "start_s": 0.5, "end_s": 1.7},
            {"source_id": "short"},
        ],
    )
    workshop.probe()
    return workshop


def render(workshop: Workshop, *operators: Operator) -> StageReport:
    return render_shard(
        workshop.warehouse,
        Recipe("r", (Stage("cleaned", operators),)),
        source="toys",
        shard="0",
        options=workshop.options,
        folder=str(workshop.root / "files"),
        rendering=FAST,
    )


def pictures(path: str) -> list[tuple[int, int]]:
    """The size of each picture of a file."""
    with av.open(path) as container:
        return [(f.width, f.height) for f in container.decode(video=0)]


def test_kept_clips_become_files_cut_to_the_frame(toys: Workshop) -> None:
    keep = LengthFilter(least=1.1)
    toys.run(keep)
    report = render(toys, keep)
    rows = toys.rows(TABLE)
    assert [len(pictures(r["rendered_uri"])) for r in rows] == [30, 12]
    assert [r["rendered_bytes"] for r in rows] == [
        Path(r["rendered_uri"]).stat().st_size for r in rows
    ]
    assert [Path(r["rendered_uri"]).name for r in rows] == [FAST.name(r["signature"]) for r in rows]
    assert len(list((toys.root / "files").iterdir())) == 2
    assert (report.rows_in, report.kept, report.measured) == (2, 2, 2)
    assert report.files == {"copied": 1, "encoded": 1}
    assert [r["length"] for r in rows] == pytest.approx([3.0, 1.2])


def test_edits_are_applied_once(toys: Workshop) -> None:
    toys.run(ShrinkEditor())
    render(toys, ShrinkEditor())
    for row in toys.rows(TABLE):
        assert set(pictures(row["rendered_uri"])) == {(64, 48)}


def test_a_second_run_renders_nothing_and_writes_the_same_rows(toys: Workshop) -> None:
    keep = LengthFilter()
    toys.run(keep)
    render(toys, keep)
    rows = toys.rows(TABLE)
    files = {p: p.stat().st_mtime_ns for p in (toys.root / "files").iterdir()}
    report = render(toys, keep)
    assert toys.rows(TABLE) == rows
    assert {p: p.stat().st_mtime_ns for p in (toys.root / "files").iterdir()} == files
    assert (report.measured, report.reused, report.files) == (0, 3, {"found": 3})
    lost = min(files)
    lost.unlink()
    assert render(toys, keep).measured == 1
    assert lost.exists()
    assert toys.rows(TABLE) == rows


def test_a_source_file_that_is_damaged_costs_its_own_clips_only(toys: Workshop) -> None:
    keep = LengthFilter()
    damaged = bytearray((toys.videos / "short.mp4").read_bytes())
    damaged[100 : len(damaged) // 2] = bytes(len(damaged) // 2 - 100)  # its index is at the end
    (toys.videos / "short.mp4").write_bytes(damaged)
    entries = [{"source_id": "long"}, {"source_id": "long", "start_s": 0.5, "end_s": 1.7}]
    toys.raw("0", [*entries, {"source_id": "short", "start_s": 0.3, "end_s": 0.9}])
    toys.probe()
    toys.run(keep)
    report = render(toys, keep)
    whole, piece, broken = toys.rows(TABLE)
    assert whole["keep"]
    assert piece["keep"]
    assert not broken["keep"]
    assert broken["rendered_uri"] is None
    assert broken["error"]["operator"] == "rendered"
    assert broken["error"]["attempts"] == 1
    assert "short.mp4" in broken["error"]["message"]
    assert report.errors == {broken["error"]["class"]: 1}
    assert len(list((toys.root / "files").iterdir())) == 2
    for _ in range(3):
        report = render(toys, keep)
    assert report.measured == 0
    assert toys.rows(TABLE)[2]["error"]["attempts"] == toys.options.attempts


def test_clips_of_equal_content_share_a_file(workshop: Workshop) -> None:
    for name in "ab":
        write_pattern(workshop.videos / f"{name}.mp4", 1)
    workshop.raw("0", [{"source_id": "a"}, {"source_id": "b"}])
    workshop.probe()
    workshop.run(LengthFilter())
    report = render(workshop, LengthFilter())
    assert len({r["rendered_uri"] for r in workshop.rows(TABLE)}) == 1
    assert report.files == {"copied": 1}


KILLED = """
    import sys
    from pathlib import Path
    from dj_ops_lib.engine.options import EngineOptions
    from dj_ops_lib.engine.rendering import render_shard
    from dj_ops_lib.media.access import Access
    from dj_ops_lib.recipe import Recipe, Stage
    from dj_ops_lib.rendering import Rendering
    from dj_ops_lib.warehouse import Warehouse
    from engine_operators import LengthFilter

    root = Path(sys.argv[1])
    render_shard(
        Warehouse(str(root / "warehouse")),
        Recipe("r", (Stage("cleaned", (LengthFilter(),)),)),
        source="toys",
        shard="0",
        options=EngineOptions(Access((str(root / "videos"),)), workers=1),
        folder=str(root / "files"),
        rendering=Rendering(preset="ultrafast", deadline_s=60),
    )
"""


def test_what_is_killed_half_way_leaves_whole_files_only_and_goes_on(workshop: Workshop) -> None:
    write_pattern(workshop.videos / "long.mp4", 4)
    spans = [{"start_s": i / 10, "end_s": i / 10 + 2.5} for i in range(1, 10)]
    workshop.raw("0", [{"source_id": "long"} | span for span in spans])
    workshop.probe()
    workshop.run(LengthFilter())
    files = workshop.root / "files"
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(workshop.root)]
    process = subprocess.Popen(program, cwd=Path(__file__).parent)
    try:
        while not list(files.glob("*.mp4")):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    made = {p: p.stat().st_mtime_ns for p in files.glob("*.mp4")}
    assert all(len(pictures(str(p))) == 25 for p in made)
    assert not workshop.warehouse.exists(TABLE)
    report = render(workshop, LengthFilter())
    assert report.files["found"] >= 1
    assert report.kept == len(spans) == len(list(files.iterdir()))  # no leftover of the killed one
    assert all(p.stat().st_mtime_ns == when for p, when in made.items())


@pytest.mark.parametrize("done", [1, 2, 4])
def test_a_takedown_amid_rendering_leaves_no_file_of_what_was_taken_down(
    workshop: Workshop, done: int
) -> None:
    """After the first clip others are being made, after the last none is named in a table yet."""
    for name in ("gone", "stays"):
        write_pattern(workshop.videos / f"{name}.mp4", 3)
    spans = [{"start_s": i / 10, "end_s": i / 10 + 1.5} for i in (1, 2, 3)]
    workshop.raw("0", [{"source_id": "stays"}, *({"source_id": "gone"} | s for s in spans)])
    (workshop.videos / "stays.mp4").write_bytes((workshop.videos / "stays.mp4").read_bytes() + b" ")
    workshop.probe()
    workshop.run(LengthFilter())
    files = workshop.root / "files"

    def take_down(progress: Progress) -> None:
        if progress.clips == done:
            stones = [Tombstone("source_id", "gone")]
            workshop.warehouse.takedown(stones, rendered=[str(files)])

    workshop.options = dataclasses.replace(workshop.options, progress=take_down)
    render(workshop, LengthFilter())
    (row,) = workshop.rows(TABLE)
    assert row["source_id"] == "stays"
    assert [str(p) for p in files.iterdir()] == [row["rendered_uri"]]


def test_no_encoder_outlives_a_killed_program(workshop: Workshop) -> None:
    write_pattern(workshop.videos / "long.mp4", 60)
    workshop.raw("0", [{"source_id": "long", "start_s": 0.1, "end_s": 59.0}])
    workshop.probe()
    workshop.run(LengthFilter())
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(workshop.root)]
    process = subprocess.Popen(program, cwd=Path(__file__).parent)
    encoders: list[psutil.Process] = []
    try:
        while not encoders:
            assert process.poll() is None
            below = psutil.Process(process.pid).children(recursive=True)
            encoders = [p for p in below if "ffmpeg" in p.name()]
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(encoders, timeout=10)
    assert alive == []


def test_a_recipe_over_files_renders_where_it_says_so(
    toys: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJ_RENDERED", str(toys.root / "rendered"))
    recipe = Recipe("r", (Stage("cleaned", (LengthFilter(least=1.1),)),), rendering=FAST)
    paths = [str(p) for p in sorted(toys.videos.iterdir())]
    reports = run_recipe_on_files(toys.warehouse, recipe, paths, options=toys.options)
    assert [r.table for r in reports] == ["files/media", "files/r/cleaned", "files/r/rendered"]
    (row,) = toys.rows("files/r/rendered", "00000")
    assert Path(row["rendered_uri"]).parent == toys.root / "rendered" / "files" / "r"
    assert Path(row["rendered_uri"]).is_file()
