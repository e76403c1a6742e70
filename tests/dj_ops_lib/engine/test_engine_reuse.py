"""Nothing is measured twice: what is stored is found again, wherever it was stored.

Decodes are counted: the operators note every clip that they are shown.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_operators import (
    BrightnessFilter,
    HalvesSplitter,
    LengthFilter,
    MiddleFilter,
    PiecesSplitter,
    WordsAnnotator,
    noted,
)
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.shard import process_shard
from dj_ops_lib.recipe import Recipe, Stage


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_a_threshold_is_decided_again_without_a_decode(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log), least=100))
    assert sorted(noted(log)) == ["a", "b", "c", "d"]
    report = shelf.run(BrightnessFilter(log=str(log), least=200))
    assert len(noted(log)) == 4
    assert (report.measured, report.reused, report.kept) == (0, 4, 1)


def test_rows_that_now_get_further_are_measured_further(shelf: Workshop, log: Path) -> None:
    shelf.run(LengthFilter(least=2.5), BrightnessFilter(log=str(log)))
    assert sorted(noted(log)) == ["c", "d"]
    shelf.run(LengthFilter(least=1.5), BrightnessFilter(log=str(log)))
    assert sorted(noted(log)) == ["b", "c", "d"]
    # What was measured stays stored where a clip is rejected earlier, and is there when it is not.
    shelf.run(LengthFilter(least=3.5), BrightnessFilter(log=str(log)))
    assert {r["source_id"] for r in shelf.rows() if r["brightness"] is not None} == {"b", "c", "d"}
    report = shelf.run(LengthFilter(least=1.5), BrightnessFilter(log=str(log)))
    assert len(noted(log)) == 3
    assert report.measured == 0


def test_a_measuring_parameter_measures_that_operator_only(shelf: Workshop, tmp_path: Path) -> None:
    bright, middle = tmp_path / "bright", tmp_path / "middle"
    shelf.run(BrightnessFilter(log=str(bright)), MiddleFilter(log=str(middle)))
    shelf.run(BrightnessFilter(log=str(bright)), MiddleFilter(log=str(middle), gain=2.0))
    assert len(noted(bright)) == 4
    assert len(noted(middle)) == 8


def test_a_new_operator_leaves_the_others_alone(shelf: Workshop, tmp_path: Path) -> None:
    bright, middle = tmp_path / "bright", tmp_path / "middle"
    shelf.run(BrightnessFilter(log=str(bright)))
    shelf.run(MiddleFilter(log=str(middle)), BrightnessFilter(log=str(bright)))
    assert len(noted(bright)) == 4
    assert len(noted(middle)) == 4


def test_a_second_recipe_uses_what_the_first_measured(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log), least=100))
    report = shelf.run(BrightnessFilter(log=str(log), least=50), recipe="second")
    assert len(noted(log)) == 4
    assert report.kept == 3


def test_another_stage_of_another_recipe_uses_it_too(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log)))
    stages = (
        Stage("first", (LengthFilter(),)),
        Stage("second", (BrightnessFilter(log=str(log)),)),
    )
    for stage in ("first", "second"):
        process_shard(
            shelf.warehouse,
            Recipe("other", stages),
            stage,
            source="toys",
            shard="0",
            options=shelf.options,
        )
    assert len(noted(log)) == 4
    assert shelf.frame("toys/other/second")["brightness"].null_count() == 0


def test_a_grown_shard_measures_its_new_rows(shelf: Workshop, log: Path) -> None:
    shelf.run(BrightnessFilter(log=str(log)))
    write_video(shelf.videos / "e.mp4", 1, level=100)
    shelf.raw("0", [{"source_id": n} for n in "abcde"])
    assert shelf.probe().measured == 1
    report = shelf.run(BrightnessFilter(log=str(log)))
    assert noted(log)[4:] == ["e"]
    assert (report.measured, report.reused) == (1, 4)


def test_equal_content_is_decoded_once(workshop: Workshop, log: Path) -> None:
    write_video(workshop.videos / "x.mp4", 1)
    (workshop.videos / "y.mp4").write_bytes((workshop.videos / "x.mp4").read_bytes())
    workshop.raw("0", [{"source_id": "x"}, {"source_id": "y"}])
    workshop.probe()
    workshop.run(BrightnessFilter(log=str(log)))
    assert len(noted(log)) == 1
    assert workshop.frame()["brightness"].n_unique() == 1


def test_spans_are_reused_although_a_later_splitter_changed(shelf: Workshop, log: Path) -> None:
    shelf.run(HalvesSplitter(log=str(log)), PiecesSplitter(length=0.7))
    assert len(noted(log)) == 4
    report = shelf.run(HalvesSplitter(log=str(log)), PiecesSplitter(length=0.9))
    assert len(noted(log)) == 4
    lengths = shelf.frame()["duration_s"].round(6)
    assert lengths.max() == 0.9
    assert report.rows_out == len(lengths)
    shelf.run(HalvesSplitter(log=str(log), shift=0.1), PiecesSplitter(length=0.9))
    assert len(noted(log)) == 8


@pytest.mark.parametrize(
    "splitter", [HalvesSplitter(), HalvesSplitter(keep_original_sample=True, none_below=1.5)]
)
def test_deciding_again_gives_the_same_rows(shelf: Workshop, splitter: HalvesSplitter) -> None:
    operators = (MiddleFilter(most=200), splitter, BrightnessFilter(), PiecesSplitter(length=0.8))
    shelf.run(*operators)
    first = shelf.rows()
    report = shelf.run(*operators)
    assert report.measured == 0
    assert shelf.rows() == first


def test_what_an_operator_reads_is_part_of_what_it_measured(shelf: Workshop) -> None:
    shelf.run(WordsAnnotator())
    assert [r["words"] for r in shelf.rows()] == [2, 2, 2, 2]
    shelf.raw("0", [{"source_id": n, "text": "now four words long"} for n in "abcd"])
    shelf.probe()
    report = shelf.run(WordsAnnotator())
    assert [r["words"] for r in shelf.rows()] == [4, 4, 4, 4]
    assert report.measured == 0  # no file was opened for it
