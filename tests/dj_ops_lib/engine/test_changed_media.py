"""Another video under the same name after `media`: nothing of it is kept under the first one's."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from engine_workshop import Workshop, write_video

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import sightings
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.container import open_container
from dj_ops_lib.media.render import render
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import operator_class
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse.tombstones import Tombstone

MOTION = operator_class("video_motion_score_filter")(min_score=0.0)


def error(row: dict) -> str | None:
    return row["error"] and row["error"]["class"]


def render_all(shelf: Workshop) -> StageReport:
    return render_shard(
        shelf.warehouse,
        Recipe("r", (Stage("cleaned", (MOTION,)),)),
        source="toys",
        shard="0",
        options=shelf.options,
        folder=str(shelf.root / "files"),
        rendering=Rendering(),
    )


def test_a_replaced_video_is_an_error_of_its_path_until_media_has_seen_it(shelf: Workshop):
    video = shelf.videos / "b.mp4"
    write_video(video, 2, level=200)
    rows = shelf.run(MOTION) and shelf.rows()
    assert [error(r) for r in rows] == [None, "changed", None, None]
    assert f"{video}: changed since media: it had" in rows[1]["error"]["message"]
    assert rows[1]["error"]["attempts"] == 1
    again = shelf.run(MOTION) and shelf.rows()  # never quarantined: a path is looked at every time
    assert [error(r) for r in again] == [None, "changed", None, None]
    assert again[1]["error"]["attempts"] == 1

    shelf.probe()
    assert [error(r) for r in (shelf.run(MOTION) and shelf.rows())] == [None] * 4
    media = {r["source_id"]: r for r in shelf.rows("toys/media")}["b"]
    assert media["media_id"] == f"sha256:{hashlib.sha256(video.read_bytes()).hexdigest()}"


def test_a_replaced_video_of_equal_size_and_other_time_is_found_by_its_bytes(shelf: Workshop):
    video = shelf.videos / "b.mp4"
    content = bytearray(video.read_bytes())
    content[-1] ^= 1
    video.write_bytes(content)
    os.utime(video, ns=(1, 1))
    rows = shelf.run(MOTION) and shelf.rows()
    assert [error(r) for r in rows] == [None, "changed", None, None]


def test_copies_of_a_data_set_with_other_times_are_read_and_hashed_once(
    shelf: Workshop, monkeypatch: pytest.MonkeyPatch
):
    copy = shelf.root / "other disk"
    shutil.copytree(shelf.videos, copy)
    shutil.rmtree(shelf.videos)
    copy.rename(shelf.videos)
    for video in shelf.videos.iterdir():
        os.utime(video, ns=(1, 1))
    rows = shelf.run(MOTION) and shelf.rows()
    assert [error(r) for r in rows] == [None] * 4

    hashed: list[str] = []
    real = sightings.fetch.identify

    def counted(uri: str, access: Access) -> tuple[str, int]:
        hashed.append(uri)
        return real(uri, access)

    monkeypatch.setattr(sightings.fetch, "identify", counted)
    clip = Clip.from_row(rows[0])
    for _ in range(3):
        with open_container(str(clip.video_uri), shelf.options.access, clip):
            pass
    assert hashed == [clip.video_uri]
    # A run of media takes note of the new times.
    shelf.probe()
    states = {r["media_state"] for r in shelf.rows("toys/media")}
    assert states == {"mtime:1"}


def test_a_video_that_is_written_while_it_is_read_is_no_clip(shelf: Workshop):
    clip = Clip.from_row(shelf.rows("toys/media")[0])
    uri = str(clip.video_uri)
    with (
        pytest.raises(MediaError, match="written while it was read") as refusal,
        open_container(uri, shelf.options.access, clip),
        Path(uri).open("ab") as file,
    ):
        file.write(b"more")
    assert refusal.value.error_class == "changed"


def test_a_replaced_video_is_not_rendered_under_the_name_of_the_first(shelf: Workshop):
    shelf.run(MOTION)
    write_video(shelf.videos / "c.mp4", 3, level=10)
    assert render_all(shelf).errors == {"changed": 1}
    rows = {r["source_id"]: r for r in shelf.rows("toys/r/rendered")}
    assert {name: error(r) for name, r in rows.items()} == {
        "a": None, "b": None, "c": "changed", "d": None
    }  # fmt: skip
    assert len(list((shelf.root / "files").glob("*.mp4"))) == 3


@pytest.mark.parametrize("recorded", [True, False])
def test_a_file_of_a_clips_name_is_made_again_unless_it_is_the_clips(
    shelf: Workshop, recorded: bool
):
    shelf.run(MOTION)
    assert render_all(shelf).kept == 4
    made = {r["source_id"]: Path(r["rendered_uri"]) for r in shelf.rows("toys/r/rendered")}
    whole = {name: path.read_bytes() for name, path in made.items()}
    made["a"].write_bytes(whole["a"][: len(whole["a"]) * 2 // 3])  # cut off
    made["b"].write_bytes(whole["c"])  # another clip's
    made["c"].write_bytes(b"not a video")
    if not recorded:  # as after a run that was killed before it wrote its rows
        table = shelf.frame("toys/r/rendered")
        shelf.warehouse.replace_shard(
            "toys/r/rendered",
            "0",
            [],
            schema=shelf.warehouse.schema("toys/r/rendered"),
            provenance=shelf.warehouse.last_commit("toys/r/rendered", "0").provenance,
        )
        assert len(table) == 4
    report = render_all(shelf)
    assert (report.kept, report.measured, report.files["found"]) == (4, 3, 1)
    again = {r["source_id"]: Path(r["rendered_uri"]) for r in shelf.rows("toys/r/rendered")}
    assert {name: path.read_bytes() for name, path in again.items()} == whole


def test_a_clip_that_is_rendered_by_itself_is_looked_at_likewise(shelf: Workshop):
    clip = Clip.from_row(shelf.rows("toys/media")[1])
    out = shelf.root / "out"
    first = render(clip, out, shelf.options.access)
    whole = Path(first.uri).read_bytes()
    assert render(clip, out, shelf.options.access).how == "found"
    Path(first.uri).write_bytes(whole[:-500])
    assert render(clip, out, shelf.options.access).how == first.how
    assert Path(first.uri).read_bytes() == whole


def test_a_file_that_cannot_be_probed_is_taken_down_by_its_bytes(workshop: Workshop):
    content = b"not a video at all"
    (workshop.videos / "bad.mp4").write_bytes(content)
    write_video(workshop.videos / "good.mp4", 1)
    workshop.raw("0", [{"source_id": "bad"}, {"source_id": "good"}])
    name = f"sha256:{hashlib.sha256(content).hexdigest()}"
    for _ in range(4):  # found again, then quarantined
        workshop.probe()
        (bad,) = [r for r in workshop.rows("toys/media") if r["source_id"] == "bad"]
        assert (bad["media_id"], bad["media_bytes"]) == (name, len(content))
        assert (bad["availability"], bad["signature"]) == ("corrupt", None)
    done = workshop.warehouse.takedown([Tombstone("media", name)])
    assert bad["clip_id"] in done.clips
    left = pl.concat([workshop.frame(t).select("source_id") for t in ("toys/raw", "toys/media")])
    assert left["source_id"].to_list() == ["good", "good"]
    for table in workshop.warehouse.tables():
        if "media_id" in workshop.warehouse.schema(table).names:
            held = workshop.warehouse.scan(table, columns=["media_id"])
            assert name not in {v for batch in held for v in batch["media_id"].to_pylist()}
