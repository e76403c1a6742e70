"""The program that runs one job: `python -m dj_ops_lib.jobs.worker job.json`.

It says on stderr how far it is, and on stdout, at the end, the job's report as one
line of JSON. Credentials come from the environment. What ends it is one line on
stderr: exit status 2 for what somebody has to mend, 1 for anything else.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dj_ops_lib.engine.options import Progress
from dj_ops_lib.errors import DjError, JobError
from dj_ops_lib.jobs import report_file
from dj_ops_lib.jobs.job import Job
from dj_ops_lib.jobs.run import run_job

PROGRESS_SECONDS = 10
"""Time between two words about how far a job is."""


def main(arguments: list[str] | None = None) -> int:
    """Run the job that a file, or `-` for stdin, holds; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dj_ops_lib.jobs.worker", description=__doc__)
    parser.add_argument("job", help="a file of JSON, or - for stdin")
    where = parser.parse_args(arguments).job
    try:
        job = Job.from_json(_read(where), where)
        report = run_job(job, progress=_Told())
    except DjError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report_file.to_json(report))
    return 0


def _read(where: str) -> str:
    if where == "-":
        return sys.stdin.read()
    try:
        return Path(where).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{where} cannot be read as a job: {error}") from None


class _Told:
    """Says on stderr how far the job is."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._said < PROGRESS_SECONDS:
            return
        self._said = time.monotonic()
        print(
            f"{progress.table} shard {progress.shard}: {progress.clips} of {progress.total} clips",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
