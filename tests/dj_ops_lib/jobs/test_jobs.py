"""A job is a value: it is made anywhere, once, with what it says and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest

from dj_ops_lib.checks import DESCRIPTIONS
from dj_ops_lib.compute.local import LocalCompute
from dj_ops_lib.errors import JobError
from dj_ops_lib.jobs import Job, report_file, run_job
from dj_ops_lib.jobs.job import JobOptions, ShareValue
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.ingest import write_manifest
from dj_ops_lib.warehouse import Warehouse

SHARD = "00000"


def write_video(path: Path, number: int) -> None:
    """Two seconds of a texture that moves by `number` pixels a frame."""
    texture = np.random.default_rng(number).integers(0, 255, (96, 400, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.time_base = Fraction(1, 12)
        for i in range(24):
            image = np.ascontiguousarray(texture[:, i * number : i * number + 128])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "videos").mkdir()
    for number in range(6):
        write_video(folder / "videos" / f"video{number}.mp4", number)
    videos = [{"video_id": f"video{i}", "id": i, "split": "train"} for i in range(6)]
    sentences = [{"caption": f"says {i}", "video_id": f"video{i}", "sen_id": i} for i in range(6)]
    document = {"info": {}, "videos": videos, "sentences": sentences}
    (folder / "train_val_videodatainfo.json").write_text(json.dumps(document))
    return folder


@dataclasses.dataclass
class Place:
    """A warehouse with the manifest of one source, and jobs for it."""

    warehouse: Warehouse
    source: SourceConfig
    recipe: Recipe

    def job(self, stage: str, **fields: Any) -> Job:
        recipe = None if stage in {"raw", "media"} else self.recipe
        return Job.to_make(self.warehouse.uri, self.source, stage, SHARD, recipe=recipe, **fields)

    def frame(self, table: str) -> pa.Table:
        rows = pa.Table.from_batches(list(self.warehouse.read_shard(table, SHARD)))
        return rows.sort_by("clip_id")


def recipe(least: float = 0.5) -> Recipe:
    motion = make_operator("video_motion_score_filter", {"min_score": least, "max_score": 99.0})
    sharp = make_operator("video_sharpness_filter", {})
    return Recipe("r", (Stage("cleaned", (motion, sharp)),))


@pytest.fixture
def place(data: Path, tmp_path: Path) -> Place:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    source = SourceConfig(name="msr_vtt", root=str(data))
    write_manifest(warehouse, source)
    return Place(warehouse, source, recipe())


@pytest.fixture
def found(place: Place) -> Place:
    """With `raw` and `media`."""
    run_job(place.job("raw"))
    run_job(place.job("media"))
    return place


def worker(job: Job, tmp_path: Path, *, folder: Path | None = None) -> subprocess.CompletedProcess:
    """Run a job as an engine does: a program, a file, another directory."""
    file = tmp_path / f"{job.id}.json"
    file.write_text(job.to_json())
    root = str(Path(__file__).parents[3])
    return subprocess.run(
        [sys.executable, "-m", "dj_ops_lib.jobs.worker", str(file)],
        cwd=folder or tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": root, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_stage_is_a_job_and_comes_back_as_a_report(place: Place, tmp_path: Path) -> None:
    rendering = {"preset": "ultrafast"}
    from dj_ops_lib.rendering import Rendering

    place.recipe = dataclasses.replace(place.recipe, rendering=Rendering(**rendering))
    made = [run_job(place.job(s)) for s in ("raw", "media", "cleaned")]
    made.append(run_job(place.job("rendered", rendered=str(tmp_path / "files"))))
    assert all(f.passed for m in made for f in m.findings)
    assert len({m.data_version for m in made}) == 4
    reports = [m.stage for m in made]
    assert [r.table for r in reports] == [
        "msr_vtt/raw",
        "msr_vtt/media",
        "msr_vtt/r/cleaned",
        "msr_vtt/r/rendered",
    ]
    assert [r.rows_out for r in reports] == [6, 6, 6, reports[2].kept]
    assert 0 < reports[2].kept < 6
    assert len(list((tmp_path / "files").glob("*.mp4"))) == reports[2].kept


def test_a_program_in_another_directory_makes_the_same_rows(found: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = worker(found.job("cleaned"), tmp_path, folder=elsewhere)
    assert done.returncode == 0, done.stderr
    made_there = report_file.from_json(done.stdout)
    report = made_there.stage
    assert {f.check for f in made_there.findings} == set(DESCRIPTIONS)
    assert made_there.data_version
    assert (report.rows_in, report.measured) == (6, 6)
    made = found.frame("msr_vtt/r/cleaned")
    here = dataclasses.replace(found, warehouse=Warehouse(str(tmp_path / "other")))
    write_manifest(here.warehouse, here.source)
    for stage in ("raw", "media", "cleaned"):
        LocalCompute().run(here.job(stage), lambda _: None)
    assert here.frame("msr_vtt/r/cleaned").equals(made)


def test_json_and_back_is_the_same_job(found: Place) -> None:
    job = found.job("cleaned", run_id="x", share=ShareValue(number=1, of=3))
    again = Job.from_json(job.to_json())
    assert again == job
    assert again.id == job.id
    assert again.recipe is not None
    assert again.recipe.recipe() == found.recipe


def test_the_id_is_that_of_what_is_made_and_from_what(found: Place) -> None:
    job = found.job("cleaned")
    assert found.job("cleaned", run_id="another").id == job.id
    assert found.job("cleaned", options=JobOptions(workers=1)).id == job.id
    others = [
        found.job("media"),
        found.job("cleaned", input_version=1),
        found.job("cleaned", options=JobOptions(measure_all=True)),
        dataclasses.replace(found, recipe=recipe(2.0)).job("cleaned"),
        Job.to_make("/elsewhere", found.source, "cleaned", SHARD, recipe=found.recipe),
    ]
    assert len({job.id, *(o.id for o in others)}) == 6


def test_a_second_worker_with_the_same_job_returns_the_first_ones_report(
    found: Place, tmp_path: Path
) -> None:
    job = found.job("cleaned", run_id="one")
    first = run_job(job)
    second = worker(job, tmp_path)
    assert report_file.from_json(second.stdout) == first
    assert found.warehouse.version("msr_vtt/r/cleaned") == first.stage.version
    # Another run makes it anew, from what is known; and so does the same one, once the shard was
    # written by somebody else.
    again = run_job(found.job("cleaned", run_id="two")).stage
    assert (again.version > first.stage.version, again.measured) == (True, 0)
    assert run_job(job).stage.version > again.version


def test_shares_measure_and_commit_nothing_and_the_shards_own_job_finds_it_all(
    found: Place, tmp_path: Path
) -> None:
    shares = [run_job(found.job("cleaned", share=ShareValue(number=n, of=2))).stage for n in (0, 1)]
    assert [(r.version, r.rows_in, r.measured) for r in shares] == [(0, 3, 3)] * 2
    assert not found.warehouse.exists("msr_vtt/r/cleaned")
    report = run_job(found.job("cleaned")).stage
    assert (report.rows_in, report.rows_out, report.measured) == (6, 6, 0)


def test_a_job_that_was_killed_goes_on_with_another_worker(found: Place, tmp_path: Path) -> None:
    """The first worker is stopped as soon as a result of its own is kept."""
    job = found.job("cleaned", options=JobOptions(workers=1))
    file = tmp_path / "job.json"
    file.write_text(job.to_json())
    program = """
import os, signal, sys
from dj_ops_lib.jobs import Job, run_job

signal.signal(signal.SIGINT, signal.default_int_handler)

def stop(progress):
    if progress.clips == 4:
        os.kill(os.getpid(), signal.SIGINT)

run_job(Job.from_json(open(sys.argv[1]).read()), progress=stop)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert not found.warehouse.exists("msr_vtt/r/cleaned")
    other = worker(job, tmp_path)
    assert other.returncode == 0, other.stderr
    assert report_file.from_json(other.stdout).stage.measured == 2


def test_a_pinned_input_is_read_although_a_newer_one_is_there(found: Place) -> None:
    before = found.warehouse.version("msr_vtt/media")
    rows = pa.Table.from_batches(list(found.warehouse.read_shard("msr_vtt/media", SHARD)))
    from dj_ops_lib.warehouse import Provenance

    found.warehouse.replace_shard(
        "msr_vtt/media",
        SHARD,
        rows.slice(0, 2).to_batches(),
        schema=rows.schema,
        provenance=Provenance(),
    )
    assert run_job(found.job("cleaned", input_version=before)).stage.rows_in == 6
    assert run_job(found.job("cleaned")).stage.rows_in == 2


def test_a_recipe_that_is_edited_meanwhile_changes_nothing(found: Place) -> None:
    sent = found.job("cleaned").to_json()
    found.recipe = recipe(50.0)
    report = run_job(Job.from_json(sent)).stage
    assert report.kept > 0
    (commit,) = [c for c in found.warehouse.history("msr_vtt/r/cleaned") if c.shard == SHARD]
    assert commit.provenance is not None
    assert commit.provenance.operators[0].parameters["min_score"] == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d | {"code": "0.0.0"}, "made by version 0.0.0"),
        (lambda d: d | {"format": 2}, "is no job: format"),
        (lambda d: d | {"colour": "red"}, "is no job: colour"),
        (lambda d: d | {"shard": ""}, "is no job: shard"),
        (lambda d: d | {"share": {"number": 2, "of": 2}}, "share 2 of 2: numbers go from 0 to 1"),
        (lambda d: d | {"recipe": None}, "has no recipe"),
    ],
)
def test_a_job_that_is_none_is_refused_in_one_line(
    found: Place, tmp_path: Path, change: Any, said: str
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(change(json.loads(found.job("cleaned").to_json()))))
    done = subprocess.run(
        [sys.executable, "-m", "dj_ops_lib.jobs.worker", str(file)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not found.warehouse.exists("msr_vtt/r/cleaned")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "video_dream_filter"}, "needs the operator 'video_dream_filter'"),
        ({"parameters": {"min_score": 1.0, "colour": "red"}}, "needs the operator"),
        ({"digest": "0" * 32}, "measures something else here"),
    ],
)
def test_an_operator_that_is_missing_or_another_one_here_is_named(
    found: Place, change: dict[str, Any], said: str
) -> None:
    job = json.loads(found.job("cleaned").to_json())
    job["recipe"]["stages"][0]["operators"][0] |= change
    with pytest.raises(JobError, match=said):
        run_job(Job.from_json(json.dumps(job)))
    assert not found.warehouse.exists("msr_vtt/r/cleaned")


def test_a_job_holds_no_secret(found: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    assert "very-secret" not in found.job("cleaned").to_json()


def test_a_torn_report_is_no_report(found: Place) -> None:
    job = found.job("cleaned", run_id="one")
    first = run_job(job)
    found.warehouse.write_note(f"_jobs/{job.id}.json", '{"run_id": "one", "rep')
    assert run_job(job).stage.version > first.stage.version


@pytest.mark.parametrize("fields", [{"input_version": 1}, {"share": ShareValue(number=0, of=2)}])
def test_what_a_job_for_raw_cannot_keep_to_is_refused(place: Place, fields: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="'raw'"):
        run_job(place.job("raw", **fields))
    assert not place.warehouse.exists("msr_vtt/raw")
