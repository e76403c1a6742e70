"""`dj results audit`: stored numbers are measured again; one that comes out otherwise is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_commands import dj, encode

from dj_ops_lib.engine.audit import same
from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance, Warehouse

RECIPE = """
stages:
  - name: clips
    operators:
      - video_split_by_duration_mapper: {split_duration: 1.5}
      - video_motion_score_filter: {method: dis, min_score: 0.0}
  - name: edited
    operators:
      - video_letterbox_filter: {max_border_ratio: 1.0}
      - video_crop_border_mapper
      - video_black_freeze_filter
  - name: cleaned
    operators:
      - video_near_deduplicator
"""


def make(folder: Path) -> Path:
    """A folder with the tables of a run in it, over two videos of three seconds."""
    (folder / "videos").mkdir()
    encode(folder / "videos" / "bars.mp4", "testsrc=s=192x96:r=12:d=3,pad=192:128:0:16")
    encode(folder / "videos" / "life.mp4", "testsrc2=s=192x128:r=12:d=3")
    (folder / "recipe.yaml").write_text(RECIPE)
    dj(folder, "run", "recipe.yaml", "--videos", "videos", "--warehouse", "tables")
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    """A copy of the tables, over the same videos."""
    shutil.copytree(original / "tables", tmp_path / "tables")
    return tmp_path


def audit(folder: Path, *arguments: str, expect: int = 0) -> dict[str, Any]:
    said = dj(
        folder, "results", "audit", "--warehouse", "tables", "--json", *arguments, expect=expect
    )
    (found,) = json.loads(said)
    return found


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change stored results, as if another library had measured them."""
    place = Warehouse(str(folder / "tables"))
    rows = [r for b in place.scan("files/results") for r in b.to_pylist()]
    for row in rows:
        edit(row)
    table = pa.Table.from_pylist(rows, RESULT_SCHEMA)
    place.replace_shard(
        "files/results",
        rows[0]["shard"],
        table.to_batches(),
        schema=RESULT_SCHEMA,
        provenance=Provenance(),
    )


def test_everything_comes_out_as_it_was_of_files_pieces_and_edited_clips(made: Path) -> None:
    before = Warehouse(str(made / "tables")).version("files/results")
    found = audit(made, "--share", "1")
    place = Warehouse(str(made / "tables"))
    edited = [r["edits"] for b in place.scan("files/recipe/edited") for r in b.to_pylist()]
    assert {bool(e) for e in edited} == {False, True}
    facts = [
        r["operator"]
        for b in place.scan("files/results", columns=["operator"])
        for r in b.to_pylist()
    ]
    assert {"media", "video_motion_score_filter", "video_near_deduplicator"} < set(facts)
    assert found["results"] == found["sampled"] == found["measured"] == len(facts)
    assert (found["drifted"], found["skipped"]) == (0, {})
    assert place.version("files/results") == before


def test_a_number_that_comes_out_otherwise_is_named_with_both_values(made: Path) -> None:
    changed: dict[str, Any] = {}

    def drift(row: dict[str, Any]) -> None:
        if row["operator"] == "video_motion_score_filter" and not changed:
            payload = json.loads(row["payload"])
            changed.update(clip=row["clip_id"], was=payload["video_motion_score"])
            payload["video_motion_score"] += 0.001
            row["payload"] = json.dumps(payload)

    change(made, drift)
    (told,) = audit(made, "--share", "1", expect=1)["drifts"]
    assert (told["operator"], told["clip_id"], told["column"]) == (
        "video_motion_score_filter",
        changed["clip"],
        "video_motion_score",
    )
    assert told["new"] == changed["was"]
    assert told["stored"] == pytest.approx(changed["was"] + 0.001)
    said = dj(made, "results", "audit", "--warehouse", "tables", "--share", "1", expect=1)
    assert f"clip {changed['clip']}: video_motion_score was {told['stored']!r}" in said
    assert audit(made, "--share", "1", "--tolerance", "0.01")["drifted"] == 0


def test_edits_and_the_duration_of_a_file_are_compared_too(made: Path) -> None:
    def drift(row: dict[str, Any]) -> None:
        if row["operator"] == "media" and row["source_id"].endswith("bars.mp4"):
            duration, frames = json.loads(row["result"])
            row["result"] = json.dumps([duration + 0.5, frames])

    change(made, drift)
    (told,) = audit(made, "--share", "1", expect=1)["drifts"]
    assert (told["operator"], told["column"]) == ("media", "result")
    assert told["source_id"].endswith("bars.mp4")
    assert told["new"][0] == 3.0


def test_a_share_is_chosen_by_the_seed_and_is_at_least_one_clip(made: Path) -> None:
    one = audit(made, "--share", "0.005")
    assert 0 < one["sampled"] < one["results"]
    assert audit(made, "--share", "0.005") == one
    chosen = [audit(made, "--share", "0.4", "--seed", str(s))["sampled"] for s in range(3)]
    assert all(one["sampled"] < n < one["results"] for n in chosen)


def test_what_cannot_be_asked_again_is_counted_with_the_reason(tmp_path: Path) -> None:
    made = make(tmp_path)

    def from_before(row: dict[str, Any]) -> None:
        if row["operator"] == "video_near_deduplicator":
            row["digest"] = bytes(16)

    change(made, from_before)
    (made / "videos" / "bars.mp4").unlink()
    encode(made / "videos" / "bars.mp4", "testsrc=s=192x128:r=12:d=2")
    found = audit(made, "--share", "1")
    reasons = found["skipped"]
    assert found["measured"] + sum(reasons.values()) == found["sampled"]
    assert any("no commit says" in r and "near_deduplicator" in r for r in reasons)
    assert any("another one than was measured" in r for r in reasons)
    (made / "videos" / "notes.txt").write_text("an empty folder would be an outage")
    (made / "videos" / "bars.mp4").unlink()
    (made / "videos" / "life.mp4").unlink()
    found = audit(made, "--share", "1", expect=1)
    assert found["measured"] == 0
    assert any("missing" in r for r in found["skipped"])


def test_a_share_that_cannot_be_meant_is_refused(made: Path) -> None:
    arguments = ("results", "audit", "--warehouse", "tables")
    assert "share" in dj(made, *arguments, "--share", "0", expect=2)
    assert "tolerance" in dj(made, *arguments, "--tolerance", "nan", expect=2)


def test_numbers_are_the_same_exactly_unless_a_tolerance_says_otherwise() -> None:
    nan = float("nan")
    assert same({"a": [1, nan, None, "x"]}, {"a": [1.0, nan, None, "x"]}, 0.0)
    assert not same(0.1 + 0.2, 0.3, 0.0)
    assert same(1000.0, 1001.0, 0.001)
    assert not same(1000.0, 1002.0, 0.001)
    assert same(0.0, 0.001, 0.001)
    assert not same([1], [1, 2], 1.0)
    assert not same(True, "True", 1.0)
    assert not same(None, 0.0, 1.0)
