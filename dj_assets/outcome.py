"""What came out of the runs, as tables for a terminal.

Rows that entered are read from the event log, everything else from the tables
themselves; nothing is remembered in between. Numbers of single shards are in
the UI (`metadata.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import dagster as dg
import polars as pl
from rich import box
from rich.table import Table

from dj_assets.runs import latest, stage_keys
from dj_ops_lib.warehouse import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

_COLUMNS: dict[str, Literal["left", "right"]] = {
    "source": "left",
    "recipe": "left",
    "stage": "left",
    "rows in": "right",
    "kept": "right",
    "rejected by": "left",
    "errors": "left",
    "hours kept": "right",
}
_NARROW = ("source", "recipe", "stage", "rows in", "kept", "hours kept")


def table(instance: dg.DagsterInstance, graph: AssetGraph, warehouse: Warehouse) -> Table:
    """One line a stage: rows in, kept, rejected by which operator, errors, hours of video."""
    shown = Table(title="What came out", title_justify="left", box=box.SIMPLE_HEAD)
    for name, side in _COLUMNS.items():
        shown.add_column(name, justify=side, overflow="fold", no_wrap=name in _NARROW)
    before = None
    for key in stage_keys(graph):
        name = key.to_user_string()
        if not warehouse.exists(name):
            continue
        source, *recipe, stage = key.path
        if before and before != source:
            shown.add_section()
        rows = warehouse.lazy(name)
        kept = rows.filter(pl.col("keep"))
        hours = kept.select(pl.col("duration_s").sum() / 3600).collect().item()
        shown.add_row(
            source if source != before else "",
            *(recipe or [""]),
            stage,
            f"{rows_in(instance, key):,}",
            f"{kept.select(pl.len()).collect().item():,}",
            _counted(rows, pl.col("rejected_by")),
            _counted(rows, pl.col("error").struct.field("class")),
            f"{hours:.3f}" if hours else "",
        )
        before = source
    return shown


def rows_in(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    """Rows that entered a stage, over the latest materialization of every shard."""
    return sum(int(str(made.metadata["rows_in"].value)) for made in latest(instance, key).values())


def checks_line(instance: dg.DagsterInstance, graph: AssetGraph) -> str:
    """How many asset checks the latest runs evaluated, and which failed or warned."""
    evaluated, errors, warnings = 0, [], []
    runs = {m.run_id: None for k in stage_keys(graph) for m in latest(instance, k).values()}
    for run_id in runs:
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = entry.get_dagster_event().asset_check_evaluation_data
            evaluated += 1
            if not evaluation.passed:
                where = f"{evaluation.asset_key.to_user_string()} {evaluation.partition or ''}"
                said = f"{where.strip()} {evaluation.check_name}: {evaluation.description}"
                failed = evaluation.severity == dg.AssetCheckSeverity.ERROR
                (errors if failed else warnings).append(said)
    verdict = f"{len(errors)} failed" if errors else "none failed" if warnings else "all passed"
    if warnings:
        verdict += f", {len(warnings)} warned"
    said = [*(f"failed: {e}" for e in errors), *(f"warned: {w}" for w in warnings)]
    return "\n".join([f"{evaluated} asset checks evaluated, {verdict}", *said])


def _counted(rows: pl.LazyFrame, column: pl.Expr) -> str:
    counted = (
        rows.select(column.alias("what"))
        .drop_nulls()
        .group_by("what")
        .len()
        .sort("len", "what", descending=[True, False])
        .collect()
    )
    return "\n".join(f"{n:,} {what}" for what, n in counted.iter_rows())
