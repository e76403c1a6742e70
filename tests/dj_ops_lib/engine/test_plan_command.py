"""`dj plan` tells what will be decoded, for whom, and what it cost before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from engine_workshop import Workshop, write_video
from typer.testing import CliRunner

from dj_ops_lib.cli.plan import plan
from dj_ops_lib.engine.reference_costs import DATA, estimated_seconds, reference_costs
from dj_ops_lib.engine.shard import process_shard
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.registry import operator_class

RECIPE = """
stages:
  - name: cleaned
    operators:
      - video_motion_score_filter
      - video_resolution_filter: {min_width: 16}
      - video_split_by_scene_mapper
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "shown.yaml"
    path.write_text(RECIPE)
    return path


def show(*arguments: str, columns: int = 160) -> str:
    app = typer.Typer()
    app.command()(plan)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_plan_shows_waves_in_order_and_what_they_decode(recipe: Path) -> None:
    output = show(str(recipe))
    header, frames = output.index("rows only"), output.index("frames and sound")
    assert header < output.index("video_resolution_filter") < frames
    assert frames < output.index("video_motion_score_filter")
    assert "one pass" in output
    assert "splitter: what follows sees its clips" in output
    for name in ("video_motion_score_filter", "video_split_by_scene_mapper"):
        assert output.count(name) == 1


def test_names_are_whole_on_a_narrow_terminal(recipe: Path) -> None:
    output = show(str(recipe), columns=80)
    for name in ("video_motion_score_filter", "video_split_by_scene_mapper"):
        assert f"    {name} " in output
    assert max(map(len, output.splitlines())) <= 80


def test_before_its_first_run_a_stage_costs_what_the_benchmark_measured(tmp_path: Path) -> None:
    """Numbers of docs/operator-costs.md: 1/2.15 s for the motion score, 1/11 by DIS, 1/1120."""
    path = tmp_path / "costs.yaml"
    for parameters, seconds in (("{}", "0.47"), ("{method: dis}", "0.091")):
        path.write_text(
            "stages: [{name: a, operators: [{video_motion_score_filter: " + parameters + "}]}]"
        )
        assert f"about {seconds} CPU s a second of 720p video" in show(str(path))
    path.write_text("stages: [{name: a, operators: [video_resolution_filter]}]")
    assert "costs nothing to speak of" in show(str(path))


def test_operators_of_one_pass_are_not_charged_for_its_decode_twice() -> None:
    """1/17.4 and 1/19.5 s alone, of which decoding every frame is 1/23."""
    names = ("video_split_by_scene_mapper", "video_black_freeze_filter")
    together = estimated_seconds([operator_class(name)() for name in names])
    assert together == pytest.approx(1 / 17.4 + (1 / 19.5 - 1 / 23), rel=0.05)


def test_the_page_of_costs_is_the_data_that_the_plan_reads() -> None:
    page = Path(__file__).parents[3] / "docs" / "operator-costs.md"
    assert page.read_text(encoding="utf-8") == reference_costs().page()
    assert DATA.read_text(encoding="utf-8") == reference_costs().to_json()


def test_the_plan_ends_with_how_clips_become_files(recipe: Path) -> None:
    assert "kept clips become files" not in show(str(recipe))
    recipe.write_text(RECIPE + "render: {crf: 23}\n")
    last = show(str(recipe)).strip().splitlines()[-1]
    assert last == (
        "shown: rendered: kept clips become files, copied where that is exact, else one encode "
        "(libx264 medium, crf 23; aac)"
    )
    recipe.write_text(RECIPE + "render: {cut: copy}\n")
    assert "copied from the key frame before each" in show(str(recipe))


def test_costs_are_shown_once_the_stage_has_run(workshop: Workshop, recipe: Path) -> None:
    write_video(workshop.videos / "v.mp4", 2)
    workshop.raw("0", [{"source_id": "v"}])
    workshop.probe()
    process_shard(
        workshop.warehouse,
        load_recipe(recipe),
        "cleaned",
        source="toys",
        shard="0",
        options=workshop.options,
    )
    where = str(workshop.root / "warehouse")
    told = show(str(recipe), "--warehouse", where, "--source", "toys")
    assert "CPU s a clip, as lately" in told
    assert "about" not in told


def test_a_changed_recipe_is_told_in_a_line_a_stage(workshop: Workshop, recipe: Path) -> None:
    for name, level in (("dark", 40), ("bright", 200)):
        write_video(workshop.videos / f"{name}.mp4", 2, level=level)
    workshop.raw("0", [{"source_id": "dark"}, {"source_id": "bright"}])
    workshop.probe()
    arguments = ("--change", "--warehouse", str(workshop.root / "warehouse"), "--source", "toys")
    recipe.write_text("stages: [{name: cleaned, operators: [video_motion_score_filter]}]")
    said = show(str(recipe), *arguments)
    assert "2 clips measured, 1.9 s of CPU; 0 reused; 0 enter, 0 leave" in said
    assert "2 stay or go by what is measured" in said
    process_shard(
        workshop.warehouse,
        load_recipe(recipe),
        "cleaned",
        source="toys",
        shard="0",
        options=workshop.options,
    )
    recipe.write_text(
        "stages: [{name: cleaned, operators: [{video_motion_score_filter: {max_score: 0.0, "
        "min_score: 0.0}}]}]"
    )
    kept = sum(r["keep"] for r in workshop.rows("toys/shown/cleaned"))
    assert kept
    said = show(str(recipe), *arguments)
    assert f"0 clips measured; 2 reused; 0 enter, {kept} leave" in said
    told = json.loads(show(str(recipe), *arguments, "--json"))
    assert [s["leave"] for s in told["stages"]] == [kept]
