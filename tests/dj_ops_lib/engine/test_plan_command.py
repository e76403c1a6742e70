"""`dj plan` tells what will be decoded, for whom, and what it cost before."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from engine_workshop import Workshop, write_video
from typer.testing import CliRunner

from dj_ops_lib.cli.plan import plan
from dj_ops_lib.engine.shard import process_shard
from dj_ops_lib.recipe_file import load_recipe

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


def show(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(plan)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_plan_shows_waves_in_order_and_what_they_decode(recipe: Path) -> None:
    output = show(str(recipe))
    header, frames = output.index("rows only"), output.index("frames and sound")
    assert header < output.index("video_resolution_filter") < frames
    assert frames < output.index("video_motion_score_filter")
    assert "one pass" in output
    assert "unknown" in output
    assert "splitter: what follows sees its clips" in output


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
    assert "unknown" not in show(str(recipe), "--warehouse", where, "--source", "toys")
