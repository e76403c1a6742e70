"""Worker processes: spawned, kept alive between stages, replaced when they die or hang.

Pebble runs the processes; here is how this project starts, limits, reuses and
kills them, and what the death of one means for its clip. Not here: what a
worker does with a clip (`measuring.py`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import queue
import signal
import sys
import threading
import types
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import popen_spawn_posix
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

import pebble

from dj_ops_lib.engine import worker_process
from dj_ops_lib.engine.measuring import NOT_THE_CLIPS_FAULT, Failure, failure_of
from dj_ops_lib.errors import DjError

T = TypeVar("T")
_Finished = tuple[int, Future[Any]]

RESTARTS = 3
"""How often a pool that broke as a whole is started anew within one run."""

TASKS_A_WORKER = 500
"""Calls after which a worker is replaced, so that what libraries leak never reaches the limit."""

JOIN_SECONDS = 2.0
"""How long the end of a pool is waited for; its processes are dead by then."""

pebble.CONSTS.term_timeout = 1.0
pebble.CONSTS.sleep_unit = 0.05  # how late a deadline or a dead worker may be noticed, seconds


class _Workers:
    """Pools by their settings; one process keeps each of them until it ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pools: dict[tuple[int, int], _Pool] = {}


_workers = _Workers()


class _Pool:
    """A pebble pool whose processes can be killed at once."""

    def __init__(self, workers: int, memory_mb: int) -> None:
        self._context = _Context()
        self.processes = pebble.ProcessPool(
            max_workers=workers,
            max_tasks=TASKS_A_WORKER,
            initializer=worker_process.start,
            initargs=(memory_mb,),
            context=self._context,
        )

    def kill(self) -> None:
        """End all workers without waiting for what they do."""
        self.processes.stop()  # type: ignore[no-untyped-call]  # pebble's
        self._kill_started()
        # pebble waits up to a minute (`channel_lock_timeout`) for the lock of its channel, and a
        # worker that is killed may hold it; an interrupt has five seconds.
        joining = threading.Thread(target=self._join, daemon=True)
        joining.start()
        joining.join(JOIN_SECONDS)
        self._kill_started()  # those that were started while the others were being killed
        for process in self._context.started:
            process.join(1)

    def _join(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.processes.join()

    def _kill_started(self) -> None:
        for process in self._context.started:
            if process.is_alive():
                process.kill()


class _Process(SpawnProcess):
    """A spawned process that does not load the program that spawned it.

    `multiprocessing` makes every child import the parent's main module. Where that is Dagster it
    costs 1.1 CPU seconds a worker; all that a worker needs costs 0.4 (2026-11-22).
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  multiprocessing's name
        with _spawning:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            try:
                return popen_spawn_posix.Popen(process_obj)
            finally:
                sys.modules["__main__"] = main


_spawning = threading.Lock()


class _Context(SpawnContext):
    """Remembers the processes that it started."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[_Process] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Process:  # type: ignore[override]  # noqa: N802
        self.started = [p for p in self.started if p.pid is None or p.is_alive()]
        process = _Process(*args, **kwargs)
        self.started.append(process)
        return process


def run_in_workers(
    function: Callable[..., T],
    calls: Sequence[tuple[Any, ...]],
    *,
    workers: int,
    memory_mb: int,
    deadlines: Sequence[float],
    idle: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, T | Failure], None, None]:
    """Call a function in worker processes, as often as there are arguments.

    Leaving the loop by an exception, Ctrl-C included, kills the workers.

    Args:
        function: Importable by name; what it raises becomes a `Failure`.
        calls: Arguments of each call, in the order in which they are begun.
        workers: Largest number of processes.
        memory_mb: Memory that each may allocate, in MiB.
        deadlines: Wall-clock seconds that each call may take.
        idle: Called twice a second while there is nothing to yield.

    Yields:
        (position in `calls`, result), as they finish. A worker that crashes, is killed or does
        not finish in time gives a `Failure` and is replaced.

    Raises:
        ImportError: The function cannot run at all; so for the other `NOT_THE_CLIPS_FAULT`.
    """
    waiting = set(range(len(calls)))
    for _ in range(RESTARTS + 1):
        pool = _pool(min(workers, len(waiting)), workers, memory_mb)
        try:
            results = _collect(pool, function, calls, deadlines, sorted(waiting), idle)
            for position, result in results:
                waiting.discard(position)
                yield position, result
        except BrokenProcessPool:
            _discard(pool)
            continue
        except BaseException:
            _discard(pool)
            raise
        return
    raise DjError(
        f"the worker processes ended {RESTARTS + 1} times without a clip to blame; see `dj doctor` "
        "for this machine's memory and limits"
    )


def _collect(
    pool: _Pool,
    function: Callable[..., T],
    calls: Sequence[tuple[Any, ...]],
    deadlines: Sequence[float],
    positions: Sequence[int],
    idle: Callable[[], None],
) -> Iterator[tuple[int, T | Failure]]:
    done: queue.SimpleQueue[_Finished] = queue.SimpleQueue()
    for position in positions:
        try:
            future = pool.processes.schedule(
                function, args=calls[position], timeout=deadlines[position]
            )
        except RuntimeError as error:  # pebble's word for a pool that has broken
            raise BrokenProcessPool(str(error)) from None
        future.add_done_callback(functools.partial(_report, done, position))
    for _ in positions:
        position, finished = _next(done, idle)
        yield position, _result(finished, deadlines[position])


def _report(done: queue.SimpleQueue[_Finished], position: int, future: Future[Any]) -> None:
    done.put((position, future))


def _next(done: queue.SimpleQueue[T], idle: Callable[[], None]) -> T:
    """The next element; wakes up now and then, so that signals are handled."""
    while True:
        try:
            return done.get(timeout=0.5)
        except queue.Empty:
            idle()


def _result(future: Future[T], deadline: float) -> T | Failure:
    try:
        return future.result()
    except (BrokenProcessPool, *NOT_THE_CLIPS_FAULT):
        raise
    except TimeoutError as error:
        if error.args[:1] == ("Task timeout",):  # pebble's, not one that the function raised
            return Failure("timeout", f"not finished after {deadline:g} s; the worker was stopped")
        return failure_of(error, "decode_error")
    except pebble.ProcessExpired as error:
        return _death(error.exitcode)
    except Exception as error:  # raised by the function for this call only
        return failure_of(error, "decode_error")


def _death(exitcode: int) -> Failure:
    """What the end of a worker says about its clip."""
    if exitcode == -signal.SIGKILL:
        return Failure(
            "out_of_memory", "the worker was killed by the system, most likely for memory"
        )
    cause = signal.Signals(-exitcode).name if exitcode < 0 else f"exit status {exitcode}"
    return Failure("decoder_crash", f"the worker process crashed: {cause}")


def _pool(workers: int, limit: int, memory_mb: int) -> _Pool:
    """A pool of at least `workers` and at most `limit` processes: one that runs, else a new one."""
    with _workers.lock:
        for (size, memory), pool in list(_workers.pools.items()):
            if not pool.processes.active:
                del _workers.pools[size, memory]
                pool.kill()
            elif memory == memory_mb and workers <= size <= limit:
                return pool
        pool = _workers.pools[workers, memory_mb] = _Pool(workers, memory_mb)
        return pool


def _discard(pool: _Pool) -> None:
    with _workers.lock:
        _workers.pools = {k: p for k, p in _workers.pools.items() if p is not pool}
    pool.kill()


@atexit.register
def stop_workers() -> None:
    """End all worker processes of this process; they are started again when needed."""
    with _workers.lock:
        pools, _workers.pools = list(_workers.pools.values()), {}
    for pool in pools:
        pool.kill()
