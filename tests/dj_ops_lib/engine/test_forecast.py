"""What a run would measure, keep and lose is told before it, and comes true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

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

from dj_ops_lib.engine.forecast import StageForecast, forecast
from dj_ops_lib.engine.shard import process_shard
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import operator_class
from dj_ops_lib.report import StageReport


def recipe(*stages: tuple[Operator, ...]) -> Recipe:
    return Recipe("r", tuple(Stage(f"stage{i}", s) for i, s in enumerate(stages)))


def run(shelf: Workshop, made: Recipe, shards: str = "0") -> dict[str, list[StageReport]]:
    """Run every stage over every shard; reports by table."""
    reports: dict[str, list[StageReport]] = {}
    for shard in shards:
        for stage in made.stages:
            report = process_shard(
                shelf.warehouse, made, stage.name, source="toys", shard=shard, options=shelf.options
            )
            reports.setdefault(report.table, []).append(report)
    return reports


def told(shelf: Workshop, made: Recipe) -> tuple[StageForecast, ...]:
    """The forecast; and nothing is written by it."""
    before = {t: shelf.warehouse.version(t) for t in shelf.warehouse.tables()}
    found = forecast(shelf.warehouse, made, source="toys", options=shelf.options).stages
    assert {t: shelf.warehouse.version(t) for t in shelf.warehouse.tables()} == before
    return found


def kept(shelf: Workshop, table: str, shards: str = "0") -> set[str]:
    if not shelf.warehouse.exists(table):
        return set()
    return {r["clip_id"] for s in shards for r in shelf.rows(table, s) if r["keep"]}


def test_a_moved_threshold_measures_nothing_and_its_changes_come_true(shelf: Workshop) -> None:
    before = recipe((LengthFilter(least=1.5), BrightnessFilter()), (MiddleFilter(),))
    run(shelf, before)
    stays = kept(shelf, "toys/r/stage1")
    after = recipe((LengthFilter(least=2.5), BrightnessFilter()), (MiddleFilter(),))
    first, second = told(shelf, after)
    assert (first.clips, first.measured, first.reused, first.cpu_seconds) == (4, 0, 4, 0.0)
    assert [(s.enter, s.leave, s.open, s.uncut) for s in (first, second)] == [(0, 1, 0, 0)] * 2
    reports = run(shelf, after)
    assert reports["toys/r/stage0"][0].measured == first.measured
    assert reports["toys/r/stage1"][0].reused == second.reused == 2
    assert len(stays - kept(shelf, "toys/r/stage1")) == second.leave


def test_clips_that_enter_are_those_without_a_result(shelf: Workshop, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    bright = BrightnessFilter(log=log, least=60.0)
    run(shelf, recipe((LengthFilter(least=2.5),), (bright,)))
    assert sorted(noted(log)) == ["c", "d"]
    first, second = told(shelf, recipe((LengthFilter(),), (bright,)))
    assert (first.measured, first.enter, first.leave) == (0, 2, 0)
    assert (second.clips, second.measured, second.reused) == (4, 2, 2)
    assert (second.open, second.enter, second.leave) == (2, 0, 0)
    assert second.cpu_seconds > 0
    assert second.unknown_cost == ()
    assert len(noted(log)) == 2
    report = run(shelf, recipe((LengthFilter(),), (bright,)))["toys/r/stage1"][0]
    assert (report.measured, report.reused) == (second.measured, second.reused)


def test_what_comes_after_an_unmeasured_filter_is_told_as_perhaps(shelf: Workshop) -> None:
    made = recipe((BrightnessFilter(),), (MiddleFilter(),))
    first, second = told(shelf, made)
    assert (first.measured, first.open, first.perhaps) == (4, 4, 0)
    assert (second.clips, second.measured, second.perhaps, second.open) == (0, 0, 4, 4)
    run(shelf, recipe((MiddleFilter(),)))
    first, second = told(shelf, made)
    assert (first.measured, second.perhaps, second.perhaps_seconds) == (4, 0, 0.0)
    assert (first.leave, second.leave) == (0, 0)


def test_a_clip_that_a_known_number_rejects_is_measured_and_leaves(shelf: Workshop) -> None:
    """Both filters are of one pass, so that the new one looks at what the known one rejects."""
    run(shelf, recipe((MiddleFilter(),)))
    dark = {r["source_id"] for r in shelf.rows("toys/r/stage0") if r["middle"] <= 100.0}
    (stage,) = told(shelf, recipe((BrightnessFilter(), MiddleFilter(most=100.0))))
    assert (stage.measured, stage.leave, stage.open) == (4, 4 - len(dark), len(dark))
    assert 0 < len(dark) < 4


def test_what_a_splitter_has_to_cut_first_is_told_as_unknown(shelf: Workshop) -> None:
    """What becomes of a clip that is not cut yet is not known, here and in later stages."""
    made = recipe((HalvesSplitter(), BrightnessFilter()), (MiddleFilter(),))
    first, second = told(shelf, made)
    assert (first.measured, first.uncut, first.open) == (4, 4, 0)
    assert (second.clips, second.perhaps, second.uncut) == (0, 0, 4)
    run(shelf, made)
    first, second = told(shelf, made)
    assert (first.measured, first.uncut, second.clips, second.uncut) == (0, 0, 8, 0)
    assert (first.enter, first.leave, second.enter, second.leave) == (0, 0, 0, 0)
    cut_anew = recipe((HalvesSplitter(shift=0.25), BrightnessFilter()), (MiddleFilter(),))
    first, second = told(shelf, cut_anew)
    assert (first.measured, first.uncut, first.leave) == (4, 4, 0)
    assert (second.uncut, second.leave) == (4, 0)


def test_a_quarantined_clip_is_not_announced_and_one_that_is_tried_again_is(
    shelf: Workshop,
) -> None:
    made = recipe((TroubleFilter(victims={"b": "raise"}),))
    run(shelf, made)
    assert told(shelf, made)[0].measured == 1
    once = dataclasses.replace(shelf.options, attempts=1)
    (stage,) = forecast(shelf.warehouse, made, source="toys", options=once).stages
    assert (stage.measured, stage.reused, stage.open) == (0, 4, 0)


def test_copies_over_all_shards_come_true(shelf: Workshop) -> None:
    (shelf.videos / "copy.mp4").write_bytes((shelf.videos / "c.mp4").read_bytes())
    write_video(shelf.videos / "new.mp4", 1, level=10)
    shelf.raw("1", [{"source_id": "copy"}, {"source_id": "new"}])
    shelf.probe("1")
    table = "toys/r/stage0"
    exact = operator_class("video_deduplicator")()
    (stage,) = told(shelf, recipe((exact,)))
    assert (stage.shards, stage.clips, stage.measured, stage.open) == (2, 6, 6, 6)
    # Another stage's run measures it, so that which of them are copies is known beforehand.
    run(shelf, Recipe("other", (Stage("stage0", (exact,)),)), "01")
    (stage,) = told(shelf, recipe((exact,)))
    assert (stage.measured, stage.enter, stage.leave, stage.open) == (0, 5, 0, 0)
    run(shelf, recipe((exact,)), "01")
    before = kept(shelf, table, "01")
    assert len(before) == 5
    # Without the original, its copy is kept.
    after = recipe((LengthFilter(least=3.5), exact))
    (stage,) = told(shelf, after)
    run(shelf, after, "01")
    now = kept(shelf, table, "01")
    assert (stage.enter, stage.leave) == (len(now - before), len(before - now))
    assert stage.leave == 4


def test_equal_content_of_another_shard_is_known_and_shards_without_media_are_named(
    shelf: Workshop,
) -> None:
    run(shelf, recipe((BrightnessFilter(),)))
    (shelf.videos / "copy.mp4").write_bytes((shelf.videos / "c.mp4").read_bytes())
    write_video(shelf.videos / "new.mp4", 1, level=10)
    shelf.raw("1", [{"source_id": "copy"}, {"source_id": "new"}])
    shelf.raw("2", [{"source_id": "new"}])
    shelf.probe("1")
    found = forecast(shelf.warehouse, recipe((BrightnessFilter(),)), source="toys")
    (stage,) = found.stages
    assert (stage.clips, stage.measured, stage.reused) == (6, 1, 5)
    assert (stage.enter, stage.open, stage.leave) == (1, 1, 0)
    assert found.unprobed == ("2",)


def test_a_source_that_was_not_probed_says_so(shelf: Workshop) -> None:
    with pytest.raises(WarehouseError, match="nothing/media"):
        forecast(shelf.warehouse, recipe((LengthFilter(),)), source="nothing")
