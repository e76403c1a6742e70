"""Whatever parameter Data-Juicer's operators take is accepted here, and says what it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.peer.environment import VERSION
from benchmarks.peer.exceptions import PAGE
from benchmarks.peer.parameters import EVERY, differences, download, parameters_of, read_record
from dj_assets.stages import describe
from dj_ops_lib.data_juicer import EVERYWHERE, OF_ONE, UNLESS_NULL
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.recipe_file import idle_parameters, load_recipe, make_operator
from dj_ops_lib.registry import operator_class, operator_names

DJ = str(Path(sys.executable).parent / "dj")
RECORD = read_record()
SHARED = sorted(RECORD.keys() - {"version", EVERY})


def written_out(operator: str) -> dict[str, Any]:
    """The operator with all that the peer's version of it takes, at the peer's own defaults."""
    taken = RECORD[EVERY] | RECORD[operator]
    return {k: v for k, v in taken.items() if not isinstance(v, dict) or "code" not in v}


def test_the_record_is_of_the_release_that_everything_else_is_measured_with() -> None:
    assert RECORD["version"] == VERSION
    assert {"video_backend", "save_dir"} <= RECORD["video_split_by_key_frame_mapper"].keys()
    assert "optical_flow_key" in RECORD["video_motion_score_filter"]
    assert {"adaptive_batching", "index_key", "work_dir"} <= RECORD[EVERY].keys()


@pytest.mark.parametrize("operator", SHARED)
def test_every_parameter_of_the_released_operator_is_our_own_or_accepted(operator: str) -> None:
    own = operator_class(operator).model_fields.keys()
    accepted = set(EVERYWHERE) | {k for of, k in (*OF_ONE, *UNLESS_NULL) if of == operator}
    assert (RECORD[EVERY] | RECORD[operator]).keys() - own - accepted == set()


@pytest.mark.parametrize("operator", operator_names())
def test_what_every_operator_of_the_peer_takes_every_one_of_ours_accepts(operator: str) -> None:
    given = {k: "whatever" for k in RECORD[EVERY].keys() - operator_class(operator).model_fields}
    assert make_operator(operator, given) == make_operator(operator, {})
    assert len(idle_parameters(operator, given)) == len(given)


@pytest.mark.parametrize("operator", SHARED)
@pytest.mark.parametrize("layout", ["process", "stages"])
def test_a_recipe_with_every_parameter_written_out_loads(
    tmp_path: Path, operator: str, layout: str
) -> None:
    listed = [{operator: written_out(operator)}]
    body = listed if layout == "process" else [{"name": "one", "operators": listed}]
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump({layout: body}), encoding="utf-8")
    recipe = load_recipe(path)
    ((loaded,),) = [s.operators for s in recipe.stages]
    own = operator_class(operator).model_fields.keys()
    assert len(recipe.remarks) == len(written_out(operator).keys() - own)
    assert loaded.fingerprint() == make_operator(operator, loaded.model_dump()).fingerprint()


@pytest.mark.parametrize("given", ["optical_flow_keys", "vidio_backend", "save_folder"])
def test_a_parameter_that_nobody_has_is_refused(given: str) -> None:
    with pytest.raises(RecipeError, match=f"has no parameter '{given}'"):
        make_operator("video_motion_score_filter", {given: 1})


def test_a_parameter_of_another_operator_is_refused() -> None:
    with pytest.raises(RecipeError, match="has no parameter 'optical_flow_key'"):
        make_operator("video_resolution_filter", {"optical_flow_key": "flow"})


def test_frames_given_instead_of_a_video_are_refused_with_the_reason() -> None:
    with pytest.raises(RecipeError, match="frame_field can only be null here: a clip has a video"):
        make_operator("video_motion_score_filter", {"frame_field": "frames"})


def test_no_operator_has_a_field_that_is_said_to_do_nothing() -> None:
    """Its own parameter would win; a name on both lists must be meant."""
    both = {(n, k) for n in operator_names() for k in operator_class(n).model_fields}
    assert {(n, k) for n, k in both if k in EVERYWHERE} == {
        ("video_split_by_scene_mapper", "show_progress")
    }
    assert both & (OF_ONE.keys() | UNLESS_NULL.keys()) == set()


def test_the_page_names_every_parameter_that_is_accepted() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {k for k in (*EVERYWHERE, *(k for _, k in OF_ONE)) if f"`{k}`" not in page} == set()


def test_the_command_line_says_what_it_accepts_and_answers_the_same(tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=3"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, str(video)], check=True)
    name = "video_split_by_duration_mapper"
    command = [DJ, "op", name, "--json", "-p", "split_duration=1", str(video)]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    idle = ["-p", "save_dir=/somewhere", "-p", "video_backend=av", "-p", "num_proc=4"]
    said = subprocess.run([*command, *idle], capture_output=True, text=True, check=True)
    assert said.stdout == plain.stdout
    assert len(json.loads(said.stdout)["clips"]) == 4  # the clip, which stays, and three seconds
    assert plain.stderr == ""
    assert [line.partition(" does nothing here: ")[0] for line in said.stderr.splitlines()] == [
        f"{name}: save_dir",
        f"{name}: video_backend",
        f"{name}: num_proc",
    ]


def test_the_stage_in_the_ui_says_it_too(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("process:\n  - video_deduplicator: {num_proc: 4}\n", encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.remarks[0].startswith("video_deduplicator: num_proc does nothing here: ")
    assert recipe.remarks[0] in describe(recipe, recipe.stages[0])


def test_a_difference_between_two_releases_is_told() -> None:
    new = {**RECORD, EVERY: RECORD[EVERY] | {"turbo": True, "warp": 9}, "video_deduplicator": {}}
    assert differences(RECORD, new) == [
        "every operator: warp is new",
        "every operator: turbo = True, was False",
        "video_deduplicator: consider_text is gone",
    ]


@pytest.mark.slow
def test_the_record_is_what_the_newest_release_takes(tmp_path: Path) -> None:
    newest = parameters_of(download(tmp_path))
    renew = "accept what is new and run: python benchmarks/peer/parameters.py --write"
    assert differences(RECORD, newest) == [], f"py-data-juicer {newest['version']}: {renew}"
