"""A disk, a mount or a store that fails ends the stage; it is no clip's error and no attempt."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_operators import BrightnessFilter, LengthFilter
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.pool import stop_workers
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.errors import OutageError
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport

GONE = ("renamed", "a mount point with nothing on it")


def unmount(folder: Path, how: str) -> Path:
    """Take a folder away; returns where it is now."""
    kept = folder.with_name("elsewhere")
    folder.rename(kept)
    if how == GONE[1]:
        folder.mkdir()
    return kept


def mount(kept: Path, folder: Path) -> None:
    if folder.exists():
        folder.rmdir()
    kept.rename(folder)


@pytest.mark.parametrize("how", GONE)
def test_a_media_folder_that_is_gone_ends_the_stage_and_costs_nothing(shelf: Workshop, how: str):
    kept = unmount(shelf.videos, how)
    with pytest.raises(OutageError, match=f"the media root {shelf.videos}"):
        shelf.run(BrightnessFilter())
    assert not shelf.warehouse.exists("toys/r/cleaned")
    mount(kept, shelf.videos)
    report = shelf.run(BrightnessFilter(), attempts=1)  # one that counted would be the last
    assert report.measured == 4
    assert not report.errors


@pytest.mark.parametrize("how", GONE)
def test_a_media_folder_that_is_gone_is_told_before_anything_is_decided(shelf: Workshop, how: str):
    before = shelf.rows("toys/media")
    kept = unmount(shelf.videos, how)
    with pytest.raises(OutageError, match=f"the media root {shelf.videos}"):
        shelf.probe()
    assert shelf.rows("toys/media") == before
    mount(kept, shelf.videos)
    assert not shelf.probe().errors


def test_three_corrupt_files_of_three_are_rows(workshop: Workshop):
    for name in "abc":
        (workshop.videos / f"{name}.mp4").write_bytes(b"no video " + name.encode())
    workshop.raw("0", [{"source_id": n} for n in "abc"])
    assert workshop.probe().errors == {"corrupt": 3}


def test_a_file_that_is_damaged_after_it_was_described_is_no_outage(shelf: Workshop):
    for path in shelf.videos.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    report = shelf.run(BrightnessFilter())
    assert sum(report.errors.values()) == 4


def test_a_path_that_is_gone_says_nothing_of_its_content(workshop: Workshop):
    """Three ids with equal bytes; the first to be looked at loses its file."""
    write_video(workshop.videos / "a.mp4", 2, level=200)
    for name in "bc":
        shutil.copy(workshop.videos / "a.mp4", workshop.videos / f"{name}.mp4")
    workshop.raw("0", [{"source_id": n} for n in "abc"])
    workshop.probe()
    (workshop.videos / "a.mp4").unlink()
    workshop.run(BrightnessFilter())
    found = {r["source_id"]: r for r in workshop.rows()}
    assert {i: (r["error"] or {}).get("class") for i, r in found.items()} == {
        "a": "missing",
        "b": None,
        "c": None,
    }
    assert found["b"]["brightness"] == found["c"]["brightness"] > 0
    shutil.copy(workshop.videos / "b.mp4", workshop.videos / "a.mp4")
    report = workshop.run(BrightnessFilter())
    assert report.errors == {}
    assert report.measured == 0  # its content is known by then


def render(shelf: Workshop, folder: Path | str) -> StageReport:
    recipe = Recipe("r", (Stage("cleaned", (LengthFilter(),)),), rendering=Rendering())
    return render_shard(
        shelf.warehouse,
        recipe,
        source="toys",
        shard="0",
        options=shelf.options,
        folder=str(folder),
        rendering=Rendering(),
    )


def test_a_place_that_takes_no_files_ends_the_rendering(shelf: Workshop):
    shelf.run(LengthFilter())
    (shelf.root / "file").touch()
    shelf.options = dataclasses.replace(shelf.options, attempts=1)
    with pytest.raises(OutageError, match=f"{shelf.root}/file/rendered/.*Not a directory"):
        render(shelf, shelf.root / "file" / "rendered")
    assert not shelf.warehouse.exists("toys/r/rendered")
    report = render(shelf, shelf.root / "rendered")
    assert report.errors == {}
    assert report.kept == report.rows_in > 0


def test_a_clip_is_rendered_from_the_copy_that_is_there(workshop: Workshop):
    write_video(workshop.videos / "a.mp4", 2)
    shutil.copy(workshop.videos / "a.mp4", workshop.videos / "b.mp4")
    workshop.raw("0", [{"source_id": n} for n in "ab"])
    workshop.probe()
    workshop.run(LengthFilter())
    (workshop.videos / "a.mp4").unlink()
    report = render(workshop, workshop.root / "rendered")
    assert report.errors == {}
    (made,) = {r["rendered_uri"] for r in workshop.rows("toys/r/rendered")}
    assert Path(made).exists()


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    """Access to a bucket of a store at a port that nothing listens on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    stop_workers()
    yield Access(("s3://b/videos",), object_store=ObjectStore("http://127.0.0.1:9", "us-east-1"))
    stop_workers()


def test_a_store_that_does_not_answer_ends_the_stage(workshop: Workshop, nobody_answers: Access):
    workshop.raw("0", [{"source_id": "a"}])
    workshop.locate = lambda name: f"s3://b/videos/{name}.mp4"  # type: ignore[method-assign]
    with pytest.raises(OutageError, match=r"s3://b/videos/a\.mp4: .*127\.0\.0\.1:9.*answer"):
        workshop.probe(access=nobody_answers)
    assert not workshop.warehouse.exists("toys/media")
