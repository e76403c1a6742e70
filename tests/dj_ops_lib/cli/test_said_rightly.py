"""What commands say of what they are given: the option that is meant, numbers as written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dj_ops_lib.cli.operators import parse_parameters
from dj_ops_lib.recipe_file import load_recipe


def dj(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from dj_ops_lib.cli import app; app()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.1e-2", "1.e-3", "10e-4"])
def test_a_number_with_an_exponent_is_a_number_in_recipes_and_options(
    tmp_path: Path, written: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    operator = f"- video_motion_score_filter: {{min_score: {written}}}\n"
    for text in (
        f"stages:\n  - name: s\n    operators:\n      {operator}",
        f"process:\n  {operator}",
    ):
        recipe.write_text(text, encoding="utf-8")
        (made,) = load_recipe(recipe).stages[0].operators
        assert made.model_dump()["min_score"] == 0.001
    assert parse_parameters([f"min_score={written}"]) == {"min_score": 0.001}


def test_a_quoted_number_stays_a_text(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("process:\n  - video_fps_filter: {min_fps: '1e1'}\n", encoding="utf-8")
    with pytest.raises(Exception, match="min_fps"):
        load_recipe(recipe)


@pytest.mark.parametrize("name", ["a/b", "a b", "", "../x"])
def test_a_source_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("process:\n  - video_fps_filter\n", encoding="utf-8")
    where = ("--videos", str(tmp_path), "--warehouse", str(tmp_path / "w"))
    done = dj("run", str(recipe), *where, "--source", name)
    assert done.returncode == 2
    assert "--source" in done.stderr
    assert not (tmp_path / "w").exists()


def test_the_option_that_is_malformed_is_the_one_that_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("process:\n  - video_fps_filter\n", encoding="utf-8")
    done = dj("preview", str(recipe), "--set", "min_fps", "--warehouse", str(tmp_path))
    assert done.returncode == 2
    assert "--set" in done.stderr
    assert "-p" not in done.stderr.replace("--", "")
