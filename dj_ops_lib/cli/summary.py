"""Stage reports as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from dj_ops_lib.report import StageReport


def counted(counts: Mapping[str, int]) -> str:
    """`{"a": 2, "b": 1}` as one line each, most frequent first."""
    return "\n".join(f"{k} {v}" for k, v in sorted(counts.items(), key=lambda i: (-i[1], i[0])))


def summary_table(reports: Iterable[StageReport]) -> Table:
    """One line a report: what went in, what stayed, what was rejected and why."""
    table = Table()
    for heading in ("table", "shard", "in", "kept", "rejected by", "errors", "hours"):
        numeric = heading in {"in", "kept", "hours"}
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for report in reports:
        table.add_row(
            report.table,
            report.shard,
            str(report.rows_in),
            str(report.kept),
            counted(report.rejected),
            counted(report.errors),
            f"{report.video_seconds / 3600:.4f}",
        )
    return table
