"""What is told of clips: `dj table explain` and `show`, `dj preview`, `dj check`, on real videos.

What is true of the clips follows from how they are encoded: of three seconds that move and three
that do not, cut into pieces of one second, the motion filter rejects the pieces that do not.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import lance
import pytest
import typer
from test_commands import dj, encode
from typer.testing import CliRunner

from dj_ops_lib.cli.check import check
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.tombstones import Tombstone

RECIPE = """
stages:
  - name: clips
    operators:
      - video_split_by_duration_mapper: {split_duration: 1, keep_original_sample: false}
  - name: cleaned
    operators:
      - video_duration_filter: {min_duration: 0.5}
      - video_motion_score_filter: {min_score: 0.25}
  - name: deduplicated
    operators: [video_deduplicator]
"""
RECIPE_STAGES = ("clips", "cleaned", "deduplicated")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `recipe.yaml`, and the tables of it in `warehouse`."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "videos").mkdir()
    encode(folder / "videos" / "moving.mp4", "testsrc2=s=320x192:r=24:d=3")
    encode(folder / "videos" / "still.mp4", "color=c=navy:s=320x192:r=24:d=3")
    (folder / "videos" / "broken.mp4").write_bytes(b"this is no video")
    (folder / "small.yaml").write_text(RECIPE)
    dj(folder, "run", "small.yaml", "--videos", "videos", "--warehouse", "warehouse")
    return folder


def rows(place: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        lance.dataset(place / "warehouse" / "files" / f"{table}.lance").to_table().to_pylist()
    )
    return sorted(found, key=lambda row: (row["source_id"], row["start_s"] or 0))


def still_piece(place: Path) -> str:
    return next(r["clip_id"] for r in rows(place, "small/cleaned") if "still" in r["source_id"])


def test_a_rejection_names_the_number_the_threshold_and_the_video(place: Path) -> None:
    clip = still_piece(place)
    told = dj(place, "table", "explain", "files/small/cleaned", clip)
    assert "rejected by video_motion_score_filter: video_motion_score 0 < min_score 0.25" in told
    assert f"{place}/videos/still.mp4, 0 ... 1 s" in told
    assert "9223372036854775807" not in told


def test_a_clip_that_never_came_to_a_table_is_explained_from_where_it_ended(place: Path) -> None:
    clip = still_piece(place)
    told = dj(place, "table", "explain", "files/small/deduplicated", clip).splitlines()
    assert told[:2] == [
        f"clip {clip}",
        "not in files/small/deduplicated: rejected in files/small/cleaned by "
        "video_motion_score_filter: video_motion_score 0 < min_score 0.25",
    ]
    (broken,) = (r["clip_id"] for r in rows(place, "media") if r["error"])
    told = dj(place, "table", "explain", "files/small/deduplicated", broken).splitlines()
    assert "error in files/media in media: corrupt" in told[1]


def test_a_clip_that_was_cut_is_told_by_its_pieces(place: Path) -> None:
    """Also where no piece of it came as far as the table that was asked about."""
    (whole,) = (r["clip_id"] for r in rows(place, "media") if "still" in r["source_id"])
    pieces = [r["clip_id"] for r in rows(place, "small/clips") if "still" in r["source_id"]]
    assert len(pieces) == 3
    told = dj(place, "table", "explain", "files/small/deduplicated", whole)
    assert f"cut in files/small/clips into {', '.join(pieces)}" in told


def test_the_beginning_of_an_id_is_enough(place: Path) -> None:
    table, ids = "files/small/cleaned", [r["clip_id"] for r in rows(place, "small/cleaned")]
    for clip in ids:
        unique = next(
            clip[:n] for n in range(1, 33) if sum(i.startswith(clip[:n]) for i in ids) == 1
        )
        assert dj(place, "table", "explain", table, unique).startswith(f"clip {clip}\n")
        assert json.loads(dj(place, "table", "explain", table, unique, "--json"))["clip_id"] == clip
    refused = dj(place, "table", "explain", table, "", expect=2)
    assert "name a clip by its clip_id" in refused
    assert "has no clip 'xyz'" in dj(place, "table", "explain", table, "xyz", expect=2)


def test_show_prints_the_rows_and_columns_that_are_asked_for(place: Path) -> None:
    table = "files/small/cleaned"
    told = dj(place, "table", "show", table, "--where", "NOT keep", "--limit", "2", COLUMNS="80")
    assert "2 of 3 rows where NOT keep" in told
    assert told.count("video_motion_score_filter") == 2
    assert "…" not in told
    chosen = dj(place, "table", "show", table, "--columns", "clip_id,video_motion_score")
    assert all(r["clip_id"] in chosen for r in rows(place, "small/cleaned"))
    asked = ("table", "show", table, "--where", "keep", "--json")
    printed = [json.loads(line) for line in dj(place, *asked).splitlines()]
    assert sorted(p["start_s"] for p in printed) == [0, 1, 2]
    assert {p["source_id"] for p in printed} == {str(place / "videos" / "moving.mp4")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("files/small/cleaned", "--columns", "clip_ids"), "did you mean 'clip_id'"),
        (("files/small/cleaned", "--where", "keeps"), "--where keeps: "),
        (("files/small/cleaned", "--where", "SELECT"), "--where SELECT: "),
        (("files/small/cleaned", "--limit", "0"), "--limit"),
        (("files/small/cleand",), "there is no table 'files/small/cleand'"),
    ],
)
def test_show_refuses_what_it_cannot_read(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in dj(place, "table", "show", *arguments, expect=2)


def kept(folder: Path) -> set[str]:
    return {r["clip_id"] for r in rows(folder, "small/cleaned") if r["keep"]}


def foreseen(place: Path, recipe: str, *changes: str) -> dict[str, Any]:
    settings = [word for change in changes for word in ("--set", change)]
    told = dj(place, "preview", recipe, *settings, "--warehouse", "warehouse", "--json")
    (stage,) = [json.loads(line) for line in told.splitlines()]
    found: dict[str, Any] = stage
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("min_score: 0.25", "min_score: 0"),
        ("min_score: 0.25", "min_score: 1000"),
        ("min_score: 0.25", "reversed_range: true"),
        ("min_duration: 0.5", "min_duration: 1.5"),
    ],
)
def test_a_preview_is_what_running_the_changed_recipe_then_makes(
    place: Path, tmp_path: Path, old: str, new: str
) -> None:
    operator = "video_motion_score_filter" if "score" in old else "video_duration_filter"
    told = foreseen(place, "small.yaml", f"cleaned.{operator}.{new.replace(': ', '=')}")
    before = kept(place)
    assert RECIPE.count(old) == 1
    (tmp_path / "small.yaml").write_text(RECIPE.replace(old, new))
    shutil.copytree(place / "warehouse", tmp_path / "warehouse")
    videos = str(place / "videos")
    dj(tmp_path, "run", "small.yaml", "--videos", videos, "--warehouse", "warehouse")
    after = kept(tmp_path)
    assert told["before"] == {"clips": len(before), "seconds": len(before)}
    assert told["after"] == {"clips": len(after), "seconds": len(after)}
    for name, ids in (("leave", before - after), ("enter", after - before)):
        assert told[name]["clips"] == len(ids)
        assert {e["clip_id"] for e in told["examples"][name]} == ids
    assert told["open"]["clips"] == 0


def test_clips_that_no_one_has_measured_are_not_promised(place: Path) -> None:
    """What a cheap filter rejected was never looked at by the dear one behind it."""
    (place / "long.yaml").write_text(RECIPE.replace("min_duration: 0.5", "min_duration: 2"))
    arguments = ("--warehouse", "fresh", "--source", "short")
    dj(place, "run", "long.yaml", "--videos", "videos", *arguments)
    change = "video_duration_filter.min_duration=0.5"
    printed = dj(place, "preview", "long.yaml", "--set", change, *arguments, "--json")
    told = json.loads(printed)
    assert told["open"] == {"clips": 6, "seconds": 6}
    assert told["after"]["clips"] == 0


def test_a_preview_reads_well_on_a_narrow_terminal_and_writes_nothing(place: Path) -> None:
    table = place / "warehouse/files/small/cleaned.lance"
    version = lance.dataset(table).version
    change = "video_motion_score_filter.min_score=1000"
    told = dj(
        place, "preview", "small.yaml", "--set", change, "--warehouse", "warehouse", COLUMNS="80"
    )
    assert "  leave          3 clips, 0.0008 h" in told
    assert "< min_score 1000" in " ".join(told.split())
    assert "kept in files/small/deduplicated: 3 clips" in told
    assert lance.dataset(table).version == version


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("video_motion_score_filter.sampling_fps=4", "it changes what is measured"),
        ("video_motion_score_filter.min_scor=4", "did you mean 'min_score'"),
        ("video_motion_score_filter.min_score=high", "min_score 'high'"),
        ("cleand.video_motion_score_filter.min_score=4", "did you mean 'cleaned'"),
        ("video_motion_filter.min_score=4", "did you mean 'video_motion_score_filter'"),
        ("min_score=4", "it is stage.operator.parameter=value"),
    ],
)
def test_a_change_that_cannot_be_previewed_is_refused(
    place: Path, change: str, message: str
) -> None:
    refused = dj(
        place, "preview", "small.yaml", "--set", change, "--warehouse", "warehouse", expect=2
    )
    assert message in refused


def test_statistics_that_were_measured_otherwise_tell_nothing(place: Path) -> None:
    folder = place / "other"
    folder.mkdir()
    changed = RECIPE.replace("min_score: 0.25", "min_score: 0.25, sampling_fps: 4")
    (folder / "small.yaml").write_text(changed)
    refused = dj(folder, "preview", "small.yaml", "--warehouse", str(place / "warehouse"), expect=2)
    assert "video_motion_score_filter has measured it with sampling_fps 2" in refused


def checked(warehouse: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `dj check`."""
    program = typer.Typer()
    program.command()(check)
    done = CliRunner().invoke(program, ["--warehouse", str(warehouse), *arguments])
    return done.exit_code, done.output


def test_check_warns_of_rows_in_error_and_fails_above_the_share_that_is_set(place: Path) -> None:
    code, told = checked(place / "warehouse")  # one video of three is broken
    assert code == 0
    assert "warn files/media 00000 error_share: 1 of 3 rows are in error (1 corrupt)" in told
    assert "0 errors, 1 warnings" in told
    code, told = checked(place / "warehouse", "--block-errors", "0.3", "--source", "files")
    assert code == 1
    assert "error files/media 00000 error_share" in told
    code, told = checked(place / "warehouse", "--warn-errors", "0.4", "--json")
    assert code == 0
    found = [json.loads(line) for line in told.splitlines()]
    assert all(f["passed"] for f in found)
    tables = {"files/raw", "files/media", *(f"files/small/{s}" for s in RECIPE_STAGES)}
    assert {f["table"] for f in found} >= tables


def test_check_notices_a_row_that_is_lost_and_a_table_that_was_taken_down_from(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "warehouse", tmp_path / "taken")
    still = str(place / "videos" / "still.mp4")
    Warehouse(str(tmp_path / "taken")).takedown([Tombstone("source_id", still)])
    assert checked(tmp_path / "taken", "--block-errors", "1")[0] == 0
    lost = next(r["clip_id"] for r in rows(place, "small/cleaned") if "moving" in r["source_id"])
    shutil.copytree(place / "warehouse", tmp_path / "w")
    lance.dataset(tmp_path / "w/files/small/cleaned.lance").delete(f"clip_id = '{lost}'")
    small = ("--recipe", str(place / "small.yaml"))
    code, told = checked(tmp_path / "w", *small)
    assert code == 1
    assert "error files/small/cleaned 00000 rows_conserved: 6 rows reported, 5 in the" in told
    assert f"1 rows of the input are not accounted for, such as {lost}" in told
    assert checked(tmp_path / "w", *small, "--shards", "00000..00003")[0] == 1
    for nothing in (("--shards", "00001"), ("--recipe", "smal"), ("--source", "other")):
        refused = dj(tmp_path, "check", "--warehouse", "w", *nothing, expect=2)
        assert "nothing to check in w" in refused
