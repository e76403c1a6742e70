"""What assets are given to work with: the warehouse and the place where jobs are run.

Both are typed configuration over the library's own objects. Asset code builds a
job, calls `compute.run` and never learns where the work is done. Defaults come
from the environment: `DJ_WAREHOUSE`, `DJ_WORKERS`, `DJ_WORKER_MEMORY_MB`,
`DJ_RETRY_ERRORS`, `DJ_MEASURE_ALL`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dj_ops_lib import settings
from dj_ops_lib.engine.options import available_cores

if TYPE_CHECKING:
    from dj_ops_lib.jobs import Job, JobOptions, JobReport
    from dj_ops_lib.warehouse import Warehouse


class WarehouseResource(dg.ConfigurableResource):
    """The Lance tables."""

    uri: str = Field(
        default_factory=settings.warehouse_uri,
        description="Absolute path or s3:// URI; DJ_WAREHOUSE, else ./warehouse.",
    )

    def open(self) -> Warehouse:
        """The library's warehouse at `uri`."""
        from dj_ops_lib.warehouse import Warehouse

        return Warehouse(self.uri)


class Compute(dg.ConfigurableResource):
    """Where jobs are run: in worker processes on this machine."""

    workers: int = Field(
        default_factory=lambda: _from_environment("DJ_WORKERS", available_cores()),
        description="Worker processes a run; DJ_WORKERS, else one for each core.",
    )
    memory_mb: int = Field(
        default_factory=lambda: _from_environment("DJ_WORKER_MEMORY_MB", 4096),
        description="Memory that a worker may allocate, in MiB; DJ_WORKER_MEMORY_MB, else 4096.",
    )
    retry_errors: list[str] = Field(
        default_factory=lambda: os.environ.get("DJ_RETRY_ERRORS", "").split(),
        description="Error classes to try again although the attempts are used up, or `all`; "
        "DJ_RETRY_ERRORS, words between spaces, else none.",
    )
    measure_all: bool = Field(
        default_factory=lambda: os.environ.get("DJ_MEASURE_ALL", "") not in {"", "0"},
        description="Measure rejected clips further, for analysis; DJ_MEASURE_ALL=1, else no.",
    )

    def options(self) -> JobOptions:
        """How jobs are run here."""
        from dj_ops_lib.jobs import JobOptions

        return JobOptions(
            workers=self.workers,
            memory_mb=self.memory_mb,
            retry_errors=tuple(self.retry_errors),
            measure_all=self.measure_all,
        )

    def run(self, job: Job, log: Callable[[str], None]) -> JobReport:
        """Run a job to its end; `log` is told now and then how far it is."""
        from dj_ops_lib.compute.local import LocalCompute

        return LocalCompute().run(job, log)


def _from_environment(name: str, default: int) -> int:
    given = os.environ.get(name)
    if given is None:
        return default
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{name}={given!r}: give a whole number of at least 1")
    return int(given)
