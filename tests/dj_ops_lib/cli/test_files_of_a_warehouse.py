"""Every file that is made belongs to a warehouse: takedown, prune and drop find it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dj_ops_lib.demo import generate
from dj_ops_lib.warehouse import Warehouse

RECIPE = """
stages:
  - name: cleaned
    operators:
      - video_duration_filter: {min_duration: %s}
render: {preset: ultrafast}
"""


class Shell:
    """Commands in a folder of their own, with nothing in the environment that says where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def dj(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("DJ_")}
        program = [sys.executable, "-c", "from dj_ops_lib.cli import app; app()", *arguments]
        return subprocess.run(
            program,
            cwd=self.folder,
            env=own | {"COLUMNS": "200"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, least: float, warehouse: str = "w", **environment: str) -> None:
        (self.folder / "recipe.yaml").write_text(RECIPE % least)
        done = self.dj(
            *("run", "recipe.yaml", "--videos", "videos", "--warehouse", warehouse), **environment
        )
        assert done.returncode == 0, done.stderr

    def made(self, where: str = "rendered") -> set[Path]:
        return set((self.folder / where).rglob("*.mp4"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("corpus")
    generate(folder)
    return sorted((folder / "msr_vtt" / "videos").glob("*.mp4"))[:3]


@pytest.fixture
def shell(tmp_path: Path, videos: list[Path]) -> Shell:
    (tmp_path / "videos").mkdir()
    for video in videos:
        (tmp_path / "videos" / video.name).write_bytes(video.read_bytes())
    return Shell(tmp_path)


def rows(shell: Shell, table: str) -> list[dict]:
    batches = Warehouse(str(shell.folder / "w")).scan(table)
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_takedown_removes_files_that_the_recipe_no_longer_keeps_from_any_directory(
    shell: Shell, tmp_path: Path
) -> None:
    shell.run(0.1, DJ_RENDERED=str(tmp_path / "far"))
    victim = rows(shell, "files/media")[0]["source_id"]
    (uri,) = [
        r["rendered_uri"] for r in rows(shell, "files/recipe/rendered") if r["source_id"] == victim
    ]
    shell.run(99.0, DJ_RENDERED=str(tmp_path / "far"))  # keeps none: no row names a file now
    assert not rows(shell, "files/recipe/rendered")
    assert Path(uri).exists()
    done = shell.dj("takedown", "--source-id", victim, "--warehouse", "w", "--purge-versions")
    assert done.returncode == 0, done.stderr
    assert f"file removed: {uri}" in done.stdout
    assert not Path(uri).exists()
    assert len(shell.made("far")) == 2


def test_a_takedown_finds_what_dj_render_made(shell: Shell) -> None:
    shell.run(0.1)
    done = shell.dj(
        *("render", "files/recipe/cleaned", "--out", "mine", "--warehouse", "w"),
        *("--root", "videos", "--preset", "ultrafast"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(shell.made("mine")) == 3
    victim = rows(shell, "files/media")[0]["source_id"]
    assert shell.dj("takedown", "--source-id", victim, "--warehouse", "w").returncode == 0
    assert len(shell.made("mine")) == 2
    assert len(shell.made()) == 2


def test_a_file_that_cannot_be_removed_is_said_to_be_left(shell: Shell, tmp_path: Path) -> None:
    shell.run(0.1)
    victim = rows(shell, "files/recipe/rendered")[0]
    path = Path(victim["rendered_uri"])
    path.unlink()
    path.mkdir()  # a folder of that name: it plays nothing
    making = path.parent / ".rendering" / victim["signature"]
    making.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(making)], check=True)
    try:
        named = ("--source-id", victim["source_id"], "--warehouse", "w")
        done = shell.dj("takedown", *named, "--json")
        assert done.returncode == 1
        told = json.loads(done.stdout)
        assert not [f for f in told["files"] if str(making) in f]
        assert any(str(making) in f for f in told["left"])
    finally:
        subprocess.run(["umount", str(making)], check=True)
    again = shell.dj("takedown", *named)
    assert again.returncode == 0, again.stdout


def test_an_id_from_which_nothing_descends_is_said_so_and_nothing_is_created(shell: Shell) -> None:
    shell.run(0.1)
    done = shell.dj("takedown", "--source-id", "nobody", "--warehouse", "w")
    assert done.returncode == 2
    assert "nothing in" in done.stderr
    assert "nobody" in done.stderr
    assert not (shell.folder / "w" / "_warehouse" / "tombstones.lance").exists()
    known = rows(shell, "files/media")[0]["source_id"]
    both = shell.dj("takedown", "--source-id", "nobody", "--source-id", known, "--warehouse", "w")
    assert both.returncode == 1
    assert "unknown: nothing descends from nobody" in both.stdout
    assert len(rows(shell, "files/media")) == 2
    ahead = shell.dj("takedown", "--source-id", "nobody", "--warehouse", "w", "--even-if-unknown")
    assert ahead.returncode == 0


def test_a_warehouse_that_does_not_exist_is_said_so_and_not_made(shell: Shell) -> None:
    done = shell.dj("takedown", "--source-id", "x", "--warehouse", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert not (shell.folder / "nowhere").exists()


def test_two_warehouses_that_render_into_one_folder_prune_their_own_files_only(
    shell: Shell,
) -> None:
    shell.run(0.1, warehouse="w")
    made = shell.made()
    subprocess.run(["rm", "-r", "rendered"], cwd=shell.folder, check=True)
    shell.run(0.1, warehouse="other")
    assert shell.made() == made
    shell.run(99.0, warehouse="w")  # keeps none
    pruned = shell.dj("prune", "--warehouse", "nobodys", "--older-hours", "0", "--delete")
    assert "3 more are on no record of this warehouse" in pruned.stdout, pruned.stdout
    assert shell.made() == made


def test_a_dropped_table_goes_with_the_files_that_no_other_table_names(shell: Shell) -> None:
    shell.run(0.1)
    told = shell.dj("table", "drop", "files/recipe/rendered", "--warehouse", "w")
    assert "3 rows and 3 files would be removed" in told.stdout
    assert len(shell.made()) == 3
    done = shell.dj("table", "drop", "files/recipe/rendered", "--yes", "--warehouse", "w")
    assert done.returncode == 0, done.stderr
    assert not shell.made()
    assert "files/recipe/rendered" not in Warehouse(str(shell.folder / "w")).tables()
    missing = shell.dj("table", "drop", "files/recipe/rendered", "--yes", "--warehouse", "w")
    assert missing.returncode == 2
