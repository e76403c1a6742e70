"""Runs as processes: what is due, and runs whose process is gone."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import dagster as dg
import pytest

from dj_assets.runs import Run, end_abandoned_runs, is_alive, latest, outdated

WAITING = """
    import dagster as dg, sys, time

    @dg.op
    def wait():
        print("waiting", flush=True)
        time.sleep(3600)

    @dg.job(executor_def=dg.in_process_executor)
    def waiting():
        wait()

    with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
        waiting.execute_in_process(instance=instance)
"""


@pytest.fixture
def home(tmp_path):
    """An instance on disk, as other processes open it too.

    Its databases are made here: Dagster's SQLite storage does not bear being made by two
    processes at once ("Version table 'alembic_version' has more than one head").
    """
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert instance.get_runs_count() == 0
        assert not instance.event_log_storage.get_logs_for_run("none")
    return folder


def test_a_run_whose_process_was_killed_is_ended_and_a_living_one_is_left_alone(home):
    program = [sys.executable, "-c", textwrap.dedent(WAITING), str(home)]
    processes = [
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    try:
        assert [p.stdout.readline() for p in processes] == ["waiting\n"] * 2
        killed, living = processes
        killed.kill()
        killed.wait()
        assert is_alive(living.pid)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            (ended,) = end_abandoned_runs(instance)
            statuses = {r.run_id: r.status for r in instance.get_runs()}
            assert statuses.pop(ended) is dg.DagsterRunStatus.FAILURE
            assert list(statuses.values()) == [dg.DagsterRunStatus.STARTED]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_shard_is_due_until_it_is_made_and_again_when_its_input_changes(
    definitions, instance, tmp_path
):
    from dj_ops_lib.warehouse import Warehouse

    warehouse = Warehouse(str(tmp_path / "warehouse"))
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(["msr_vtt", "manifest"])]
    )
    runs = [Run(("msr_vtt",), shard) for shard in ("00000", "00001")]
    assert outdated(instance, graph, warehouse, runs) == runs

    stages = [k for k in graph.get_all_asset_keys() if k.path[0] == "msr_vtt" and len(k.path) > 1]
    made = [k for k in stages if k.path[-1] != "manifest"]
    job.execute_in_process(instance=instance, asset_selection=made, partition_key="00000")
    assert outdated(instance, graph, warehouse, runs) == runs[1:]
    assert set(latest(instance, dg.AssetKey(["msr_vtt", "media"]))) == {"00000"}

    changed = dg.AssetMaterialization(
        ["msr_vtt", "raw"], partition="00000", tags={"dagster/data_version": "another"}
    )
    instance.report_runless_asset_event(changed)
    assert outdated(instance, graph, warehouse, runs) == runs


def test_a_run_selects_a_source_without_its_manifest(definitions):
    graph = definitions.resolve_asset_graph()

    def selected(run: Run) -> set[str]:
        keys = dg.AssetSelection.from_string(run.selection).resolve(graph)
        return {k.to_user_string() for k in keys}

    shard = selected(Run(("internvid",), "00000"))
    assert shard == {
        "internvid/raw",
        "internvid/media",
        "internvid/t2v/clips",
        "internvid/t2v/cleaned",
        "internvid/t2v/deduplicated",
    }
    manifests = selected(Run(("internvid", "msr_vtt"), None))
    assert manifests == {"internvid/manifest", "msr_vtt/manifest"}
