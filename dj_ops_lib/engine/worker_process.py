"""What a worker process does before its first task. Imports nothing heavy at the top.

Thread counts must be in the environment before NumPy, OpenCV and Polars are
loaded, so this module is the first of the project that a worker imports.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""Parallelism is one process a core; threads on top of it only wait for each other."""


def start(memory_mb: int) -> None:
    """Set limits and signals of this worker process.

    Args:
        memory_mb: Memory that it may allocate from now on, in MiB.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to every process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # dies at once, also inside a codec
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import dj_ops_lib.engine.measuring  # noqa: F401  libraries do not count against the limit

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the limit is not enforced
        limit = _data_bytes() + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _data_bytes() -> int:
    """Private writable memory of this process, what RLIMIT_DATA counts."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def _end_with_parent() -> None:
    """Exit when the parent process is gone, however it went."""
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
