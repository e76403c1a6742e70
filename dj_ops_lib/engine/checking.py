"""A shard read back for its checks: its rows, and the rows that they were made from.

What entered is read in the version that the stage read, which its commit records: a
shard upstream that was decided again meanwhile is no fault of this one. Not
here: the checks (`checks.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from dj_ops_lib.checks import SOURCE_BOUNDS, Layout, Promise, Shard
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.engine import summary
from dj_ops_lib.errors import RecipeError, WarehouseError
from dj_ops_lib.operator import DUPLICATE_COLUMNS, Kind
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.registry import operator_class
from dj_ops_lib.rendering import RENDERED
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Commit, Warehouse
from dj_ops_lib.warehouse.history import shard_commits


def as_written(warehouse: Warehouse, report: StageReport, promise: Promise) -> Shard:
    """The shard that `report` is about, read back right after it was made."""
    table, version = report.table, report.version
    (commit,) = (c for c in warehouse.history(table, version - 1) if c.version == version)
    batches = list(warehouse.read_shard(table, report.shard, version=version))
    rows = pa.Table.from_batches(batches, schema=warehouse.schema(table, version))
    entered = _entered(warehouse, commit)
    assert commit.provenance is not None
    return Shard(
        report=report,
        rows=rows,
        declared=promise.schema,
        entered=entered,
        withheld=commit.provenance.rows_withheld,
        bounds=promise.bounds,
        errors=promise.errors,
        layout=layout_of(warehouse, table),
    )


def as_stored(
    warehouse: Warehouse,
    table: str,
    commit: Commit,
    promise: Promise,
    layout: Layout | None = None,
) -> Shard:
    """A shard as it is now, long after the commit that wrote it.

    The stage's own account is gone but for the commit's record, so the rows are held against that.
    Rows that were taken down since count as withheld, and so do those that went to a shard of a
    newer layout. `layout` is that of the table, `layout_of`.
    """
    made = commit.provenance
    assert made is not None
    batches = warehouse.read_shard(table, made.shard)
    rows = pa.Table.from_batches(batches, schema=warehouse.schema(table))
    frame = pl.DataFrame(rows.select(["keep", "rejected_by", "error"]))
    later = warehouse.history(table, commit.version)
    taken = made.rows_out - rows.num_rows if any(c.kind == "takedown" for c in later) else 0
    moved = sum(c.taken_from.get(made.shard, 0) for c in later)
    withheld = made.rows_withheld + max(0, taken, moved)
    try:
        entered, known = _entered(warehouse, commit), True
    except WarehouseError:
        entered, known = None, False  # the version that was read was cleaned up since
    report = StageReport(
        table=table,
        shard=made.shard,
        version=commit.version,
        rows_in=made.rows_in,
        rows_out=made.rows_out + made.rows_withheld,
        # What was withheld is in no row; whatever it was, the account must come out even.
        kept=int(frame["keep"].sum()) + withheld,
        rejected=summary.counts(frame, "rejected_by"),
        errors=summary.error_counts(frame),
    )
    return Shard(
        report=report,
        rows=rows,
        declared=promise.schema,
        entered=entered,
        withheld=withheld,
        bounds=promise.bounds,
        errors=promise.errors,
        # Of a retired shard's rows some went to other shards, which nothing in it tells.
        input_known=known and not (layout is not None and made.shard in layout.retired),
        layout=layout,
    )


def layout_of(warehouse: Warehouse, table: str) -> Layout | None:
    """How far a table follows the manifest of its source; None if that has retired no shard."""
    manifest = f"{table.partition('/')[0]}/manifest"
    if not warehouse.exists(manifest) or "retired" not in warehouse.schema(manifest).names:
        return None
    columns = ["shard", "rows", "companions", "retired"]
    if not list(warehouse.scan(manifest, columns=["shard"], where="retired")):
        return None
    lines = [r for b in warehouse.scan(manifest, columns=columns) for r in b.to_pylist()]
    current = {r["shard"] for r in lines if r["rows"] or r["companions"]}
    held = warehouse.shards(table)
    retired = {r["shard"] for r in lines if r["retired"]}
    older = {s: n for s, n in held.items() if s in retired and n}
    return Layout(len(current), len(current & held.keys()), older, frozenset(retired))


def promise_of(
    warehouse: Warehouse, table: str, commit: Commit, recipe: Recipe | None = None
) -> Promise:
    """What is promised of a table: by the recipe, else by the operators that made it.

    A nullable column that clips have got since the table was made is not: the next shard that is
    written brings it.

    Args:
        warehouse: Where the table is.
        table: Name of the table.
        commit: The commit of one of its shards.
        recipe: The recipe that it belongs to, where its file is at hand.
    """
    promise = _promise(table, commit, recipe)
    there = set(warehouse.schema(table).names)
    newer = {f.name for f in CLIP_SCHEMA if f.nullable} - there
    fields = [f for f in promise.schema if f.name not in newer]
    return dataclasses.replace(promise, schema=pa.schema(fields))


def _promise(table: str, commit: Commit, recipe: Recipe | None) -> Promise:
    stage = table.rpartition("/")[2]
    if table.count("/") == 1:
        return Promise(CLIP_SCHEMA, SOURCE_BOUNDS)
    if recipe is not None:
        for known in recipe.stages:
            if known.name == stage:
                return Promise(recipe.schema(known), known.keep_rate, known.error_share)
        if stage == RENDERED:
            return Promise(recipe.rendered_schema)
    uses = commit.provenance.operators if commit.provenance else ()
    return Promise(pa.schema([*CLIP_SCHEMA, *_columns_of(u.operator for u in uses)]))


def _columns_of(names: Iterable[str]) -> list[pa.Field]:
    """Columns that operators add, of those that are known; steps such as `media` add none."""
    found: dict[str, pa.Field] = {}
    for name in names:
        try:
            operator = operator_class(name)
        except RecipeError:
            continue
        added = DUPLICATE_COLUMNS if operator.kind is Kind.DEDUPLICATOR else ()
        found |= {c.name: c.field for c in (*operator.columns, *added)}
    return list(found.values())


def _entered(warehouse: Warehouse, commit: Commit) -> list[str] | None:
    """clip_ids of the kept rows of the version that the stage read; None for annotations.

    Raises:
        WarehouseError: That version is not there any more.
    """
    made = commit.provenance
    if made is None or made.input_table is None or made.input_version is None:
        return None
    if "clip_id" not in warehouse.schema(made.input_table, made.input_version).names:
        return None
    kept = warehouse.read_shard(
        made.input_table,
        made.shard,
        columns=["clip_id"],
        where="keep",
        version=made.input_version,
    )
    return [i for batch in kept for i in batch["clip_id"].to_pylist()]


def checkable(
    warehouse: Warehouse, source: str | None, recipe: str | None
) -> dict[str, list[Commit]]:
    """The commits that made the shards of the tables of clips, by table.

    Args:
        warehouse: Where the tables are.
        source: Only of this source.
        recipe: Only of this recipe.
    """
    found: dict[str, list[Commit]] = {}
    for table in warehouse.tables():
        parts = table.split("/")
        if source not in (None, parts[0]) or (recipe is not None and parts[1:-1] != [recipe]):
            continue
        if {"clip_id", "keep"} <= set(warehouse.schema(table).names):
            made = shard_commits(warehouse.history(table))
            found[table] = [made[shard] for shard in sorted(made)]
    return found
