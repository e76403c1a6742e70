"""How a run is set up: from the environment, or by whoever builds the definitions."""

from __future__ import annotations

from dj_assets.resources import Compute
from dj_ops_lib.jobs import Job
from dj_ops_lib.sources.config import SourceConfig

NOBODY = SourceConfig(name="msr_vtt", root="/nowhere")


def options(compute: Compute):
    """As the engine gets them, on whichever machine the job is run."""
    job = Job.to_make("/w", NOBODY, "media", "0", options=compute.options())
    return Job.from_json(job.to_json()).engine_options()


def test_quarantined_clips_stay_out_and_rejected_ones_are_not_measured_unless_asked_for():
    plain = options(Compute())
    assert (plain.retry_errors, plain.measure_all) == ((), False)
    assert not plain.may_try("timeout", plain.attempts)


def test_the_environment_asks_for_errors_to_be_retried_and_everything_to_be_measured(monkeypatch):
    monkeypatch.setenv("DJ_RETRY_ERRORS", "timeout decoder_crash")
    monkeypatch.setenv("DJ_MEASURE_ALL", "1")
    monkeypatch.setenv("DJ_WORKERS", "3")
    asked = options(Compute())
    assert asked.retry_errors == ("timeout", "decoder_crash")
    assert asked.may_try("timeout", asked.attempts)
    assert not asked.may_try("corrupt", asked.attempts)
    assert (asked.measure_all, asked.workers) == (True, 3)


def test_whoever_builds_the_definitions_decides_before_the_environment_does(monkeypatch):
    monkeypatch.setenv("DJ_MEASURE_ALL", "1")
    assert options(Compute(measure_all=False, retry_errors=["all"])).retry_errors == ("all",)
    assert not options(Compute(measure_all=False)).measure_all
