"""`python -m dj_assets.demo`: the demo corpus through every stage of every source, in Dagster.

What a backfill of everything would do, without a daemon: one run process a
shard, as many at a time as there are cores. Runs, events, partitions and checks
land in the instance at `DAGSTER_HOME`, where the UI shows them. It can be
stopped and started again: shards that are up to date are left alone. How runs
are started is `runs.py`; what came out is told by `outcome.py`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dj_assets import outcome
from dj_assets.build import build_defs
from dj_assets.partitions import registered_shards
from dj_assets.runs import Run, RunFailedError, end_abandoned_runs, outdated, source_names
from dj_ops_lib import settings
from dj_ops_lib.engine.options import available_cores
from dj_ops_lib.errors import DjError
from dj_ops_lib.warehouse import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

INSTANCE = Path(__file__).parent.parent / "deployments" / "local" / "dagster.yaml"


def main() -> int:
    """Build the corpus, run everything, show what came out; 1 if a run failed."""
    started = time.monotonic()
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120)
    home = prepare_instance()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with only_one(home), dg.DagsterInstance.get() as instance:
            corpus(console)
            graph = build_defs().resolve_asset_graph()
            warehouse = Warehouse(settings.warehouse_uri())
            materialize(instance, graph, warehouse, home, console)
            console.print(outcome.table(instance, graph, warehouse))
            console.print(outcome.checks_line(instance, graph))
    except DjError as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Start it again and it goes on where it was.")
        return 130
    console.print(f"Done in {time.monotonic() - started:.0f} s. Tables: {settings.warehouse_uri()}")
    console.print("Look at it:  [bold]make ui[/bold]  and open http://127.0.0.1:3000")
    return 0


def prepare_instance() -> Path:
    """The instance's folder: `DAGSTER_HOME`, else `./.dagster_home`; made if it is not there."""
    home = Path(os.environ.get("DAGSTER_HOME") or ".dagster_home").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(INSTANCE, home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Refuses a second demo on the same instance.

    Raises:
        DjError: One is running.
    """
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DjError(f"another demo is running on {home}; wait for it or stop it") from None
        yield


def corpus(console: Console) -> None:
    """The demo corpus at `DJ_DATA`, generated if it is not there.

    Raises:
        DjError: The folder holds files that the demo did not make.
    """
    root = settings.data_root()
    made, unfinished = root / "truth.json", root / ".demo_unfinished"
    if made.exists() and not unfinished.exists():
        return
    if root.exists() and any(root.iterdir()) and not unfinished.exists():
        raise DjError(f"{root} holds other files; point DJ_DATA at an empty folder for the demo")
    root.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    from dj_ops_lib.demo import generate

    with console.status("generating the demo corpus"):
        started = time.monotonic()
        generate(root)
    unfinished.unlink()
    console.print(f"corpus in {root}: {time.monotonic() - started:.0f} s")


def materialize(
    instance: dg.DagsterInstance,
    graph: AssetGraph,
    warehouse: Warehouse,
    home: Path,
    console: Console,
) -> None:
    """Run every manifest, then every shard that is not up to date.

    Raises:
        RunFailedError: A run failed; the others were run all the same.
    """
    for run_id in end_abandoned_runs(instance):
        console.print(f"ended run {run_id[:8]}, whose process is gone")
    sources = source_names(graph)
    run_all([Run(tuple(sources), None)], home, console)
    found = [Run((s,), shard) for s in sources for shard in registered_shards(instance, s)]
    # Neighbours are of different sources: deduplication compares a source's shards with each other.
    found.sort(key=lambda run: (run.shard or "", run.sources))
    due = outdated(instance, graph, warehouse, found)
    if len(due) < len(found):
        console.print(f"{len(found) - len(due)} of {len(found)} shards are up to date")
    run_all(due, home, console)


def run_all(runs: Sequence[Run], home: Path, console: Console) -> None:
    """Run processes, one for each core at a time, with one worker process each.

    Raises:
        RunFailedError: Of the first run that failed, after all have ended.
    """
    if not runs:
        return
    environment = {**os.environ, "DJ_WORKERS": os.environ.get("DJ_WORKERS", "1")}
    logs = home / "demo_logs"
    logs.mkdir(exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    failures: list[RunFailedError] = []
    processes = _Processes()
    with (
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
        ThreadPoolExecutor(available_cores()) as pool,
    ):
        what = "manifests" if runs[0].shard is None else "shards"
        bar = progress.add_task(what, total=len(runs))
        waiting = {
            pool.submit(processes.run, run, logs / f"{run.name}.log", environment): run
            for run in runs
        }
        try:
            for done in as_completed(waiting):
                run, (code, seconds) = waiting[done], done.result()
                progress.advance(bar)
                if code:
                    failures.append(RunFailedError(run, logs / f"{run.name}.log"))
                word = "[red]failed[/red]" if code else "done"
                progress.console.print(f"{run.name}: {word} in {seconds:.1f} s")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise
    if failures:
        raise failures[0]


class _Processes:
    """The run processes that are running now, so that they can be stopped together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, run: Run, log: Path, environment: dict[str, str]) -> tuple[int, float]:
        """Exit code and seconds of one run."""
        started = time.monotonic()
        with self._lock:
            if self._stopped:
                return 1, 0.0
            process = run.start(log, environment)
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code, time.monotonic() - started

    def stop(self) -> None:
        """Ask all to end as Ctrl-C does, so that Dagster records it; kill what stays."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
