"""One stage over one shard: reads its input, runs it, commits its rows, reports.

The entry points of the engine. Everything that a re-run must find again is in
the table; what a killed run had finished is in the spool.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import polars as pl

from dj_ops_lib.engine import summary
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.memo import Memo
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import RECENT_COMMITS, Cost, costs_of
from dj_ops_lib.engine.passes import Passes
from dj_ops_lib.engine.probing import probe_shard
from dj_ops_lib.engine.runner import StageRun, run_operators
from dj_ops_lib.engine.settling import Settled, settle
from dj_ops_lib.engine.spool import Spool, spool_folder
from dj_ops_lib.engine.tables import read_frame, to_batches
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Deduplicator, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import nearest
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse

__all__ = ["probe_shard", "process_shard"]


def process_shard(
    warehouse: Warehouse,
    recipe: Recipe,
    stage: str,
    *,
    source: str,
    shard: str,
    options: EngineOptions,
    run_id: str = "",
    code_version: str = "",
) -> StageReport:
    """Run one stage of a recipe over one shard and replace the shard in the stage's table.

    Args:
        warehouse: Where the tables are.
        recipe: The recipe.
        stage: Name of the stage.
        source: Name of the source; its tables are `<source>/...`.
        shard: Name of the shard.
        options: Settings of the run; none of them changes a result.
        run_id: For the commit's provenance.
        code_version: For the commit's provenance.

    Raises:
        RecipeError: The recipe has no such stage.
        WarehouseError: The input table is not there, or the output could not be written.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    chosen = _stage(recipe, stage)
    input_name = recipe.input_of(chosen)
    folder = source if input_name == "media" else f"{source}/{recipe.name}"
    input_table, table = f"{folder}/{input_name}", f"{source}/{recipe.name}/{stage}"
    input_version = warehouse.version(input_table)
    rows = read_frame(warehouse, input_table, shard, where="keep = true", version=input_version)

    spool = Spool(spool_folder(options.spool, warehouse.uri, table, shard), options.spool_every_s)
    memo = Memo(lambda it: _add_other_tables(it, warehouse, chosen.operators, table, shard))
    spool.load(memo, chosen.operators)
    if warehouse.exists(table):
        _add_table(memo, warehouse, chosen.operators, table, shard)
    memo.add_rows(rows, _known_to(warehouse, chosen.operators, input_table))
    passes = Passes(options, spool, table, shard)
    run = run_operators(
        rows,
        chosen.operators,
        memo=memo,
        measure=passes,
        options=options,
        costs=recent_costs(warehouse, table),
    )

    schema = recipe.schema(chosen)
    provenance = Provenance(
        run_id=run_id,
        source=source,
        stage=stage,
        shard=shard,
        recipe=recipe.name,
        recipe_hash=chosen.recipe_hash,
        measuring_fingerprint=chosen.measuring_fingerprint,
        input_table=input_table,
        input_version=input_version,
        code_version=code_version,
        rows_in=len(rows),
        operators=_uses(chosen.operators, run),
    )
    if chosen.deduplicates:
        done = settle(
            warehouse, table, run.rows, _deduplicator(chosen), schema=schema, by=provenance
        )
    else:
        batches = to_batches(run.rows, schema)
        version = warehouse.replace_shard(
            table, shard, batches, schema=schema, provenance=provenance
        )
        done = Settled(version, run.rows)
    result = done.rows
    tallies = _without_copies(run.tallies, result) if chosen.deduplicates else run.tallies
    spool.remove()
    kept = result.filter("keep")
    return StageReport(
        table=table,
        shard=shard,
        version=done.version,
        rows_in=len(rows),
        rows_out=len(result),
        kept=len(kept),
        rejected=summary.counts(result, "rejected_by"),
        errors=summary.error_counts(result),
        split=run.split,
        video_seconds=float(kept["duration_s"].sum()),
        wall_seconds=time.monotonic() - started,
        cpu_seconds=time.process_time() - cpu_started + passes.cpu_seconds,
        measured=len(run.touched),
        reused=len(rows) - len(run.touched),
        funnel=summary.funnel(tallies),
        histograms=summary.histograms(result, chosen.columns, chosen.operators),
        redecided=done.redecided,
    )


def _stage(recipe: Recipe, name: str) -> Stage:
    for stage in recipe.stages:
        if stage.name == name:
            return stage
    names = [s.name for s in recipe.stages]
    raise RecipeError(f"recipe '{recipe.name}' has no stage '{name}'{nearest(name, names)}")


def _deduplicator(stage: Stage) -> Deduplicator:
    operator = stage.operators[-1]
    if not isinstance(operator, Deduplicator):
        raise RecipeError(f"stage '{stage.name}': a deduplicator must be its last operator")
    return operator


def _without_copies(tallies: Sequence[Tally], rows: pl.DataFrame) -> list[Tally]:
    """A deduplicating stage's tallies, with the copies that were rejected after all measuring."""
    *others, last = tallies
    copies = len(rows) - rows["duplicate_of"].null_count()
    return [*others, dataclasses.replace(last, rejected=copies, rows_out=last.rows_out - copies)]


def recent_costs(warehouse: Warehouse, table: str) -> dict[str, Cost]:
    """What the operators of a stage have cost lately, by name; empty before its first run."""
    version = warehouse.version(table)
    if version == 0:
        return {}
    return costs_of(warehouse.history(table, since=max(0, version - RECENT_COMMITS)))


def _uses(operators: Sequence[Operator], run: StageRun) -> tuple[OperatorUse, ...]:
    """The operators as the commit's provenance tells of them."""
    tallies = {t.operator: t for t in run.tallies}
    return tuple(
        OperatorUse(
            o.name,
            o.model_dump(mode="json"),
            o.version,
            rows_in=tallies[o.name].rows_in,
            rejected=tallies[o.name].rejected,
            measured=tallies[o.name].measured,
            seconds=round(tallies[o.name].seconds, 4),
            pass_seconds=round(tallies[o.name].pass_seconds, 4),
        )
        for o in operators
    )


def _known_to(
    warehouse: Warehouse, operators: Sequence[Operator], table: str
) -> tuple[Operator, ...]:
    """The operators whose columns a table has, in the types that they are declared with."""
    types = {f.name: f.type for f in warehouse.schema(table)}
    return tuple(o for o in operators if all(types.get(c.name) == c.type for c in o.columns))


def _add_table(
    memo: Memo, warehouse: Warehouse, operators: Sequence[Operator], table: str, shard: str
) -> None:
    """Remember what a table's shard holds."""
    known = _known_to(warehouse, operators, table)
    if known:
        columns = ["measured", "error", *(c.name for o in known for c in o.columns)]
        memo.add_rows(read_frame(warehouse, table, shard, columns=columns), known)


def _add_other_tables(
    memo: Memo, warehouse: Warehouse, operators: Sequence[Operator], table: str, shard: str
) -> None:
    """Remember what the source's other stage tables hold, those of the same stage first."""
    source, _, stage = table.split("/")
    others = [t for t in warehouse.tables() if t.startswith(f"{source}/") and t.count("/") == 2]
    for name in sorted(others, key=lambda t: (not t.endswith(f"/{stage}"), t)):
        if name != table:
            _add_table(memo, warehouse, operators, name, shard)
