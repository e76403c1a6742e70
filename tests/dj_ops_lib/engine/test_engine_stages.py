"""What a stage does to rows: every clip is accounted for, whoever decides and in which order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from engine_operators import (
    BrightnessFilter,
    HalvesSplitter,
    LengthFilter,
    MiddleFilter,
    PiecesSplitter,
    ShrinkEditor,
    WordsAnnotator,
)
from engine_workshop import Workshop, write_video

from dj_ops_lib.clip import Edit, Span, child_id, signature
from dj_ops_lib.errors import RecipeError, WarehouseError
from dj_ops_lib.operators.deduplicators.video_deduplicator import VideoDeduplicator
from dj_ops_lib.registry import operator_class

operator_class("video_deduplicator")


def rejections(frame: pl.DataFrame) -> dict[str, str | None]:
    return dict(zip(frame["source_id"], frame["rejected_by"], strict=True))


def test_the_media_stage_stores_header_facts_as_ffmpeg_made_them(shelf: Workshop) -> None:
    rows = {r["source_id"]: r for r in shelf.rows("toys/media")}
    assert [(n, rows[n]["duration_s"], rows[n]["num_frames"]) for n in "abcd"] == [
        ("a", 1.0, 10),
        ("b", 2.0, 20),
        ("c", 3.0, 30),
        ("d", 4.0, 40),
    ]
    assert all((r["width"], r["height"], r["fps"]) == (64, 64, 10.0) for r in rows.values())
    assert all(r["availability"] == "ok" and r["keep"] for r in rows.values())
    assert all(r["signature"] == signature(r["media_id"], None, None, ()) for r in rows.values())


def test_files_that_cannot_be_read_are_rows_that_say_why(workshop: Workshop) -> None:
    write_video(workshop.videos / "good.mp4", 1)
    (workshop.videos / "text.mp4").write_text("not a video")
    (workshop.videos / "empty.mp4").touch()
    outside = workshop.root / "outside.mp4"
    write_video(outside, 1)
    (workshop.videos / "link.mp4").symlink_to(outside)
    names = ["good", "text", "empty", "link", "nowhere"]
    workshop.raw("0", [{"source_id": n} for n in names])
    report = workshop.probe()
    rows = {r["source_id"]: r for r in workshop.rows("toys/media")}
    found = {n: (rows[n]["availability"], (rows[n]["error"] or {}).get("class")) for n in names}
    assert found["good"] == ("ok", None)
    assert found["empty"] == ("corrupt", "corrupt")
    assert found["nowhere"] == ("missing", "missing")
    assert found["link"] == ("forbidden", "forbidden")
    assert found["text"][0] in {"corrupt", "unsupported"}
    assert report.rows_out == 5
    assert report.kept == 1
    assert sum(report.errors.values()) == 4
    assert {n: rows[n]["keep"] for n in names} == {n: n == "good" for n in names}


def test_annotated_spans_are_held_to_the_file(workshop: Workshop) -> None:
    write_video(workshop.videos / "v.mp4", 3)
    spans = [(None, None), (0.5, 1.5), (2.0, 99.0), (5.0, 6.0), (2.0, 1.0), (None, 1.0)]
    workshop.raw("0", [{"source_id": "v", "start_s": a, "end_s": b} for a, b in spans])
    report = workshop.probe()
    rows = workshop.rows("toys/media")
    held = [(r["start_s"], r["end_s"], r["duration_s"], r["estimated_frames"]) for r in rows]
    assert [r["num_frames"] for r in rows] == [30, None, None, None, None, None]
    assert held[0] == (None, None, 3.0, 30)
    assert held[1] == (0.5, 1.5, 1.0, 10)
    assert held[2] == (2.0, 3.0, 1.0, 10)
    assert held[5] == (None, 1.0, 1.0, 10)
    assert [r["error"] and r["error"]["class"] for r in rows] == [
        None,
        None,
        None,
        "span_out_of_range",
        "span_out_of_range",
        None,
    ]
    assert report.errors == {"span_out_of_range": 2}
    assert report.measured == 6


def test_a_file_is_opened_again_only_when_it_has_changed(shelf: Workshop) -> None:
    assert shelf.probe().measured == 0
    write_video(shelf.videos / "b.mp4", 2, level=30)
    before = {r["source_id"]: r["media_id"] for r in shelf.rows("toys/media")}
    report = shelf.probe()
    after = {r["source_id"]: r["media_id"] for r in shelf.rows("toys/media")}
    assert report.measured == 1
    assert {n for n in after if after[n] != before[n]} == {"b"}


def test_the_first_rejecting_operator_of_the_first_rejecting_wave_is_named(
    shelf: Workshop,
) -> None:
    # Waves: length (header), then brightness and middle together. By recipe order, middle comes
    # before brightness; length comes last but its wave is first.
    report = shelf.run(MiddleFilter(most=200), BrightnessFilter(least=100), LengthFilter(least=1.5))
    assert rejections(shelf.frame()) == {
        "a": "length_filter",
        "b": "brightness_filter",
        "c": None,
        "d": "middle_filter",
    }
    assert report.rejected == {"length_filter": 1, "brightness_filter": 1, "middle_filter": 1}
    assert [(s.operator, s.rows_in, s.rejected, s.rows_out) for s in report.funnel] == [
        ("length_filter", 4, 1, 3),
        ("middle_filter", 3, 1, 2),
        ("brightness_filter", 2, 1, 1),
    ]


def test_a_rejected_clip_does_not_enter_the_next_wave(shelf: Workshop, tmp_path: Path) -> None:
    log = tmp_path / "log"
    shelf.run(LengthFilter(least=2.5), BrightnessFilter(log=str(log)))
    assert sorted(log.read_text().split()) == ["c", "d"]
    rows = {r["source_id"]: r for r in shelf.rows()}
    assert rows["a"]["brightness"] is None
    assert rows["c"]["brightness"] is not None


def test_all_operators_of_a_wave_are_measured_on_all_clips_that_enter_it(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter(least=300), MiddleFilter())
    frame = shelf.frame()
    assert frame["middle"].null_count() == 0
    assert set(frame["rejected_by"]) == {"brightness_filter"}


def test_measure_all_measures_rejected_clips_and_changes_no_decision(shelf: Workshop) -> None:
    operators = (LengthFilter(least=2.5), BrightnessFilter(least=200))
    shelf.run(*operators)
    plain = rejections(shelf.frame())
    shelf.run(*operators, recipe="all", measure_all=True)
    every = shelf.frame("toys/all/cleaned")
    assert rejections(every) == plain
    assert every["brightness"].null_count() == 0


def test_pieces_take_the_place_of_the_clip_that_they_were_cut_from(shelf: Workshop) -> None:
    report = shelf.run(HalvesSplitter())
    parents = {r["source_id"]: r for r in shelf.rows("toys/media")}
    rows = shelf.rows()
    assert [(r["source_id"], r["start_s"], r["end_s"]) for r in rows] == [
        (n, start, end)
        for n, half in (("a", 0.5), ("b", 1.0), ("c", 1.5), ("d", 2.0))
        for start, end in ((0.0, half), (half, 2 * half))
    ]
    for row in rows:
        parent = parents[row["source_id"]]
        span = Span(row["start_s"], row["end_s"])
        assert row["parent_id"] == parent["clip_id"]
        assert row["clip_id"] == child_id(parent["clip_id"], span)
        assert row["signature"] == signature(parent["media_id"], span.start_s, span.end_s, ())
        assert row["num_frames"] is None  # nobody counted them
        assert row["estimated_frames"] == round(row["duration_s"] * 10)
        assert row["text"] == parent["text"]
    assert (report.rows_in, report.rows_out, report.split) == (4, 8, 4)


def test_a_chain_of_splitters_gives_children_of_the_clip_that_entered(shelf: Workshop) -> None:
    shelf.run(HalvesSplitter(), PiecesSplitter(length=1.0))
    media = {r["source_id"]: r["clip_id"] for r in shelf.rows("toys/media")}
    rows = [r for r in shelf.rows() if r["source_id"] == "d"]
    assert [(r["start_s"], r["end_s"]) for r in rows] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert {r["parent_id"] for r in rows} == {media["d"]}
    assert len({r["clip_id"] for r in rows}) == 4


def test_a_clip_with_one_span_of_its_own_stays_as_it_is(shelf: Workshop) -> None:
    report = shelf.run(PiecesSplitter(length=3.0))
    media = {r["source_id"]: r for r in shelf.rows("toys/media")}
    for row in shelf.rows():
        if row["source_id"] != "d":
            assert row["clip_id"] == media[row["source_id"]]["clip_id"]
            assert row["signature"] == media[row["source_id"]]["signature"]
    assert report.split == 1
    assert report.rows_out == 5


def test_a_clip_without_spans_is_rejected_by_the_splitter(shelf: Workshop) -> None:
    report = shelf.run(HalvesSplitter(none_below=1.5))
    rows = [r for r in shelf.rows() if r["source_id"] == "a"]
    assert [(r["keep"], r["rejected_by"]) for r in rows] == [(False, "halves_mapper")]
    assert report.rejected == {"halves_mapper": 1}
    assert report.funnel[0].rows_out == 6


def test_an_original_may_stay_beside_its_pieces(shelf: Workshop) -> None:
    report = shelf.run(HalvesSplitter(keep_original_sample=True))
    rows = [r for r in shelf.rows() if r["source_id"] == "b"]
    assert [(r["start_s"], r["end_s"]) for r in rows] == [(None, None), (0.0, 1.0), (1.0, 2.0)]
    assert report.split == 0
    shelf.run(HalvesSplitter(keep_original_sample=True, none_below=1.5))
    rows = [r for r in shelf.rows() if r["source_id"] == "a"]
    assert [(r["start_s"], r["keep"]) for r in rows] == [(None, True)]


def test_every_input_clip_is_a_row_or_the_parent_of_rows(shelf: Workshop) -> None:
    report = shelf.run(
        LengthFilter(least=1.5),
        HalvesSplitter(),
        MiddleFilter(most=200),
        PiecesSplitter(length=0.7),
    )
    entered = set(shelf.frame("toys/media").filter("keep")["clip_id"])
    frame = shelf.frame()
    assert entered <= set(frame["clip_id"]) | set(frame["parent_id"].drop_nulls())
    assert frame["clip_id"].is_unique().all()
    kept, rejected, errors = report.kept, sum(report.rejected.values()), sum(report.errors.values())
    assert kept + rejected + errors == report.rows_out == len(frame)
    for before, after in zip(report.funnel, report.funnel[1:], strict=False):
        assert before.rows_out == after.rows_in
    assert report.funnel[-1].rows_out == report.kept


def test_an_editor_changes_size_and_signature_and_touches_no_file(shelf: Workshop) -> None:
    shelf.run(ShrinkEditor(), BrightnessFilter())
    media = {r["source_id"]: r for r in shelf.rows("toys/media")}
    for row in shelf.rows():
        edit = Edit("scale", (("w", "32"), ("h", "32")))
        assert [Edit.from_row(e) for e in row["edits"]] == [edit]
        assert (row["width"], row["height"], row["shrunk_from"]) == (32, 32, 64)
        before = media[row["source_id"]]
        assert row["signature"] == signature(before["media_id"], None, None, (edit,))
        assert row["clip_id"] == before["clip_id"]
    assert shelf.run(ShrinkEditor(), BrightnessFilter()).measured == 0


def test_only_kept_rows_enter_a_stage(workshop: Workshop) -> None:
    write_video(workshop.videos / "v.mp4", 1)
    workshop.raw("0", [{"source_id": "v"}, {"source_id": "lost"}])
    workshop.probe()
    report = workshop.run(LengthFilter())
    assert (report.rows_in, report.rows_out) == (1, 1)


def test_a_shard_without_rows_is_a_result(workshop: Workshop) -> None:
    workshop.raw("0", [])
    assert workshop.probe().rows_out == 0
    report = workshop.run(LengthFilter(), BrightnessFilter(), HalvesSplitter())
    assert (report.rows_in, report.rows_out, report.kept) == (0, 0, 0)
    assert workshop.warehouse.shards("toys/r/cleaned") == {"0": 0}


def test_the_report_counts_time_video_and_distributions(shelf: Workshop) -> None:
    report = shelf.run(BrightnessFilter(least=100), LengthFilter())
    assert report.video_seconds == 7.0
    assert report.cpu_seconds > 0
    brightness, length = (h for h in report.histograms)
    assert (brightness.column, length.column, length.unit) == ("brightness", "length", "s")
    assert report.thresholds == {"brightness": (100.0, None)}
    recorded = shelf.warehouse.histograms("toys/r/cleaned").total
    assert {brightness, length} <= set(recorded)
    for found, edges, bins in (
        (brightness, np.linspace(0, 256, 65), [int(r["brightness"]) // 4 for r in shelf.rows()]),
        (length, np.geomspace(0.1, 10_000, 41), [8, 10, 11, 12]),  # 1 to 4 s, eight a decade
    ):
        assert found.edges.values == pytest.approx(edges)
        assert (found.values, found.below, found.above) == (4, 0, 0)
        counts = found.counts[1:-1]
        assert [i for i, n in enumerate(counts) for _ in range(n)] == sorted(bins)
    kept = [r for r in shelf.rows() if r["keep"]]
    assert sum(brightness.kept) == len(kept) < 4
    assert report.version == shelf.warehouse.version("toys/r/cleaned")


def test_a_stage_that_the_recipe_lacks_is_refused_with_the_nearest_name(shelf: Workshop) -> None:
    from dj_ops_lib.engine.shard import process_shard
    from dj_ops_lib.recipe import Recipe, Stage

    recipe = Recipe("r", (Stage("cleaned", (LengthFilter(),)),))
    with pytest.raises(RecipeError, match="did you mean 'cleaned'"):
        process_shard(
            shelf.warehouse, recipe, "clean", source="toys", shard="0", options=shelf.options
        )


def test_a_stage_before_its_input_says_which_table_is_missing(workshop: Workshop) -> None:
    with pytest.raises(WarehouseError, match="toys/media"):
        workshop.run(LengthFilter())
    with pytest.raises(WarehouseError, match="toys/raw"):
        workshop.probe()


def test_header_waves_start_no_process(shelf: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dj_ops_lib.engine.pool", None)
    report = shelf.run(LengthFilter(), PiecesSplitter(length=0.5), WordsAnnotator())
    assert report.kept == 20


# --- deduplication across shards -------------------------------------------------------------


@pytest.fixture
def twins(workshop: Workshop) -> Workshop:
    """Shard 0: x and its copy y; shard 1: another copy z, and w which is different."""
    write_video(workshop.videos / "x.mp4", 1)
    for name in "yz":
        (workshop.videos / f"{name}.mp4").write_bytes((workshop.videos / "x.mp4").read_bytes())
    write_video(workshop.videos / "w.mp4", 1, level=30)
    for shard, names in (("0", "xy"), ("1", "zw")):
        workshop.raw(shard, [{"source_id": n} for n in names])
        workshop.probe(shard)
    return workshop


def test_duplicates_are_found_within_and_across_shards(twins: Workshop) -> None:
    operator = VideoDeduplicator()
    first = twins.run(operator, shard="0")
    second = twins.run(operator, shard="1")
    rows = {r["source_id"]: r for s in "01" for r in twins.rows(shard=s)}
    assert {n: r["keep"] for n, r in rows.items()} == {"x": True, "y": False, "z": False, "w": True}
    assert {rows[n]["duplicate_of"] for n in "yz"} == {rows["x"]["clip_id"]}
    assert {rows[n]["duplicate_distance"] for n in "yz"} == {0.0}
    assert first.rejected == second.rejected == {"video_deduplicator": 1}
    assert second.funnel[-1].rows_out == 1
    # Running the first shard again compares it with what the second keeps, and changes nothing.
    twins.run(operator, shard="0")
    assert [r["keep"] for r in twins.rows(shard="0")] == [True, False]


def test_a_shard_that_was_overtaken_decides_again(
    twins: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dj_ops_lib.engine import settling

    operator = VideoDeduplicator()
    real, overtaken = settling.published, []

    def slow(*arguments: object) -> pl.DataFrame:
        seen = real(*arguments)  # type: ignore[arg-type]
        if not overtaken:
            overtaken.append(True)
            twins.run(operator, shard="0")
        return seen

    monkeypatch.setattr(settling, "published", slow)
    twins.run(operator, shard="1")
    rows = {r["source_id"]: r for s in "01" for r in twins.rows(shard=s)}
    assert sorted(n for n, r in rows.items() if r["keep"]) == ["w", "x"]
    assert rows["z"]["duplicate_of"] == rows["x"]["clip_id"]
