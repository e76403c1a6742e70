"""The README's recipe and commands, without what they are run on (`tests/e2e/test_pages.py`)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.recipe_file import load_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_make_target_in_the_readme_exists_and_is_described() -> None:
    described = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets[:2] == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}\s", described, re.MULTILINE), target


def test_the_shortened_recipe_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "t2v" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(next(b for b in blocks("yaml") if "RecipeComponent" in b), encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.name == "t2v"
    assert [s.name for s in recipe.stages] == ["clips", "cleaned", "deduplicated"]


def test_json_output_is_one_object_a_video(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "dj"
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=1"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, str(tmp_path / "clip.mp4")], check=True)
    (tmp_path / "broken.mp4").write_bytes(b"this is no video")
    done = subprocess.run(
        [str(program), "op", "video_duration_filter", "--json", "clip.mp4", "broken.mp4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # one of the two failed
    good, bad = [json.loads(line) for line in done.stdout.splitlines()]
    assert good["keep"] is True
    assert good["error"] is None
    assert bad["input"] == "broken.mp4"
    assert bad["error"]["class"] == "corrupt"
