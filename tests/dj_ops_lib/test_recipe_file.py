"""Recipes are read whole, or refused with the file, the line and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib import recipe_file
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Column, Filter
from dj_ops_lib.recipe_file import load_recipe, make_operator
from dj_ops_lib.rendering import Rendering

RECIPE = """\
name: t2v
description: what the tests clean with
stages:
  - name: clips
    operators:
      - video_split_by_duration_mapper:
          split_duration: 10.0
          keep_original_sample: false
  - name: cleaned
    operators:
      - video_resolution_filter:
          min_width: 64
      - video_duration_filter
  - name: deduplicated
    operators:
      - video_deduplicator
"""


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_has_its_stages_in_order_and_each_reads_the_one_before(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, RECIPE))
    assert [s.name for s in recipe.stages] == ["clips", "cleaned", "deduplicated"]
    assert [recipe.input_of(s) for s in recipe.stages] == ["media", "clips", "cleaned"]
    assert [o.name for o in recipe.stages[1].operators] == [
        "video_resolution_filter",
        "video_duration_filter",
    ]


def test_a_stage_table_has_the_clip_columns_then_those_of_all_operators_so_far(
    tmp_path: Path,
) -> None:
    recipe = load_recipe(write(tmp_path, RECIPE))
    schema = recipe.schema(recipe.stages[2])
    assert schema.names[: len(CLIP_SCHEMA)] == CLIP_SCHEMA.names
    added = schema.names[len(CLIP_SCHEMA) :]
    assert added[:3] == ["video_width", "video_height", "video_duration"]
    assert added[-2:] == ["duplicate_of", "duplicate_distance"]


def test_the_recipe_may_live_under_a_key_of_a_larger_file(tmp_path: Path) -> None:
    body = "".join(f"  {line}\n" for line in RECIPE.splitlines())
    path = write(tmp_path, f"type: dj_assets.RecipeComponent\nattributes:\n{body}")
    assert (
        load_recipe(path, at="attributes").stages
        == load_recipe(write(tmp_path, RECIPE, "b.yaml")).stages
    )


def test_a_components_file_is_read_as_it_is_and_named_by_its_folder(tmp_path: Path) -> None:
    body = "".join(f"  {line}\n" for line in RECIPE.splitlines() if not line.startswith("name:"))
    folder = tmp_path / "lively"
    folder.mkdir()
    path = write(folder, f"type: dj_assets.RecipeComponent\nattributes:\n{body}", "defs.yaml")
    recipe = load_recipe(path)
    assert recipe.name == "lively"
    assert recipe.stages == load_recipe(path, at="attributes").stages


def test_a_components_file_is_a_recipe_as_it_stands_named_as_dagster_names_it(
    tmp_path: Path,
) -> None:
    stages = "".join(f"  {line}\n" for line in RECIPE.splitlines()[2:])
    text = f"type: dj_assets.components.RecipeComponent\nattributes:\n{stages}"
    folder = tmp_path / "strict"
    folder.mkdir()
    found = load_recipe(write(folder, text, "defs.yaml"))
    assert found.stages == load_recipe(write(tmp_path, RECIPE)).stages
    assert found.name == load_recipe(folder / "defs.yaml", at="attributes").name == "strict"
    assert load_recipe(folder / "defs.yaml", name="given").name == "given"
    assert load_recipe(write(folder, text, "mine.yaml")).name == "mine"
    wrong = write(folder, text.replace("min_width", "min_widht"), "defs.yaml")
    with pytest.raises(RecipeError, match=r"defs.yaml:12: .*did you mean 'min_width'"):
        load_recipe(wrong)


def test_a_folder_whose_name_is_no_recipes_name_leaves_the_files(tmp_path: Path) -> None:
    text = "type: x\nattributes:\n" + "".join(f"  {line}\n" for line in RECIPE.splitlines()[2:])
    folder = tmp_path / "My Recipe"
    folder.mkdir()
    assert load_recipe(write(folder, text, "defs.yaml")).name == "defs"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "video_duration_filter",
            "video_durations_filter",
            13,
            "did you mean 'video_duration_filter'?",
        ),
        ("min_width: 64", "min_widht: 64", 12, "did you mean 'min_width'?"),
        ("min_width: 64", "min_width: wide", 12, "min_width 'wide'"),
        ("min_width: 64", "min_width: '64'", 12, "min_width '64'"),
        ("min_width: 64", "min_width: 1.5", 12, "min_width 1.5"),
        ("split_duration: 10.0", "split_duration: -1.0", 7, "split_duration -1.0"),
        ("stages:", "stags:", 3, "did you mean 'stages'?"),
        ("  - name: cleaned\n", "  - nome: cleaned\n", 9, "did you mean 'name'?"),
        ("name: cleaned", "name: clips", 9, "'clips' is already taken"),
        ("name: cleaned", "name: media", 9, "'media' is already taken"),
        ("name: cleaned", "name: Not a name", 9, "lower-case"),
        (
            "          min_width: 64",
            "          min_width: 64\n          min_width: 65",
            13,
            "given twice",
        ),
        ("      - video_duration_filter\n", "      - video_duration_filter: 5\n", 13, "mapping"),
        ("description: what", "description: [what", 3, "not valid YAML"),
    ],
)
def test_what_cannot_run_is_refused_with_file_line_and_the_right_name(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert RECIPE.count(old) == 1
    path = write(tmp_path, RECIPE.replace(old, new))
    with pytest.raises(RecipeError) as refused:
        load_recipe(path)
    assert str(refused.value).startswith(f"{path}:{line}: "), refused.value
    assert message in str(refused.value)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join(['*a' + str(i - 1)] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 100000 values"),
        ("a: &a [*a]\n", "alias stands inside"),
        ("[" * 20_000, "nested too deeply"),
        ("{a: " * 20_000, "nested too deeply"),
        ("? [stages]\n: 1\n", "a key must be a word"),
    ],
)
def test_a_file_that_stands_for_more_than_it_holds_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RecipeError, match=message) as refused:
        load_recipe(path)
    assert str(refused.value).startswith(f"{path}:")


def test_an_alias_stands_for_what_it_names(tmp_path: Path) -> None:
    text = (
        "stages:\n"
        "  - name: wide\n    operators: [{video_resolution_filter: &wide {min_width: 640}}]\n"
        "  - name: again\n    operators: [{video_resolution_filter: *wide}]\n"
    )
    recipe = load_recipe(write(tmp_path, text))
    assert [s.operators[0].min_width for s in recipe.stages] == [640, 640]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "line", "message"),
    [
        ("render:\n  crff: 20\n", 18, "render has no parameter 'crff'; did you mean 'crf'?"),
        ("render:\n  preset: fast\n  crf: best\n", 19, "render: crf 'best'"),
        ("render:\n  crf: 64\n", 18, "render: crf 64"),
        ("render:\n  cut: rough\n", 18, "render: cut 'rough'"),
        ("render: copy\n", 17, "`render:` is a mapping"),
        ("rendr: {}\n", 17, "did you mean 'render'?"),
    ],
)
def test_a_rendering_that_cannot_be_done_is_refused_with_its_line(
    tmp_path: Path, given: str, line: int, message: str
) -> None:
    path = write(tmp_path, RECIPE + given)
    with pytest.raises(RecipeError) as refused:
        load_recipe(path)
    assert str(refused.value).startswith(f"{path}:{line}: "), refused.value
    assert message in str(refused.value)


def test_a_recipe_renders_only_if_it_says_so(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, RECIPE)).rendering is None
    assert load_recipe(write(tmp_path, RECIPE + "render: {}\n")).rendering == Rendering()
    recipe = load_recipe(write(tmp_path, RECIPE + "render: {cut: copy, crf: 23}\n"))
    assert recipe.rendering == Rendering(cut="copy", crf=23)
    assert recipe.rendered_schema.names[-2:] == ["rendered_uri", "rendered_bytes"]


def test_a_data_juicer_recipe_renders_as_ours_do(tmp_path: Path) -> None:
    process = "process:\n  - video_duration_filter: {min_duration: 1}\n"
    assert load_recipe(write(tmp_path, process)).rendering is None
    recipe = load_recipe(write(tmp_path, process + "render: {crf: 23}\n"))
    assert recipe.rendering == Rendering(crf=23)
    path = write(tmp_path, process + "render: {crf: 99}\n")
    with pytest.raises(RecipeError, match="crf 99") as refused:
        load_recipe(path)
    assert str(refused.value).startswith(f"{path}:3: ")


def test_the_name_of_the_rendered_table_is_taken_where_it_is_made(tmp_path: Path) -> None:
    text = RECIPE.replace("name: deduplicated", "name: rendered")
    assert load_recipe(write(tmp_path, text)).stages[-1].name == "rendered"
    with pytest.raises(RecipeError, match="give the stage another name"):
        load_recipe(write(tmp_path, text + "render: {}\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: no such recipe file"):
        load_recipe(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "- a\n- b\n", "stages: []\n", "stages: 3\n", "just text"]
)
def test_a_file_that_is_no_recipe_says_what_a_recipe_needs(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match="stages"):
        load_recipe(write(tmp_path, text))


class ReadsMotion(Filter):
    """Reads what another operator makes. Source: this test."""

    name = "reads_motion"
    reads = ("video_motion_score",)
    columns = (Column("calm", pa.bool_(), "whether it is calm"),)

    def keep(self) -> pl.Expr:
        return pl.col("calm")


def test_a_column_that_no_earlier_stage_makes_is_refused_naming_who_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recipe_file.operator_class
    monkeypatch.setattr(
        recipe_file, "operator_class", lambda n: ReadsMotion if n == "reads_motion" else real(n)
    )
    path = write(tmp_path, RECIPE.replace("- video_duration_filter", "- reads_motion"))
    with pytest.raises(RecipeError) as refused:
        load_recipe(path)
    assert f"{path}:13: " in str(refused.value)
    assert "'video_motion_score'" in str(refused.value)
    assert "video_motion_score_filter makes it" in str(refused.value)
    made_before = RECIPE.replace(
        "- video_duration_filter", "- video_motion_score_filter\n      - reads_motion"
    )
    assert load_recipe(write(tmp_path, made_before)).stages[1].operators[-1].name == "reads_motion"


def test_an_operator_after_a_deduplicator_is_sent_to_a_stage_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE + "      - video_motion_score_filter\n")
    with pytest.raises(RecipeError, match="stage of its own"):
        load_recipe(path)


def test_moving_a_threshold_changes_the_decision_but_not_the_measurement(tmp_path: Path) -> None:
    before = load_recipe(write(tmp_path, RECIPE)).stages[1]
    after = load_recipe(write(tmp_path, RECIPE.replace("min_width: 64", "min_width: 65"))).stages[1]
    assert before.measuring_fingerprint == after.measuring_fingerprint
    assert before.recipe_hash != after.recipe_hash


def test_a_measuring_parameter_changes_the_measurement() -> None:
    slow = make_operator("video_motion_score_filter", {"sampling_fps": 2.0})
    fast = make_operator("video_motion_score_filter", {"sampling_fps": 4.0})
    strict = make_operator("video_motion_score_filter", {"sampling_fps": 2.0, "min_score": 3.0})
    assert slow.fingerprint("s") != fast.fingerprint("s")
    assert slow.fingerprint("s") == strict.fingerprint("s")
    assert slow.fingerprint("s") != slow.fingerprint("another clip")


DATA_JUICER = """\
project_name: 'My-Recipe'
dataset_path: in.jsonl
export_path: out.jsonl
np: 4
process:
  - video_resolution_filter:
      min_width: 320
      any_or_all: any
      num_proc: 4
  - video_split_by_duration_mapper:
      split_duration: 10
      save_dir: /somewhere
  - video_duration_filter:
      min_duration: 2
  - video_resolution_filter:
      min_width: 640
  - video_motion_score_filter:
  - video_deduplicator:
      consider_text: true
"""


def test_a_data_juicer_recipe_becomes_stages_in_its_own_order(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, DATA_JUICER))
    assert recipe.name == "my_recipe"
    assert [(s.name, [o.name for o in s.operators]) for s in recipe.stages] == [
        ("cleaned", ["video_resolution_filter"]),
        ("clips", ["video_split_by_duration_mapper"]),
        (
            "cleaned_2",
            ["video_duration_filter", "video_resolution_filter", "video_motion_score_filter"],
        ),
        ("deduplicated", ["video_deduplicator"]),
    ]


def test_a_data_juicer_recipe_with_a_wrong_name_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, DATA_JUICER.replace("consider_text", "consider_texts"))
    with pytest.raises(RecipeError, match=r":19: .*did you mean 'consider_text'"):
        load_recipe(path)


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_recipe_error_never_a_crash(tmp_path_factory, text: str) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path_factory.mktemp("fuzz"), text)
    with pytest.raises(RecipeError):
        load_recipe(path)


def test_the_share_of_rows_in_error_that_is_expected_of_a_stage_can_be_set(tmp_path: Path) -> None:
    text = "stages: [{name: a, operators: [video_fps_filter]%s}]"
    assert load_recipe(write(tmp_path, text % "")).stages[0].error_share == (0.05, 0.5)
    path = write(tmp_path, text % ", error_share: [0.1, 0.6]")
    assert load_recipe(path).stages[0].error_share == (0.1, 0.6)
    with pytest.raises(RecipeError, match="two shares from 0 to 1"):
        load_recipe(write(tmp_path, text % ", error_share: [0.6, 0.1]"))
