"""Workers that die, hang or eat memory cost their clip only; a killed run goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pebble
import psutil
import pyarrow as pa
import pytest
from engine_operators import BrightnessFilter, TroubleFilter, loaded_packages, noted
from engine_workshop import Workshop, wait_for, workers_of

from dj_ops_lib.engine.measuring import Failure
from dj_ops_lib.engine.options import Progress
from dj_ops_lib.engine.pool import run_in_workers, stop_workers
from dj_ops_lib.errors import MissingExtraError


def errors(workshop: Workshop) -> dict[str, tuple[str, int] | None]:
    return {
        r["source_id"]: r["error"] and (r["error"]["class"], r["error"]["attempts"])
        for r in workshop.rows()
    }


@pytest.mark.parametrize(
    ("trouble", "error_class"),
    [
        ("crash", "decoder_crash"),
        ("kill", "out_of_memory"),
        ("hang", "timeout"),
        ("bomb", "out_of_memory"),
        ("raise", "operator_error"),
    ],
)
def test_a_clip_that_breaks_its_worker_costs_itself_only(
    shelf: Workshop, trouble: str, error_class: str
) -> None:
    deadline = 3.0 if trouble == "hang" else 60.0
    report = shelf.run(
        TroubleFilter(victims={"b": trouble}), deadline_s=deadline, deadline_ratio=0, memory_mb=256
    )
    assert errors(shelf) == {"a": None, "b": (error_class, 1), "c": None, "d": None}
    assert report.errors == {error_class: 1}
    assert report.kept == 3
    assert report.funnel[-1].errors == 1
    row = next(r for r in shelf.rows() if r["source_id"] == "b")
    assert row["error"]["operator"] == "trouble_filter"
    assert not row["keep"]
    assert row["rejected_by"] is None


def test_several_broken_clips_at_once_each_get_their_own_error(shelf: Workshop) -> None:
    shelf.run(TroubleFilter(victims=dict.fromkeys("abd", "crash")))
    assert errors(shelf) == {n: ("decoder_crash", 1) if n != "c" else None for n in "abcd"}


def test_after_some_attempts_a_clip_is_left_alone_until_asked_for(
    shelf: Workshop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    operator = TroubleFilter(victims={"b": "crash"}, log=str(log))
    for attempt in (1, 2):
        shelf.run(operator, attempts=2)
        assert errors(shelf)["b"] == ("decoder_crash", attempt)
    assert noted(log).count("b") == 2
    report = shelf.run(operator, attempts=2)
    assert errors(shelf)["b"] == ("decoder_crash", 2)
    assert noted(log).count("b") == 2
    assert report.measured == 0
    shelf.run(operator, attempts=2, retry_errors=("timeout",))
    assert noted(log).count("b") == 2
    shelf.run(operator, attempts=2, retry_errors=("decoder_crash",))
    assert errors(shelf)["b"] == ("decoder_crash", 3)
    assert noted(log).count("b") == 3
    assert noted(log).count("a") == 1


def test_an_operator_that_fails_leaves_the_others_results(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter(), TroubleFilter(victims={"b": "raise"}))
    row = next(r for r in shelf.rows() if r["source_id"] == "b")
    assert row["brightness"] is not None
    assert row["error"]["message"] == "ValueError: no such luck"
    assert row["error"]["operator"] == "trouble_filter"


def test_what_is_not_the_clips_fault_ends_the_run_with_one_message(shelf: Workshop) -> None:
    with pytest.raises(MissingExtraError, match="pip install"):
        shelf.run(TroubleFilter(victims=dict.fromkeys("abcd", "extra")))
    assert not shelf.warehouse.exists("toys/r/cleaned")


def test_progress_counts_clips_seconds_and_errors(shelf: Workshop) -> None:
    seen: list[Progress] = []
    shelf.run(TroubleFilter(victims={"b": "raise"}), progress=seen.append)
    assert [p.clips for p in seen] == [1, 2, 3, 4]
    last = seen[-1]
    assert (last.total, last.video_seconds, last.errors) == (4, 10.0, 1)
    assert last.operators == ("trouble_filter",)


def test_the_longest_clips_are_begun_first(shelf: Workshop, tmp_path: Path) -> None:
    shelf.run(BrightnessFilter(log=str(tmp_path / "log")), workers=1)
    assert noted(tmp_path / "log") == ["d", "c", "b", "a"]


def test_an_interrupted_run_goes_on_where_it_was(shelf: Workshop, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def interrupt(progress: Progress) -> None:
        if progress.clips == 3:
            raise KeyboardInterrupt

    operator = BrightnessFilter(log=str(log))
    with pytest.raises(KeyboardInterrupt):
        shelf.run(operator, workers=1, progress=interrupt)
    assert not shelf.warehouse.exists("toys/r/cleaned")
    done = noted(log)
    report = shelf.run(operator, workers=1)
    assert report.kept == 4
    # Three were kept; the fourth may have been begun when the run was interrupted.
    assert len(noted(log)) - len(done) == 1
    assert not spooled(shelf)


def test_a_failed_attempt_before_an_interrupt_is_not_made_again(
    shelf: Workshop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    interrupt_at = [4]

    def interrupt(progress: Progress) -> None:
        if progress.clips == interrupt_at[0]:
            raise KeyboardInterrupt

    operator = TroubleFilter(victims={"b": "crash"}, log=str(log))
    for attempt in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            shelf.run(operator, progress=interrupt)
        shelf.run(operator)
        assert errors(shelf)["b"] == ("decoder_crash", attempt)
        interrupt_at[0] = 1
    assert sorted(noted(log)) == ["a", "b", "b", "c", "d"]


def test_an_interrupt_ends_all_workers_at_once(shelf: Workshop) -> None:
    started = threading.Event()

    def interrupt(progress: Progress) -> None:
        started.set()
        raise KeyboardInterrupt

    victims = dict.fromkeys("abc", "hang")
    before = {p.pid for p in workers_of(psutil.Process())}
    stop_workers()
    with pytest.raises(KeyboardInterrupt):
        shelf.run(TroubleFilter(victims=victims), workers=4, progress=interrupt)
    assert started.is_set()
    assert not [p for p in workers_of(psutil.Process()) if p.pid not in before]


PROGRAM = """
    import signal, sys
    # What was started in the background ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from engine_workshop import Workshop, wait_for, workers_of
    from dj_ops_lib.engine.options import EngineOptions
    from dj_ops_lib.media.access import Access
    from dj_ops_lib.warehouse import Warehouse
    from engine_operators import TroubleFilter

    def show(progress):
        print("done", progress.clips, flush=True)

    root = Path({root!r})
    options = EngineOptions(
        access=Access(roots=(str(root / "videos"),)), workers=2, results_every_s=1.0,
        progress=show,
    )
    workshop = Workshop(root, Warehouse(str(root / "warehouse")), options)
    workshop.run(TroubleFilter(victims={{"d": "hang"}}, log=str(root / "log")))
"""


@pytest.fixture
def running(shelf: Workshop) -> Callable[[], subprocess.Popen[str]]:
    """Starts a run in a program of its own that hangs on its longest clip, which is begun first."""

    def start() -> subprocess.Popen[str]:
        tests = str(Path(__file__).parent)
        program = textwrap.dedent(PROGRAM.format(tests=tests, root=str(shelf.root)))
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "done 3":
                return process
        raise AssertionError("the run ended before three clips were done")

    return start


def spooled(workshop: Workshop) -> int:
    """Results in files that no table holds yet."""
    files = (workshop.root / "warehouse" / "_results_spool").rglob("*.arrow")
    return sum(pa.ipc.open_file(f).read_all().num_rows for f in files)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_program_leaves_no_worker_and_a_resumable_shard(
    shelf: Workshop, running: Callable[[], subprocess.Popen[str]], sent: signal.Signals
) -> None:
    process = running()
    # The last results are written although the clip that still runs never ends.
    wait_for(lambda: spooled(shelf) == 3)
    workers = workers_of(psutil.Process(process.pid))
    assert len(workers) == 2
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does it: to all processes
    else:
        process.kill()
    process.wait(5)
    psutil.wait_procs(workers, timeout=5)
    assert not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]
    log = shelf.root / "log"
    shelf.run(TroubleFilter(victims={"d": "hang"}, log=str(log)), deadline_s=2, deadline_ratio=0)
    assert errors(shelf) == {"a": None, "b": None, "c": None, "d": ("timeout", 1)}
    assert [noted(log).count(name) for name in "abc"] == [1, 1, 1]
    assert noted(log)[-1] == "d"


# --- the pool itself -------------------------------------------------------------------------


def pool(function: Callable[..., Any], calls: list[tuple[Any, ...]], **settings: Any) -> list[Any]:
    settings = {"workers": 2, "memory_mb": 512} | settings
    deadlines = [settings.pop("deadline", 60.0)] * len(calls)
    return [r for _, r in sorted(run_in_workers(function, calls, deadlines=deadlines, **settings))]


def test_results_come_with_their_position() -> None:
    assert pool(divmod, [(i, 3) for i in range(50)]) == [divmod(i, 3) for i in range(50)]


def test_what_a_call_raises_is_its_own_failure() -> None:
    good, bad = pool(divmod, [(1, 1), (1, 0)])
    assert good == (1, 0)
    assert isinstance(bad, Failure)
    assert "ZeroDivisionError" in bad.message


def test_a_pool_that_cannot_be_joined_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = pool(os.getpid, [()], workers=1)
    monkeypatch.setattr(pebble.ProcessPool, "join", lambda self: threading.Event().wait())
    stop_workers()
    assert not psutil.pid_exists(first)
    monkeypatch.undo()
    (second,) = pool(os.getpid, [()], workers=1)
    assert second != first


def test_workers_are_kept_for_the_next_run() -> None:
    first = set(pool(os.getpid, [()] * 20))
    assert set(pool(os.getpid, [()] * 20)) <= first | set(pool(os.getpid, [()] * 50))
    stop_workers()
    assert not set(pool(os.getpid, [()] * 20)) & first


def test_a_worker_that_died_between_two_runs_is_replaced() -> None:
    for pid in set(pool(os.getpid, [()] * 20)):
        os.kill(pid, signal.SIGKILL)
    assert pool(divmod, [(7, 3)] * 4) == [(2, 1)] * 4


def test_workers_are_renewed_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_workers()
    monkeypatch.setattr("dj_ops_lib.engine.pool.TASKS_A_WORKER", 5)
    pids = pool(os.getpid, [()] * 12, workers=1)
    stop_workers()
    assert len(pids) == 12
    assert max(pids.count(pid) for pid in pids) <= 5


def test_a_worker_does_not_load_the_program_that_started_it() -> None:
    (modules,) = pool(loaded_packages, [()])
    assert not {"pytest", "dagster", "torch", "cv2", "lance", "duckdb"} & set(modules)
