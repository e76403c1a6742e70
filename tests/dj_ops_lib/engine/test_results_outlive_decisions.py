"""What was measured stays known: across stages, thresholds, recipes, shards, machines and kills.

Decodes are counted: the operators note every clip that they are shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_operators import (
    BrightnessFilter,
    HalvesSplitter,
    LengthFilter,
    MiddleFilter,
    TroubleFilter,
    noted,
)
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.options import Progress
from dj_ops_lib.engine.shard import process_shard
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import RESULT_SCHEMA, Warehouse
from dj_ops_lib.warehouse.tombstones import Tombstone


def run_stages(shelf: Workshop, *stages: tuple[Operator, ...], recipe: str = "r") -> StageReport:
    """Run a recipe of several stages; returns the report of the last."""
    made = Recipe(recipe, tuple(Stage(f"stage{i}", s) for i, s in enumerate(stages)))
    for stage in made.stages:
        report = process_shard(
            shelf.warehouse, made, stage.name, source="toys", shard="0", options=shelf.options
        )
    return report


def results(warehouse: Warehouse) -> list[dict[str, Any]]:
    return [r for b in warehouse.scan("toys/results") for r in b.to_pylist()]


def spool(workshop: Workshop) -> list[Path]:
    return sorted((workshop.root / "warehouse" / "_results_spool").rglob("*.arrow"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def interrupted(shelf: Workshop, operator: Operator, after: int) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.clips == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.run(operator, workers=1, progress=interrupt)


def test_a_threshold_of_an_earlier_stage_that_moves_there_and_back_measures_nothing_again(
    shelf: Workshop, log: Path
) -> None:
    bright = BrightnessFilter(log=str(log))
    counts = [
        run_stages(shelf, (LengthFilter(least=least),), (bright,)).measured
        for least in (1.5, 3.5, 1.5)
    ]
    assert counts == [3, 0, 0]
    assert sorted(noted(log)) == ["b", "c", "d"]


def test_spans_and_what_was_found_in_the_pieces_survive_a_threshold_before_them(
    shelf: Workshop, log: Path
) -> None:
    def run(least: float) -> StageReport:
        cut = (LengthFilter(least=least), HalvesSplitter(log=str(log)))
        return run_stages(shelf, cut, (MiddleFilter(),))

    run(1.5)
    first = shelf.rows("toys/r/stage1")
    run(9.0)
    assert run(1.5).measured == 0
    assert shelf.rows("toys/r/stage1") == first
    assert sorted(noted(log)) == ["b", "c", "d"]


def test_a_second_recipe_finds_everything_whatever_its_stages_are_called(
    shelf: Workshop, log: Path
) -> None:
    shelf.run(BrightnessFilter(log=str(log)), MiddleFilter())
    report = run_stages(
        shelf, (LengthFilter(),), (MiddleFilter(), BrightnessFilter(log=str(log))), recipe="second"
    )
    assert report.measured == 0
    assert len(noted(log)) == 4
    frame = shelf.frame("toys/second/stage1")
    assert frame["brightness"].to_list() == shelf.frame()["brightness"].to_list()


def test_equal_content_in_another_shard_is_not_decoded_again(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log)))
    (shelf.videos / "copy.mp4").write_bytes((shelf.videos / "c.mp4").read_bytes())
    write_video(shelf.videos / "new.mp4", 1, level=10)
    shelf.raw("1", [{"source_id": "copy"}, {"source_id": "new"}])
    shelf.probe("1")
    report = shelf.run(BrightnessFilter(log=str(log)), shard="1")
    assert noted(log)[4:] == ["new"]
    assert (report.measured, report.reused) == (1, 1)


def test_a_clip_that_moved_to_another_shard_is_known_there(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log)))
    shelf.raw("0", [{"source_id": n} for n in "ab"])
    shelf.raw("1", [{"source_id": n} for n in "cd"])
    for shard in "01":
        assert shelf.probe(shard).measured == 0
        assert shelf.run(BrightnessFilter(log=str(log)), shard=shard).measured == 0
    assert len(noted(log)) == 4


def test_a_run_that_was_killed_goes_on_where_only_the_warehouse_is_known(
    shelf: Workshop, log: Path, tmp_path: Path
) -> None:
    interrupted(shelf, BrightnessFilter(log=str(log)), after=3)
    assert spool(shelf)
    moved = tmp_path / "another machine"
    (shelf.root / "warehouse").rename(moved)
    shelf.warehouse = Warehouse(str(moved))
    begun = len(noted(log))
    report = shelf.run(BrightnessFilter(log=str(log)), workers=1)
    assert report.kept == 4
    assert len(noted(log)) - begun == 1
    assert not list((moved / "_results_spool").rglob("*.arrow"))


def test_what_a_killed_run_measured_serves_another_recipe_too(shelf: Workshop, log: Path) -> None:
    interrupted(shelf, BrightnessFilter(log=str(log)), after=3)
    begun = len(noted(log))
    shelf.run(BrightnessFilter(log=str(log)), workers=1, recipe="other")
    assert len(noted(log)) - begun == 1


def test_a_torn_or_foreign_file_is_named_and_passed_over(
    shelf: Workshop, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(shelf, BrightnessFilter(log=str(log)), after=3)
    (whole,) = spool(shelf)
    torn = whole.with_name("cleaned-torn.arrow")
    torn.write_bytes(whole.read_bytes()[:700])
    foreign = whole.with_name("cleaned-foreign.arrow")
    table = pa.table({"a": [1]})
    with pa.OSFile(str(foreign), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    begun = len(noted(log))
    assert shelf.run(BrightnessFilter(log=str(log)), workers=1).kept == 4
    assert len(noted(log)) - begun == 1
    assert "cleaned-torn.arrow" in caplog.text
    assert "cleaned-foreign.arrow" in caplog.text


def test_numbers_come_back_to_the_last_digit_and_nulls_stay_nulls(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter(), MiddleFilter())
    before = {r["clip_id"]: r for r in shelf.rows()}
    shelf.run(LengthFilter(), BrightnessFilter(), MiddleFilter(), recipe="again")
    for row in shelf.rows("toys/again/cleaned"):
        for name in ("brightness", "middle", "frames_seen"):
            assert row[name] == before[row["clip_id"]][name]


def test_a_result_says_what_it_is_about(shelf: Workshop) -> None:
    shelf.run(HalvesSplitter(), MiddleFilter())
    media = {r["source_id"]: r for r in shelf.rows("toys/media")}
    of_middle = [r for r in results(shelf.warehouse) if r["operator"] == "middle_filter"]
    assert len(of_middle) == 8
    rows = {r["clip_id"]: r for r in shelf.rows()}
    for result in of_middle:
        row = rows[result["clip_id"]]
        assert result["subject"].hex() == row["signature"]
        assert result["parent_id"] == row["parent_id"]
        assert result["media_id"] == media[result["source_id"]]["media_id"]
        assert json.loads(result["payload"]) == {"middle": row["middle"]}
        assert result["digest"].hex() == MiddleFilter().digest()


def test_failures_count_on_across_recipes_and_a_success_ends_them(
    shelf: Workshop, tmp_path: Path
) -> None:
    trouble = TroubleFilter(victims={"b": "raise"})
    shelf.run(trouble)
    shelf.run(trouble, recipe="other")
    (failed,) = [r for r in results(shelf.warehouse) if r["error"] and r["error"]["class"]]
    assert (failed["source_id"], failed["error"]["attempts"]) == ("b", 2)


def test_a_filter_put_before_a_quarantined_clip_does_not_hide_its_error(
    shelf: Workshop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    crash = TroubleFilter(victims={"b": "crash"}, log=str(log))
    for _ in range(2):
        shelf.run(crash, attempts=2)
    tried = len(noted(log))
    shelf.run(BrightnessFilter(least=1.0), crash, attempts=2)
    row = next(r for r in shelf.rows() if r["source_id"] == "b")
    assert (row["keep"], row["rejected_by"]) == (False, None)
    assert (row["error"]["operator"], row["error"]["class"], row["error"]["attempts"]) == (
        "trouble_filter",
        "decoder_crash",
        2,
    )
    assert len(noted(log)) == tried
    assert sum(r["keep"] for r in shelf.rows()) == 3


def test_a_filter_before_an_operator_that_failed_alone_still_looks(shelf: Workshop) -> None:
    fails = TroubleFilter(victims={"b": "raise"})
    for _ in range(2):
        shelf.run(fails, attempts=2)
    shelf.run(BrightnessFilter(least=100), fails, attempts=2)
    row = next(r for r in shelf.rows() if r["source_id"] == "b")
    assert row["brightness"] is not None
    assert row["rejected_by"] == "brightness_filter"


def test_a_takedown_reaches_results_in_the_table_and_in_files(shelf: Workshop, log: Path) -> None:
    shelf.run(MiddleFilter())
    interrupted(shelf, BrightnessFilter(log=str(log)), after=4)
    (file,) = spool(shelf)
    assert pa.ipc.open_file(file).read_all()["source_id"].to_pylist().count("b") == 1
    shelf.warehouse.takedown([Tombstone("source_id", "b")])
    assert {r["source_id"] for r in results(shelf.warehouse)} == {"a", "c", "d"}
    (file,) = spool(shelf)
    assert sorted(pa.ipc.open_file(file).read_all()["source_id"].to_pylist()) == ["a", "c", "d"]
    shelf.run(BrightnessFilter(log=str(log)))
    assert {r["source_id"] for r in results(shelf.warehouse)} == {"a", "c", "d"}
    assert len(noted(log)) == 4


def test_two_runs_of_one_shard_erase_nothing_of_each_other(shelf: Workshop) -> None:
    first = shelf.warehouse.results("toys", "0", "one")
    second = shelf.warehouse.results("toys", "0", "two")
    template = {
        **dict.fromkeys(RESULT_SCHEMA.names),
        **results(shelf.warehouse)[0],
    }

    def table(*subjects: int) -> pa.Table:
        rows = [{**template, "operator": "o", "subject": bytes([s]) * 16} for s in subjects]
        return pa.Table.from_pylist(rows, RESULT_SCHEMA)

    from dj_ops_lib.warehouse import Provenance

    first.add(table(1, 2))
    second.fold(table(3), Provenance(run_id="two"))
    first.fold(table(2, 4), Provenance(run_id="one"))
    subjects = [r["subject"][0] for r in results(shelf.warehouse) if r["operator"] == "o"]
    assert sorted(subjects) == [1, 2, 3, 4]


def test_a_stage_that_measures_nothing_writes_no_results(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter())
    version = shelf.warehouse.version("toys/results")
    shelf.run(BrightnessFilter(least=100))
    shelf.run(BrightnessFilter(), recipe="second")
    assert shelf.warehouse.version("toys/results") == version


def test_a_rotten_result_is_measured_again_instead_of_believed(shelf: Workshop, log: Path) -> None:
    """A payload without one of the operator's columns is from another version of it."""
    shelf.run(BrightnessFilter(log=str(log)))
    rows = results(shelf.warehouse)
    for row in rows:
        if row["operator"] == "brightness_filter" and row["source_id"] == "a":
            row["payload"] = json.dumps({"brightness": 1.0})
    table = pa.Table.from_pylist(rows, RESULT_SCHEMA)
    from dj_ops_lib.warehouse import Provenance

    shelf.warehouse.replace_shard(
        "toys/results", "0", table.to_batches(), schema=RESULT_SCHEMA, provenance=Provenance()
    )
    report = shelf.run(BrightnessFilter(log=str(log)), recipe="second")
    assert noted(log)[4:] == ["a"]
    assert report.measured == 1


def test_options_say_how_often_results_are_written(shelf: Workshop, log: Path) -> None:
    seen: list[int] = []

    def count(progress: Progress) -> None:
        seen.append(len(spool(shelf)))

    shelf.run(BrightnessFilter(log=str(log)), results_every_s=0.0, workers=1, progress=count)
    assert seen == [1, 2, 3, 4]
    assert not spool(shelf)
