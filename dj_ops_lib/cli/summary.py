"""Stage reports as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console

from dj_ops_lib.cli.records import print_records
from dj_ops_lib.report import StageReport


def counted(counts: Mapping[str, int]) -> str:
    """`{"a": 2, "b": 1}` as one line each, most frequent first."""
    return "\n".join(f"{k} {v}" for k, v in sorted(counts.items(), key=lambda i: (-i[1], i[0])))


def print_summary(console: Console, reports: Iterable[StageReport]) -> None:
    """One record a report: what went in, what stayed, what was rejected and why."""
    print_records(
        console,
        [
            {
                "table": report.table,
                "shard": report.shard,
                "in": report.rows_in,
                "kept": report.kept,
                "rejected by": counted(report.rejected),
                "errors": counted(report.errors),
                "hours": f"{report.video_seconds / 3600:.4f}",
            }
            for report in reports
        ],
    )
