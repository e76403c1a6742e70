"""This machine: the job runs in this process, its clips in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable

from dj_ops_lib.engine.options import Progress
from dj_ops_lib.jobs import Job, JobReport, run_job

PROGRESS_SECONDS = 30
"""Time between two messages about how far a job is."""


class LocalCompute:
    """Runs jobs here."""

    def run(self, job: Job, log: Callable[[str], None]) -> JobReport:
        """See `Compute.run`."""
        return run_job(job, progress=_Messages(log))


class _Messages:
    """Turns the engine's word after each clip into a message twice a minute."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._said < PROGRESS_SECONDS:
            return
        self._said = time.monotonic()
        self._log(
            f"{progress.table} shard {progress.shard}: {progress.clips} of {progress.total} clips "
            f"({progress.video_seconds / 60:.0f} min of video, {progress.errors} errors), "
            f"{', '.join(progress.operators)}"
        )
