"""Makes what a job says, wherever its warehouse can be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dj_ops_lib.engine.options import Progress
from dj_ops_lib.errors import JobError
from dj_ops_lib.jobs import report_file
from dj_ops_lib.jobs.job import MEDIA, RAW, Job
from dj_ops_lib.jobs.job_report import JobReport
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Warehouse


def run_job(
    job: Job,
    *,
    progress: Callable[[Progress], None] | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> JobReport:
    """Do a job, unless it was done for the same run already; that report is returned then.

    Args:
        job: What to make.
        progress: Called whenever a clip is done.
        storage_options: How the warehouse's store is entered, beside the environment.

    Raises:
        JobError: The job cannot be run here.
        DjError: What the stage itself raises.
    """
    warehouse = Warehouse(job.warehouse, storage_options)
    done = report_file.find(warehouse, job)
    if done is not None:
        return done
    stage = _made(job, warehouse, progress)
    report = JobReport(stage) if job.share is not None else _read_back(job, warehouse, stage)
    report_file.keep(warehouse, job, report)
    return report


def _read_back(job: Job, warehouse: Warehouse, stage: StageReport) -> JobReport:
    """Hold the shard against what its stage promises, here, where its rows are."""
    from dj_ops_lib.checks import findings
    from dj_ops_lib.engine.checking import as_written
    from dj_ops_lib.engine.content_version import content_version

    shard = as_written(warehouse, stage, job.promise)
    return JobReport(stage, findings(shard), content_version(shard.rows), shard.withheld)


def _made(
    job: Job, warehouse: Warehouse, progress: Callable[[Progress], None] | None
) -> StageReport:
    source, shard, options = job.source, job.shard, job.engine_options(progress=progress)
    if job.stage == RAW and job.recipe is None:
        from dj_ops_lib.sources.ingest import ingest_shard

        if job.share is not None:
            raise JobError("a job for 'raw' has no shares: nothing is measured there")
        if job.input_version is not None:
            raise JobError("a job for 'raw' reads the latest manifest and cannot be pinned to one")
        return ingest_shard(warehouse, source, shard, run_id=job.run_id, code_version=job.code)
    if job.stage == MEDIA and job.recipe is None:
        from dj_ops_lib.engine.probing import probe_shard

        return probe_shard(
            warehouse,
            source=source.name,
            shard=shard,
            options=options,
            locate=source.locate,
            run_id=job.run_id,
            code_version=job.code,
        )
    if job.recipe is None:
        raise JobError(f"the job is to make '{job.stage}', which is a recipe's, and has no recipe")
    recipe = job.recipe.recipe()
    if job.makes_files:
        from dj_ops_lib.engine.rendering import render_shard

        if recipe.rendering is None or not job.rendered:
            raise JobError("the job is to render clips, and says not how, or not where to")
        return render_shard(
            warehouse,
            recipe,
            source=source.name,
            shard=shard,
            options=options,
            folder=job.rendered,
            rendering=recipe.rendering,
            run_id=job.run_id,
            code_version=job.code,
        )
    from dj_ops_lib.engine.shard import process_shard

    return process_shard(
        warehouse,
        recipe,
        job.stage,
        source=source.name,
        shard=shard,
        options=options,
        run_id=job.run_id,
        code_version=job.code,
    )
