"""Dagster runs as processes, without a daemon: one shard through all of its stages.

For the demo, for CI and for cron: the same run processes, events, partitions
and checks as a backfill has. Here too: which shards are up to date, and ending
runs whose process is gone, which nobody else does for runs on one machine
(Dagster's run monitoring asks only launchers that can tell, and the local one
cannot). What a run does is `stages.py`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psutil

from dj_ops_lib.errors import DjError
from dj_ops_lib.media.ffmpeg import die_with_parent
from dj_ops_lib.warehouse import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

_ACTIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FAILURE = re.compile(r"^dagster\S*\.Failure: (.+)$", re.M)
"""How a run's log begins the sentence of `failures.py`."""
_PID = re.compile(r"\(pid: (\d+)\)")


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """All stages of one source over one shard, or the manifests of several sources."""

    sources: tuple[str, ...]
    shard: str | None

    @property
    def name(self) -> str:
        """For people and for the log file."""
        return "manifests" if self.shard is None else f"{self.sources[0]}-{self.shard}"

    @property
    def selection(self) -> str:
        """The assets, in Dagster's selection syntax."""
        manifests = " or ".join(f'key:"{s}/manifest"' for s in self.sources)
        if self.shard is None:
            return manifests
        return f"group:{self.sources[0]} and not {manifests}"

    def command(self) -> list[str]:
        """The run process's command line."""
        # Without the attribute Dagster builds the definitions once more to see which there are.
        command = [sys.executable, "-m", "dagster", "asset", "materialize"]
        command += ["--module-name", "dj_assets.definitions", "--attribute", "defs"]
        command += ["--select", self.selection]
        return command if self.shard is None else [*command, "--partition", self.shard]

    def start(self, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start the run process; what it prints goes to `log`."""
        with log.open("wb") as file:
            return subprocess.Popen(
                self.command(),
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                # A demo that is killed leaves none running. The call is one to the kernel, and the
                # parent is this thread, which waits for the process.
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )


def source_names(graph: AssetGraph) -> list[str]:
    """The sources: whatever has a manifest."""
    keys = graph.materializable_asset_keys
    return sorted(k.path[0] for k in keys if k.path[-1] == "manifest")


def stage_keys(graph: AssetGraph) -> list[dg.AssetKey]:
    """The stage tables' assets: by source, `raw` and `media` first, then recipe by recipe."""
    order = {k: i for i, k in enumerate(graph.toposorted_asset_keys) if graph.get(k).is_partitioned}
    return sorted(order, key=lambda k: (k.path[0], len(k.path), k.path[1:-1], order[k]))


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """One materialization, as far as it matters here."""

    run_id: str
    metadata: Mapping[str, dg.MetadataValue]

    @property
    def table_version(self) -> int:
        """The version of the table that holds it; 0 for what was reported by hand."""
        told = self.metadata.get("table_version")
        return int(str(told.value)) if told is not None else 0


def latest(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str | None, Made]:
    """The newest materialization by shard; by None for an asset without partitions."""
    found: dict[str | None, Made] = {}
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key), limit=1000, cursor=cursor
        )
        for record in page.records:
            event = record.asset_materialization
            if event is not None:
                made = Made(record.run_id, event.metadata)
                found.setdefault(event.partition, made)
        cursor, more = page.cursor, page.has_more
    return found


def outdated(
    instance: dg.DagsterInstance, graph: AssetGraph, warehouse: Warehouse, runs: Sequence[Run]
) -> list[Run]:
    """The runs that would write something else than what is there.

    A shard is up to date if Dagster calls each of its assets fresh (made with today's code from
    today's input, what the UI shows as synced), the run that made it succeeded (a failed check
    fails its run), and the shard is in its table as that run left it: another shard's run that was
    killed may have changed it without a word to Dagster, and so may `dj run`.
    """
    # Private, but the only thing that says what the UI says; moves with the pinned version.
    from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView, TemporalContext
    from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus

    now = TemporalContext(effective_dt=dt.datetime.now(dt.UTC), last_event_id=None)
    view = AssetGraphView(temporal_context=now, instance=instance, asset_graph=graph)
    resolver = CachingStaleStatusResolver(instance, graph, view)
    keys = [k for k in graph.materializable_asset_keys if graph.get(k).is_partitioned]
    history = {k: latest(instance, k) for k in keys}
    tables = {k: k.to_user_string() for k in keys}
    shards = {k: _written(warehouse, t) for k, t in tables.items()}
    succeeded = functools.cache(lambda run_id: _succeeded(instance, run_id))

    def current(key: dg.AssetKey, shard: str | None) -> bool:
        made = history[key].get(shard)
        return (
            made is not None
            and shard in shards[key]
            and shards[key][shard] <= made.table_version
            and succeeded(made.run_id)
            and resolver.get_status(key, shard) is StaleStatus.FRESH
        )

    return [
        run
        for run in runs
        if not all(current(k, run.shard) for k in keys if k.path[0] in run.sources)
    ]


def _written(warehouse: Warehouse, table: str) -> dict[str, int]:
    """The version that last wrote each shard of a table; 0 where a whole table was written."""
    from dj_ops_lib.warehouse.history import shard_commits

    if not warehouse.exists(table):
        return {}
    commits = shard_commits(warehouse.history(table))
    versions = {shard: commit.version for shard, commit in commits.items()}
    return dict.fromkeys(warehouse.shards(table), 0) | versions


def _succeeded(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_success


def end_abandoned_runs(instance: dg.DagsterInstance, *, patience_s: float = 120) -> list[str]:
    """End the runs whose process is gone; returns their ids.

    A run that never told its process is given `patience_s` seconds to do so.
    """
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_ACTIVE)):
        run = record.dagster_run
        pid = process_of(instance, run.run_id)
        age = time.time() - record.create_timestamp.timestamp()
        if is_alive(pid) if pid is not None else age < patience_s:
            continue
        instance.report_run_failed(run, "The run's process is gone; its shard can be run again.")
        ended.append(run.run_id)
    return ended


def process_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Id of the process in which the run executes its steps, None before it has said so."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        found = _PID.search(entry.get_dagster_event().message or "")
        if found:
            return int(found[1])
    return None


def is_alive(pid: int) -> bool:
    """Whether `pid` is a Python process that is not a zombie."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "python" in process.name()
    except psutil.NoSuchProcess:
        return False


class RunFailedError(DjError):
    """A run process that ended with an error; the message ends with its last lines."""

    def __init__(self, run: Run, log: Path) -> None:
        text = log.read_text(encoding="utf-8", errors="replace")
        sentences = dict.fromkeys(_FAILURE.findall(text))
        told = list(sentences) or text.splitlines()[-12:]
        tail = "\n".join(f"  {line.strip()}" for line in told)
        super().__init__(f"the run {run.name} failed; all it said is in {log}, and this:\n{tail}")
