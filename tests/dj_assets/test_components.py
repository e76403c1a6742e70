"""What a `defs.yaml` may say, and how it is refused: a project of its own in a folder."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dj_assets.build import build_defs
from dj_assets.runs import source_names
from dj_ops_lib.errors import RecipeError, SourceError

NUMBER = itertools.count()
ROOT = Path(__file__).parents[2]
SOURCE = "type: dj_assets.components.SourceComponent\n\nattributes: {}\n"
RECIPE = """\
type: dj_assets.components.RecipeComponent

attributes:
  sources: [msr_vtt]
  stages:
    - name: cleaned
      keep_rate: [0.2, 0.9]
      operators:
        - video_resolution_filter: {min_width: 128}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with one source; `load()` gives its definitions."""
    package = f"recipes_of_test_{next(NUMBER)}"
    folder = tmp_path / "project"
    (folder / package / "defs").mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / "defs" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n'
        f'[tool.dg.project]\nroot_module = "{package}"\nregistry_modules = ["dj_assets"]\n'
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("DJ_DATA", str(tmp_path / "data"))
    return Project(folder, folder / package / "defs")


class Project:
    def __init__(self, folder: Path, defs: Path) -> None:
        self.folder = folder
        self.defs = defs
        self.add(
            "sources/msr_vtt", "type: dj_assets.components.SourceComponent\n\nattributes: {}\n"
        )

    def add(self, name: str, text: str) -> Path:
        path = self.defs / name / "defs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def keys(self) -> set[str]:
        graph = build_defs(project=self.folder).resolve_asset_graph()
        return {k.to_user_string() for k in graph.get_all_asset_keys()}

    def refusal(self) -> BaseException:
        """The error at the bottom of what Dagster raises."""
        with pytest.raises(Exception) as raised:  # noqa: PT011  looked into below
            build_defs(project=self.folder, strict=True)
        error = raised.value
        while error.__cause__ is not None:
            error = error.__cause__
        return error


def test_a_new_recipe_is_one_file(project):
    project.add("recipes/wide", RECIPE)
    assert project.keys() == {
        "msr_vtt/manifest",
        "msr_vtt/raw",
        "msr_vtt/media",
        "msr_vtt/wide/cleaned",
        "warehouse/maintenance",
    }


def test_a_recipe_that_renders_has_one_asset_more(project):
    project.add("recipes/wide", RECIPE + "  render: {crf: 20}\n")
    assert {"msr_vtt/wide/cleaned", "msr_vtt/wide/rendered"} <= project.keys()


def test_a_new_source_of_a_known_dataset_is_one_file(project):
    text = "type: dj_assets.components.SourceComponent\n\nattributes: {dataset: msr_vtt}\n"
    project.add("sources/our_videos", text)
    assert {"our_videos/manifest", "our_videos/raw", "our_videos/media"} <= project.keys()


def test_a_source_reads_its_place_from_the_environment(project, monkeypatch, tmp_path):
    monkeypatch.setenv("WHERE_IT_IS", str(tmp_path / "elsewhere"))
    text = "type: dj_assets.components.SourceComponent\n\nattributes:\n"
    project.add("sources/msr_vtt", text + '  root: "{{ env.WHERE_IT_IS }}"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "source.yaml").write_text("rows_per_shard: none\n")
    assert str(elsewhere / "source.yaml") in str(project.refusal())


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("resolution_filter", "resolution_fliter", 9, "did you mean 'video_resolution_filter'"),
        ("min_width", "min_wdith", 9, "did you mean 'min_width'"),
        ("128", "wide", 9, "min_width 'wide'"),
        ("  stages:", "  render: {crff: 1}\n  stages:", 5, "did you mean 'crf'"),
        ("[0.2, 0.9]", "[20, 90]", 7, "two shares from 0 to 1"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_run_is_refused_with_its_line(project, old, new, line, said):
    path = project.add("recipes/wide", RECIPE.replace(old, new))
    error = project.refusal()
    assert isinstance(error, RecipeError)
    assert str(error).startswith(f"{path}:{line}: ")
    assert said in str(error)


def test_a_recipe_over_an_unknown_source_names_the_nearest_one(project):
    path = project.add("recipes/wide", RECIPE.replace("[msr_vtt]", "[msr_vt]"))
    error = project.refusal()
    assert isinstance(error, RecipeError)
    assert str(path) in str(error)
    assert "did you mean 'msr_vtt'?" in str(error)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("resolution_filter", "resolution_fliter", 9, "did you mean 'video_resolution_filter'"),
        ("  stages:", "  rendr: {}\n  stages:", None, "rendr"),
        ("min_width: 128}", "min_width: 128", 10, "not valid YAML"),
        ("attributes:\n", "attributes:\n    deeper: [\n", 6, "not valid YAML"),
        ("[msr_vtt]", "[msr_vtt, msr_vt]", None, "did you mean 'msr_vtt'?"),
    ],
)
def test_a_broken_recipe_takes_down_itself_only(project, old, new, line, said):
    project.add("recipes/sound", RECIPE)
    path = project.add("recipes/wide", RECIPE.replace(old, new))
    graph = build_defs(project=project.folder).resolve_asset_graph()
    sound = graph.get(dg.AssetKey(["msr_vtt", "sound", "cleaned"]))
    broken = graph.get(dg.AssetKey(["msr_vtt", "wide", "cleaned"]))
    assert sound.is_executable
    assert not broken.is_executable
    assert f"{path}:{line}: " in broken.description if line else str(path) in broken.description
    assert said in broken.description
    project.refusal()


def test_a_broken_source_takes_down_itself_and_what_is_made_of_it(project):
    project.add("recipes/wide", RECIPE.replace("[msr_vtt]", "[msr_vtt, panda70m]"))
    path = project.add("sources/panda70m", SOURCE.replace("{}", "{identity: md5}"))
    graph = build_defs(project=project.folder).resolve_asset_graph()
    works = {k.to_user_string(): graph.get(k).is_executable for k in graph.get_all_asset_keys()}
    broken = {k for k, executable in works.items() if not executable}
    assert broken == {f"panda70m/{s}" for s in ("manifest", "raw", "media", "wide/cleaned")}
    assert works["msr_vtt/wide/cleaned"]
    for key in broken:
        description = graph.get(dg.AssetKey(key.split("/"))).description
        assert str(path) in description
        assert "identity" in description
    assert source_names(graph) == ["msr_vtt"]


def test_shards_of_an_extract_are_as_small_as_its_folder_says(project, tmp_path):
    from dj_assets.components import beside_the_files
    from dj_ops_lib.sources.config import SourceConfig

    folder = tmp_path / "data" / "msr_vtt"
    folder.mkdir(parents=True)
    config = SourceConfig(name="msr_vtt")
    assert beside_the_files(config) == {}
    (folder / "source.yaml").write_text("rows_per_shard: 8\n")
    assert beside_the_files(config) == {"rows_per_shard": 8}
    (folder / "source.yaml").write_text("rows_per_shard: 8\nmedia_root: /\n")
    with pytest.raises(SourceError, match=r"source\.yaml.*nothing else"):
        beside_the_files(config)


def test_the_yaml_of_this_project_is_valid_and_a_misspelt_key_is_pointed_at(tmp_path):
    dg_command = Path(sys.executable).with_name("dg")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(ROOT / "pyproject.toml", copy)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dj_assets", copy / "dj_assets", ignore=ignored)
    command = [str(dg_command), "check", "yaml"]
    good = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    path = copy / "dj_assets" / "defs" / "recipes" / "t2v" / "defs.yaml"
    path.write_text(path.read_text().replace("  stages:", "  stagse:"))
    bad = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "stagse" in bad.stdout + bad.stderr
