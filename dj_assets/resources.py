"""What assets are given to work with: the warehouse and the place where shards are processed.

Both are typed configuration that returns the library's own objects. Asset code
calls `compute.probe`, `compute.process` and `compute.render` and never learns where the work is
done. Defaults come from the environment: `DJ_WAREHOUSE`, `DJ_WORKERS`,
`DJ_WORKER_MEMORY_MB`, `DJ_RETRY_ERRORS`, `DJ_MEASURE_ALL`.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dj_ops_lib import __version__, settings
from dj_ops_lib.engine.options import EngineOptions, Progress, available_cores

if TYPE_CHECKING:
    from dj_ops_lib.recipe import Recipe
    from dj_ops_lib.rendering import Rendering
    from dj_ops_lib.report import StageReport
    from dj_ops_lib.sources.config import SourceConfig
    from dj_ops_lib.warehouse import Warehouse

PROGRESS_SECONDS = 30
"""Time between two progress messages of a stage in the event log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One shard in one run; `log` writes a message to the run's event log."""

    shard: str
    run_id: str
    log: Callable[[str], None]


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
    """Where a stage is computed over a shard: worker processes on this machine."""

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

    def options(self, config: SourceConfig, log: Callable[[str], None]) -> EngineOptions:
        """How this source's files are processed; `log` is told how far a stage is."""
        return EngineOptions(
            access=config.access(),
            workers=self.workers,
            memory_mb=self.memory_mb,
            retry_errors=tuple(self.retry_errors),
            measure_all=self.measure_all,
            progress=_ProgressLog(log),
        )

    def probe(self, warehouse: Warehouse, config: SourceConfig, turn: Turn) -> StageReport:
        """Find and describe the shard's files: `raw` -> `media`."""
        from dj_ops_lib.engine.shard import probe_shard

        return probe_shard(
            warehouse,
            source=config.name,
            shard=turn.shard,
            options=self.options(config, turn.log),
            locate=config.locate,
            run_id=turn.run_id,
            code_version=__version__,
        )

    def process(
        self, warehouse: Warehouse, config: SourceConfig, recipe: Recipe, stage: str, turn: Turn
    ) -> StageReport:
        """Run one stage of a recipe over the shard."""
        from dj_ops_lib.engine.shard import process_shard

        return process_shard(
            warehouse,
            recipe,
            stage,
            source=config.name,
            shard=turn.shard,
            options=self.options(config, turn.log),
            run_id=turn.run_id,
            code_version=__version__,
        )

    def render(
        self,
        warehouse: Warehouse,
        config: SourceConfig,
        recipe: Recipe,
        rendering: Rendering,
        turn: Turn,
    ) -> StageReport:
        """Make files of the shard's clips that a recipe kept."""
        from dj_ops_lib.engine.rendering import render_shard

        return render_shard(
            warehouse,
            recipe,
            source=config.name,
            shard=turn.shard,
            options=self.options(config, turn.log),
            folder=settings.rendered_folder(config.name, recipe.name),
            rendering=rendering,
            run_id=turn.run_id,
            code_version=__version__,
        )


class _ProgressLog:
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


def _from_environment(name: str, default: int) -> int:
    given = os.environ.get(name)
    if given is None:
        return default
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{name}={given!r}: give a whole number of at least 1")
    return int(given)
