"""What the README tells people to type works as written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dj_ops_lib.demo import generate
from dj_ops_lib.recipe_file import load_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell_commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def the_recipe() -> str:
    return next(b for b in blocks("yaml") if "RecipeComponent" in b)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: a clip, a folder of videos, a recipe."""
    folder = tmp_path_factory.mktemp("readme")
    generate(folder / "data")
    videos = sorted((folder / "data" / "msr_vtt" / "videos").glob("*.mp4"))[:4]
    (folder / "videos").mkdir()
    for video in videos:
        (folder / "videos" / video.name).write_bytes(video.read_bytes())
    (folder / "clip.mp4").write_bytes(videos[0].read_bytes())
    body = the_recipe().split("attributes:\n")[1]
    recipe = "".join(line.removeprefix("  ") for line in body.splitlines(keepends=True))
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return folder


def test_every_make_target_in_the_readme_exists_and_is_described() -> None:
    described = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    targets = [c.split()[1] for c in shell_commands() if c.startswith("make ")]
    assert targets[:2] == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}\s", described, re.MULTILINE), target


@pytest.mark.parametrize("command", [c for c in shell_commands() if c.startswith("dj ")])
def test_every_dj_command_in_the_readme_runs(home: Path, command: str) -> None:
    program = Path(sys.executable).parent / "dj"
    done = subprocess.run(
        [str(program), *shlex.split(command)[1:]],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DJ_WAREHOUSE": str(home / "tables"), "DJ_DATA": str(home / "data")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_shortened_recipe_is_a_recipe(home: Path) -> None:
    path = home / "defs.yaml"
    path.write_text(the_recipe(), encoding="utf-8")
    recipe = load_recipe(path, name="t2v", at="attributes")
    assert [s.name for s in recipe.stages] == ["clips", "cleaned", "deduplicated"]


def test_the_tables_open_with_lancedb_as_shown(home: Path) -> None:
    import lancedb

    (code,) = blocks("python")
    program = Path(sys.executable).parent / "dj"
    command = [str(program), "run", "recipe.yaml", "--videos", "videos", "--warehouse"]
    subprocess.run([*command, "w", "--source", "msr_vtt"], cwd=home, check=True)
    recipe = load_recipe(home / "recipe.yaml").name
    shown = code.replace("warehouse/msr_vtt/t2v", f"{home}/w/msr_vtt/{recipe}")
    assert shown != code
    names: dict[str, object] = {"lancedb": lancedb}
    exec(shown, names)
    assert names["table"].count_rows() >= 4  # type: ignore[attr-defined]


def test_json_output_is_one_object_a_video(home: Path) -> None:
    program = Path(sys.executable).parent / "dj"
    (home / "broken.mp4").write_bytes(b"this is no video")
    done = subprocess.run(
        [str(program), "op", "video_duration_filter", "--json", "clip.mp4", "broken.mp4"],
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    good, bad = [json.loads(line) for line in done.stdout.splitlines()]
    assert good["keep"] is True
    assert good["error"] is None
    assert bad["input"] == "broken.mp4"
    assert bad["error"]["class"] == "corrupt"
