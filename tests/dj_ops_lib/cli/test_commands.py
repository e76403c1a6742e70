"""`dj` answers on real files; bad input is one line that says what to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import lance
import pytest

from dj_ops_lib.cli import app
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.registry import operator_class, operator_names

DJ = Path(sys.executable).parent / "dj"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("DJ_", "DAGSTER_"))}


def dj(folder: Path, *arguments: str, expect: int = 0, **environment: str) -> str:
    """What `dj` prints, run in this process so that worker processes are started once."""
    settings = {"COLUMNS": "200"} | environment
    printed, complained = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, ENVIRONMENT | settings, clear=True),
        mock.patch.object(sys, "argv", ["dj", *arguments]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
        pytest.raises(SystemExit) as done,
    ):
        app()
    assert (done.value.code or 0) == expect, complained.getvalue() + printed.getvalue()
    return (complained if expect > 1 else printed).getvalue()


def encode(path: Path, *inputs: str) -> None:
    arguments = [a for i in inputs for a in ("-f", "lavfi", "-i", i)]
    command = [find_ffmpeg(), "-v", "error", *arguments, "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds that move, three that do not, and a file that is no video."""
    folder = tmp_path_factory.mktemp("cli") / "videos"
    folder.mkdir()
    encode(folder / "moving.mp4", "testsrc2=s=320x192:r=24:d=3", "sine=d=3")
    encode(folder / "still.mp4", "color=c=navy:s=320x192:r=24:d=3")
    (folder / "broken.mp4").write_bytes(b"this is no video")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def outcomes(folder: Path, *arguments: str, expect: int = 0) -> list[dict[str, object]]:
    printed = dj(folder, "op", *arguments, "--json", expect=expect)
    return [json.loads(line) for line in printed.splitlines()]


def test_ops_lists_every_operator_with_kind_defaults_and_columns(tmp_path: Path) -> None:
    listed = [json.loads(line) for line in dj(tmp_path, "ops", "--json").splitlines()]
    assert [o["name"] for o in listed] == operator_names()
    (motion,) = [o for o in listed if o["name"] == "video_motion_score_filter"]
    assert motion["kind"] == "filter"
    assert motion["parameters"]["min_score"]["default"] == 0.25
    assert "video_motion_score" in motion["columns"]
    table = dj(tmp_path, "ops")
    assert all(name in table for name in operator_names())


def test_names_are_whole_on_a_narrow_terminal(videos: Path) -> None:
    listed = dj(videos, "ops", COLUMNS="80")
    assert all(f" {name} " in listed for name in operator_names())
    assert max(map(len, listed.splitlines())) <= 80
    for name in operator_names():
        about = dj(videos, "ops", name, COLUMNS="80")
        declared = operator_class(name)
        wanted = [*declared.model_fields, *(c.name for c in declared.columns)]
        first_words = {line.split()[0] for line in about.splitlines() if line.startswith("  ")}
        assert set(wanted) <= first_words
        assert str(sys.maxsize)[:10] not in about
        assert "…" not in about
    shown = dj(videos, "op", "video_aspect_ratio_filter", "moving.mp4", COLUMNS="80")
    assert re.search(r"^  video_aspect_denominator +3 *$", shown, re.MULTILINE)


def test_op_says_which_threshold_a_number_misses(videos: Path) -> None:
    small = dj(videos, "op", "video_resolution_filter", "-p", "min_width=400", "moving.mp4")
    assert "moving.mp4: rejected" in small
    assert "video_width 320 < min_width 400" in small
    silent = dj(videos, "op", "video_audio_filter", "still.mp4")
    assert "video_has_audio false" in silent


def test_op_measures_and_decides_on_each_file_in_order(videos: Path) -> None:
    broken, moving, still = outcomes(
        videos, "video_motion_score_filter", "broken.mp4", "moving.mp4", "still.mp4", expect=1
    )
    assert moving["keep"] is True
    assert moving["clips"] == [{"start_s": 0.0, "end_s": 3.0}]
    assert still["keep"] is False
    assert still["columns"] == {
        "video_motion_score": pytest.approx(0.0, abs=1e-6),
        "video_motion_rate": pytest.approx(0.0, abs=1e-6),
    }
    assert broken["keep"] is None
    assert broken["error"]["class"] == "corrupt"  # type: ignore[index]
    assert "broken.mp4" in broken["error"]["message"]  # type: ignore[index]


def test_op_reads_parameters_as_a_recipe_would(videos: Path) -> None:
    (strict,) = outcomes(videos, "video_duration_filter", "-p", "min_duration=3.5", "still.mp4")
    (reversed_,) = outcomes(
        videos,
        "video_duration_filter",
        "-p",
        "min_duration=3.5",
        "-p",
        "reversed_range=true",
        "still.mp4",
    )
    assert (strict["keep"], reversed_["keep"]) == (False, True)


def test_a_splitter_answers_with_spans(videos: Path) -> None:
    (outcome,) = outcomes(
        videos,
        "video_split_by_duration_mapper",
        "-p",
        "split_duration=2",
        "-p",
        "keep_original_sample=false",
        "moving.mp4",
    )
    assert outcome["clips"] == [{"start_s": 0.0, "end_s": 2.0}, {"start_s": 2.0, "end_s": 3.0}]
    assert outcome["keep"] is None


def test_a_deduplicator_names_the_file_that_is_repeated(videos: Path) -> None:
    copy = videos / "copy.bin"
    copy.write_bytes((videos / "moving.mp4").read_bytes())
    first, second = outcomes(videos, "video_deduplicator", "moving.mp4", "copy.bin")
    copy.unlink()
    assert (first["keep"], second["keep"]) == (True, False)
    assert second["columns"]["duplicate_of"] == "moving.mp4"  # type: ignore[index]


def test_the_text_takes_part_where_an_operator_considers_it(videos: Path) -> None:
    def text_hash(text: str) -> object:
        (outcome,) = outcomes(
            videos,
            "video_deduplicator",
            "-p",
            "consider_text=true",
            "--text",
            text,
            "moving.mp4",
        )
        return outcome["columns"]["video_text_hash"]  # type: ignore[index]

    assert text_hash("a cat") == text_hash(" a cat ") != text_hash("a dog")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("op", "video_motion_filter", "still.mp4"), "did you mean 'video_motion_score_filter'"),
        (("ops", "video_motion_filter"), "did you mean 'video_motion_score_filter'"),
        (
            ("op", "video_duration_filter", "-p", "min_durations=2", "still.mp4"),
            "did you mean 'min_duration'",
        ),
        (
            ("op", "video_duration_filter", "-p", "min_duration=long", "still.mp4"),
            "min_duration 'long'",
        ),
        (("op", "video_duration_filter", "-p", "min_duration", "still.mp4"), "key=value"),
        (("run", "none.yaml", "--videos", ".", "--warehouse", "w"), "none.yaml: no such recipe"),
        (("run", "recipe.yaml", "--videos", "*.avi", "--warehouse", "w"), "nothing matches *.avi"),
    ],
)
def test_bad_input_is_refused_in_a_line_that_says_what_is_right(
    videos: Path, arguments: tuple[str, ...], message: str
) -> None:
    (videos / "recipe.yaml").write_text("stages: [{name: a, operators: [video_duration_filter]}]")
    assert message in " ".join(dj(videos, *arguments, expect=2).replace("│", " ").split())


def test_run_writes_a_table_a_stage_and_says_what_became_of_every_file(
    videos: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "stages:\n"
        "  - name: cleaned\n"
        "    operators: [video_duration_filter, video_motion_score_filter]\n"
    )
    printed = dj(tmp_path, "run", str(recipe), "--videos", str(videos), "--warehouse", "tables")
    assert "1 clips kept" in printed
    assert "video_motion_score_filter 1" in printed
    assert "corrupt 1" in printed
    rows = lance.dataset(tmp_path / "tables/files/small/cleaned.lance").to_table().to_pylist()
    fate = {Path(r["source_id"]).name: (r["keep"], r["rejected_by"]) for r in rows}
    assert fate == {
        "moving.mp4": (True, None),
        "still.mp4": (False, "video_motion_score_filter"),
    }
    media = lance.dataset(tmp_path / "tables/files/media.lance").to_table().to_pylist()
    assert {Path(r["source_id"]).name for r in media} == {"moving.mp4", "still.mp4", "broken.mp4"}


def test_run_takes_a_data_juicer_recipe_as_it_is(videos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "theirs.yaml"
    recipe.write_text(
        "project_name: theirs\ndataset_path: x.jsonl\nexport_path: y.jsonl\nnp: 4\n"
        "process:\n"
        "  - video_split_by_duration_mapper:\n"
        "      split_duration: 1\n"
        "      keep_original_sample: false\n"
        "  - video_motion_score_filter:\n"
        "      min_score: 0.5\n"
        "      any_or_all: any\n"
    )
    printed = dj(
        tmp_path, "run", str(recipe), "--videos", f"{videos}/*g.mp4", "--warehouse", "tables"
    )
    assert "3 clips kept" in printed
    rows = lance.dataset(tmp_path / "tables/files/theirs/cleaned.lance").to_table().to_pylist()
    assert sorted((r["start_s"], r["end_s"]) for r in rows) == [(0, 1), (1, 2), (2, 3)]


def test_doctor_says_what_is_there_and_fails_where_nothing_can_work(tmp_path: Path) -> None:
    well = dj(tmp_path, "doctor", DJ_WAREHOUSE=str(tmp_path / "w"))
    for subject in ("cores", "memory", "ffmpeg", "encoders", "extra models", "GPU", "warehouse"):
        assert subject in well
    assert "writable" in well
    (tmp_path / "file").write_text("")
    ill = subprocess.run(
        [str(DJ), "doctor"],
        env=ENVIRONMENT | {"DJ_WAREHOUSE": str(tmp_path / "file" / "w")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ill.returncode == 1
    assert "not writable" in " ".join(ill.stdout.replace("│", " ").split())


def test_the_console_script_refuses_without_a_trace(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(DJ), "op", "nothing", "x.mp4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no operator 'nothing'")
