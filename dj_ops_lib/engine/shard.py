"""One stage over one shard: reads its input, runs it, commits its rows, reports.

The entry points of the engine. What a re-run must find again is in the source's
results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from dj_ops_lib.engine import summary
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.making import Making
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.ordering import RECENT_COMMITS, Cost, costs_of
from dj_ops_lib.engine.probing import probe_shard
from dj_ops_lib.engine.runner import StageRun, run_operators
from dj_ops_lib.engine.settling import Settled, settle
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Deduplicator, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import nearest
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Warehouse

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
    chosen = _stage(recipe, stage)
    operators, deduplicator = chosen.operators, _deduplicator(chosen)
    input_name = recipe.input_of(chosen)
    folder = source if input_name == "media" else f"{source}/{recipe.name}"
    input_table, table = f"{folder}/{input_name}", f"{source}/{recipe.name}/{stage}"
    making = Making(
        warehouse, table, input_table, shard, options, run_id=run_id, code_version=code_version
    )
    run = run_operators(
        making.rows,
        operators,
        known=making.known(operators),
        measure=making.passes(),
        options=options,
        costs=recent_costs(warehouse, table),
    )
    if options.share is not None:
        return making.leave(touched=len(run.touched), tallies=run.tallies)
    origin = making.origin(
        _uses(operators, run),
        fingerprint=chosen.measuring_fingerprint,
        recipe_hash=chosen.recipe_hash,
    )
    schema, tallies = recipe.schema(chosen), run.tallies
    if deduplicator is not None:
        making.keep_results(origin)
        done = settle(warehouse, table, run.rows, deduplicator, schema=schema, by=origin)
        tallies = _without_copies(tallies, done.rows)
    else:
        done = Settled(making.commit(run.rows, schema, origin), run.rows)
    touched = len(run.touched)
    return dataclasses.replace(
        making.finish(done.version, done.rows, touched=touched, tallies=tallies),
        split=run.split,
        histograms=summary.histograms(
            warehouse, table, shard, done.version, [c.name for c in chosen.columns]
        ),
        thresholds=summary.thresholds(operators),
        redecided=done.redecided,
    )


def _stage(recipe: Recipe, name: str) -> Stage:
    for stage in recipe.stages:
        if stage.name == name:
            return stage
    names = [s.name for s in recipe.stages]
    raise RecipeError(f"recipe '{recipe.name}' has no stage '{name}'{nearest(name, names)}")


def _deduplicator(stage: Stage) -> Deduplicator | None:
    """The stage's last operator, if it is one.

    Raises:
        RecipeError: There is one elsewhere.
    """
    *others, last = stage.operators
    if any(isinstance(o, Deduplicator) for o in others):
        raise RecipeError(f"stage '{stage.name}': a deduplicator must be its last operator")
    return last if isinstance(last, Deduplicator) else None


def _without_copies(tallies: Sequence[Tally], rows: pl.DataFrame) -> tuple[Tally, ...]:
    """A deduplicating stage's tallies, with the copies that were rejected after all measuring."""
    *others, last = tallies
    copies = len(rows) - rows["duplicate_of"].null_count()
    return (*others, dataclasses.replace(last, rejected=copies, rows_out=last.rows_out - copies))


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
            o.digest(),
            rows_in=tallies[o.name].rows_in,
            rejected=tallies[o.name].rejected,
            measured=tallies[o.name].measured,
            seconds=round(tallies[o.name].seconds, 4),
            pass_seconds=round(tallies[o.name].pass_seconds, 4),
        )
        for o in operators
    )
