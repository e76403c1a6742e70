"""Failed runs: one sentence, no leftovers."""

from __future__ import annotations

import signal
import subprocess
import sys

import dagster as dg
import psutil

from dj_assets.build import build_defs
from dj_assets.resources import Compute, WarehouseResource
from dj_assets.runs import Run, RunFailedError
from tests.dj_ops_lib.engine.engine_workshop import wait_for

MANIFEST = dg.AssetKey(["msr_vtt", "manifest"])


def failure_of(definitions: dg.Definitions, instance: dg.DagsterInstance):
    job = definitions.resolve_implicit_global_asset_job_def()
    done = job.execute_in_process(
        asset_selection=[MANIFEST], instance=instance, raise_on_error=False
    )
    assert not done.success
    (event,) = [e for e in done.all_events if e.is_step_failure]
    return event.step_failure_data


def test_a_failed_step_begins_with_the_sentence_that_helps(tmp_path, monkeypatch, instance, capfd):
    monkeypatch.setenv("DJ_DATA", str(tmp_path / "nothing"))
    definitions = build_defs(warehouse=WarehouseResource(uri=str(tmp_path / "w")))
    failed = failure_of(definitions, instance)
    assert failed.user_failure_data.description.startswith("source 'msr_vtt': ")
    assert "put the official file there" in failed.user_failure_data.description
    assert "Traceback" in failed.user_failure_data.metadata["trace"].value
    assert failed.error.cause is None
    log = tmp_path / "run.log"  # where the demo finds the sentence among what a run prints
    log.write_text(capfd.readouterr().err)
    said = str(RunFailedError(Run(("msr_vtt",), None), log)).splitlines()
    assert len(said) == 2
    assert said[1].strip() == failed.user_failure_data.description


def test_a_warehouse_that_cannot_be_written_is_named(
    msr_vtt_files, tmp_path, monkeypatch, instance
):
    monkeypatch.setenv("DJ_DATA", str(msr_vtt_files))
    (tmp_path / "file").touch()
    warehouse = WarehouseResource(uri=str(tmp_path / "file" / "w"))
    failed = failure_of(build_defs(warehouse=warehouse, compute=Compute(workers=1)), instance)
    assert f"{tmp_path}/file/w" in failed.user_failure_data.description
    assert "a part of the path is a file" in failed.user_failure_data.description


PARENT = """
import sys
from pathlib import Path
from dj_assets import runs
from dj_assets.demo import run_all
from rich.console import Console
runs.Run.command = lambda self: [sys.executable, "-c", "import time; time.sleep(600)"]
run_all([runs.Run(("a",), "0")], Path(sys.argv[1]), Console())
"""


def test_the_run_processes_of_a_killed_demo_end_with_it(tmp_path):
    demo = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    seen = psutil.Process(demo.pid)
    wait_for(lambda: any("time.sleep" in " ".join(c.cmdline()) for c in seen.children()))
    (run,) = [c for c in seen.children() if "time.sleep" in " ".join(c.cmdline())]
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    wait_for(lambda: not run.is_running() or run.status() == psutil.STATUS_ZOMBIE)
