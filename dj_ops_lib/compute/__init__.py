"""Where a job runs. One file an engine; each carries jobs and re-implements nothing.

`local.py` runs it in this process, whose workers decode. Not here: what a job is (`jobs/`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dj_ops_lib.jobs import Job, JobReport


class Compute(Protocol):
    """A place where jobs are run."""

    def run(self, job: Job, log: Callable[[str], None]) -> JobReport:
        """Run a job to its end; `log` is told now and then how far it is.

        Raises:
            DjError: What ended it, in one line.
        """
