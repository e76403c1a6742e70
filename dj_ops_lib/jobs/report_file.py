"""The report of a job that is done, in the warehouse: `_jobs/<id>.json`.

Whoever is given the same job again for the same run finds it there and does
nothing: a worker that an engine started twice, a dispatcher that comes back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pydantic

from dj_ops_lib.jobs.job import Job
from dj_ops_lib.jobs.job_report import JobReport
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.layout import JOBS

_REPORTS = pydantic.TypeAdapter(JobReport)


def to_json(report: JobReport) -> str:
    """A report as JSON."""
    return _REPORTS.dump_json(report).decode()


def from_json(text: str | bytes) -> JobReport:
    """The report that JSON holds."""
    return _REPORTS.validate_json(text)


def find(warehouse: Warehouse, job: Job) -> JobReport | None:
    """The report of this job, if the same run made it and its rows are still the shard's."""
    text = warehouse.read_note(_place(job))
    if text is None:
        return None
    try:
        note: Mapping[str, Any] = json.loads(text)
        report = from_json(json.dumps(note["report"]))
    except (ValueError, KeyError):
        return None  # torn, or of another version: the job is done again
    if note.get("run_id") != job.run_id or not job.run_id:
        return None
    if job.share is None:
        commit = (
            warehouse.last_commit(job.table, job.shard) if warehouse.exists(job.table) else None
        )
        if commit is None or commit.version != report.stage.version:
            return None
    return report


def keep(warehouse: Warehouse, job: Job, report: JobReport) -> None:
    """Keep the report of a job that is done."""
    note = {"run_id": job.run_id, "report": json.loads(to_json(report))}
    warehouse.write_note(_place(job), json.dumps(note, ensure_ascii=False))


def _place(job: Job) -> str:
    return f"{JOBS}/{job.id}.json"
