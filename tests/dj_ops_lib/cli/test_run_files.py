"""`dj run` over folders that live: its tables hold the files that were given, and no others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from test_commands import DJ, ENVIRONMENT, dj, encode

from dj_ops_lib.clip import CLIP_SCHEMA, Clip
from dj_ops_lib.engine import file_shards, files
from dj_ops_lib.warehouse import Provenance, Warehouse

RECIPE = "stages: [{name: cleaned, operators: [video_duration_filter, video_deduplicator]}]\n"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five videos of different content."""
    folder = tmp_path_factory.mktemp("clips")
    for i, colour in enumerate(("red", "green", "blue", "gray", "white")):
        encode(folder / f"{i}.mp4", f"color=c={colour}:s=32x32:r=5:d=1")
    return sorted(folder.iterdir())


@pytest.fixture
def place(tmp_path: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `videos` with the first four, two to a shard, and a recipe."""
    monkeypatch.setattr(file_shards, "FILES_PER_SHARD", 2)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "videos").mkdir()
    for name, clip in zip("cdef", clips, strict=False):
        shutil.copy(clip, tmp_path / "videos" / f"{name}.mp4")
    return tmp_path


def run(place: Path, *more: str, videos: str = "videos", expect: int = 0) -> str:
    arguments = ("run", "recipe.yaml", "--videos", videos, "--warehouse", "tables", *more)
    return " ".join(dj(place, *arguments, expect=expect).split())


def rows(place: Path, table: str = "recipe/cleaned") -> list[dict]:
    return lance.dataset(place / f"tables/files/{table}.lance").to_table().to_pylist()


def kept(place: Path, table: str = "recipe/cleaned") -> list[str]:
    return sorted(Path(r["source_id"]).stem for r in rows(place, table) if r["keep"])


def measured(place: Path) -> dict[str, int]:
    """Measurements that the last commit of every shard of the stage made."""
    history = Warehouse(str(place / "tables")).history("files/recipe/cleaned")
    last = {c.shard: c.provenance for c in history if c.shard and c.provenance}
    return {shard: sum(use.measured for use in last[shard].operators) for shard in last}


def test_the_tables_hold_what_is_there_when_files_come_and_go(place: Path, clips) -> None:
    assert "4 clips kept" in run(place)
    assert all(count > 0 for count in measured(place).values())
    shards = {Path(r["source_id"]).stem: r["shard"] for r in rows(place)}
    (place / "videos/c.mp4").unlink()
    shutil.copy(clips[4], place / "videos/a.mp4")  # sorts first
    assert "4 clips kept" in run(place)
    for table in ("raw", "media", "recipe/cleaned"):
        assert kept(place, table) == ["a", "d", "e", "f"]
    now = {Path(r["source_id"]).stem: r["shard"] for r in rows(place)}
    assert {n: now[n] for n in "def"} == {n: shards[n] for n in "def"}
    assert "4 clips kept" in run(place)
    assert set(measured(place).values()) == {0}


def test_new_files_do_not_make_others_be_measured_again(place: Path, clips) -> None:
    run(place)
    shutil.copy(clips[4], place / "videos/a.mp4")
    run(place)
    counts = measured(place)
    assert counts.pop("00002") > 0
    assert counts == {"00000": 0, "00001": 0}


def test_a_shard_of_which_every_file_is_gone_is_empty(place: Path) -> None:
    run(place)
    for name in "cd":
        (place / f"videos/{name}.mp4").unlink()
    assert "2 clips kept" in run(place)
    assert kept(place) == ["e", "f"]


def test_another_folder_is_refused_under_the_same_source(place: Path, clips) -> None:
    run(place)
    before = rows(place)
    (place / "others").mkdir()
    shutil.copy(clips[4], place / "others/z.mp4")
    complaint = run(place, videos="others", expect=2)
    assert "about other videos: 4 of them" in complaint
    assert "--source NAME" in complaint
    assert rows(place) == before
    assert "1 clips kept" in run(place, "--source", "others", videos="others")
    assert "1 clips kept" in run(place, "--replace", videos="others")
    assert kept(place) == ["z"]


def test_a_part_of_the_folder_is_not_taken_for_all_of_it(place: Path) -> None:
    run(place)
    complaint = run(place, videos="videos/[cd].mp4", expect=2)
    assert "2 of them, such as" in complaint
    assert "e.mp4" in complaint


def test_videos_do_not_replace_a_dataset(place: Path, tmp_path: Path) -> None:
    row = Clip("id", "files", "00000", source_id="v", annotation_file="a.csv").to_row()
    batch = pa.RecordBatch.from_pylist([row], schema=CLIP_SCHEMA)
    Warehouse(str(tmp_path / "tables")).replace_shard(
        "files/raw", "00000", [batch], schema=CLIP_SCHEMA, provenance=Provenance()
    )
    assert "hold the clips of a.csv" in run(place, expect=2)


HOLD = """
import sys
from dj_ops_lib.engine.sole_run import sole_run
from dj_ops_lib.warehouse import Warehouse
with sole_run(Warehouse("tables"), "files"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_by_name_of_the_first_until_that_ends_in_any_way(
    place: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        complaint = run(place, expect=2)
        assert f"another run works on 'files' in tables: process {first.pid} on" in complaint
        assert not (place / "tables/files").exists()
        assert "4 clips kept" in run(place, "--source", "mine")
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert "4 clips kept" in run(place)


def test_a_run_that_another_one_overtook_stops(place: Path, monkeypatch) -> None:
    """Where nothing locks, as on an object store."""
    original = files.probe_shard

    def overtaken(warehouse: Warehouse, **given: object) -> object:
        paths = sorted(str(p) for p in (place / "videos").iterdir())
        file_shards.write_files(warehouse, "files", paths, run_id="the other")
        return original(warehouse, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "probe_shard", overtaken)
    assert "the run 'the other' began to work on 'files'" in run(place, expect=2)


def test_a_name_that_is_not_utf8_is_read_like_any_other(place: Path, clips) -> None:
    strange = os.fsencode(place) + b"/videos/caf\xe9.mp4"
    shutil.copy(clips[4], strange)
    assert "5 clips kept" in run(place)
    (row,) = [r for r in rows(place) if "%E9" in r["video_uri"]]
    assert row["video_uri"] == f"file://{place}/videos/caf%E9.mp4"
    assert row["source_id"] == row["video_uri"]
    assert "5 clips kept" in run(place)
    Path(os.fsdecode(strange)).unlink()
    assert "4 clips kept" in run(place)


def test_a_clip_of_a_file_whose_name_is_not_utf8_is_rendered(place: Path, clips) -> None:
    (place / "strange").mkdir()
    shutil.copy(clips[4], os.fsencode(place) + b"/strange/caf\xe9.mp4")
    (place / "recipe.yaml").write_text(
        "stages: [{name: cleaned, operators: [{video_resize_resolution_mapper: {max_width: 16}}]}]"
        "\nrender: {}\n"
    )
    dj(
        place,
        *("run", "recipe.yaml", "--videos", "strange", "--warehouse", "tables"),
        DJ_RENDERED=str(place / "rendered"),
    )
    (made,) = (place / "rendered").rglob("*.mp4")
    assert made.stat().st_size > 0


def test_dj_op_reads_a_name_that_is_not_utf8(place: Path, clips) -> None:
    strange = os.fsencode(place) + b"/caf\xe9.mp4"
    shutil.copy(clips[4], strange)
    done = subprocess.run(
        [os.fsencode(DJ), b"op", b"video_duration_filter", b"caf\xe9.mp4", b"--json"],
        cwd=place,
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    outcome = json.loads(done.stdout)
    assert outcome["input"] == f"file://{place}/caf%E9.mp4"
    assert outcome["columns"] == {"video_duration": pytest.approx(1.0, abs=0.05)}


@pytest.fixture
def cache(tmp_path: Path, clips: list[Path]) -> Path:
    """A folder of links, as the cache of Hugging Face's hub is."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshots/rev").mkdir(parents=True)
    shutil.copy(clips[0], tmp_path / "blobs/0123abcd")
    (tmp_path / "snapshots/rev/clip.mp4").symlink_to("../../blobs/0123abcd")
    return tmp_path


def test_links_are_followed_where_root_allows_it_and_a_run_of_nothing_fails(cache: Path) -> None:
    complaint = run(cache, videos="snapshots/rev", expect=2)
    assert "every video failed" in complaint
    assert f"leads to {cache}/blobs/0123abcd" in complaint
    assert "--root" in complaint
    assert [r["availability"] for r in rows(cache, "media")] == ["forbidden"]
    assert "1 clips kept" in run(cache, "--root", "blobs", videos="snapshots/rev")
    assert [r["availability"] for r in rows(cache, "media")] == ["ok"]


def test_a_link_that_is_named_is_followed(cache: Path) -> None:
    assert "1 clips kept" in run(cache, videos="snapshots/rev/clip.mp4")
    printed = dj(cache, "op", "video_duration_filter", "snapshots/rev/clip.mp4", "--json")
    assert json.loads(printed)["keep"] is True


def test_a_linked_folder_is_entered_where_root_allows_it(cache: Path) -> None:
    (cache / "videos").mkdir()
    shutil.copy(cache / "blobs/0123abcd", cache / "videos/own.mp4")
    (cache / "elsewhere").mkdir()
    shutil.copy(cache / "blobs/0123abcd", cache / "elsewhere/other.mp4")
    (cache / "videos/more").symlink_to(cache / "elsewhere")
    (cache / "videos/again").symlink_to(cache / "videos")  # without end
    run(cache)
    assert kept(cache, "media") == ["own"]
    run(cache, "--root", "elsewhere")
    assert kept(cache, "media") == ["other", "own"]


def test_op_over_nothing_but_failures_fails(cache: Path) -> None:
    assert "nofile.mp4: no such file" in dj(
        cache, "op", "video_duration_filter", "nofile.mp4", expect=2
    )


def test_every_extension_of_a_format_that_is_read_is_found_and_others_are_told(
    place: Path,
) -> None:
    for name in ("x.FLV", "x.wmv", "x.3gp", "x.ogv", "x.ts"):
        (place / "videos" / name).write_bytes(b"looked at, at least")
    (place / "videos/notes.txt").touch()
    (place / "videos/LICENSE").touch()
    printed = subprocess.run(
        [str(DJ), "run", "recipe.yaml", "--videos", "videos", "--warehouse", "tables"],
        cwd=place,
        env=ENVIRONMENT | {"DJ_SPOOL": str(place / "spool")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "left out: 1 *.txt, 1 without extension" in printed.stderr.replace(
        "1 without extension, 1 *.txt", "1 *.txt, 1 without extension"
    )
    suffixes = Counter(Path(r["source_id"]).suffix for r in rows(place, "media"))
    assert suffixes == {".mp4": 4, ".FLV": 1, ".wmv": 1, ".3gp": 1, ".ogv": 1, ".ts": 1}
