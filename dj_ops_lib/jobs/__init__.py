"""A piece of work as a value: what to make, which shard of it, from what, with which options.

* `job.py`    the value, as JSON
* `job_report.py` what comes home
* `run.py`    makes it, wherever the warehouse can be reached
* `report_file.py` the report of a job, in the warehouse
* `worker.py` the program that an engine starts: `python -m dj_ops_lib.jobs.worker job.json`

Not here: on which machine a job runs (`compute/`).
"""

from __future__ import annotations

from dj_ops_lib.jobs.job import Job, JobOptions
from dj_ops_lib.jobs.job_report import JobReport
from dj_ops_lib.jobs.run import run_job

__all__ = ["Job", "JobOptions", "JobReport", "run_job"]
