"""`dj plan` shows how the engine will run a recipe: waves, what they share, what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.rendering import RENDERED


def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, ours or Data-Juicer's.")],
    at: Annotated[
        str | None, typer.Option(help="Key of the mapping that holds the recipe, as `attributes`.")
    ] = None,
    warehouse: Annotated[
        str | None, typer.Option(help="Where earlier runs are: costs come from their history.")
    ] = None,
    source: Annotated[str, typer.Option(help="Source whose tables' history is read.")] = "files",
) -> None:
    """Show the waves of every stage, what they decode, and what a clip is expected to cost."""
    from dj_ops_lib.engine.explanation import describe_rendering

    loaded = load_recipe(recipe, at=at)
    for line in loaded.remarks:
        typer.echo(line, err=True)
    console = Console()
    for stage in loaded.stages:
        console.print(_stage_table(loaded, stage, warehouse, source))
    if loaded.rendering is not None:
        said = f"{loaded.name}: {RENDERED}: kept clips become files, "
        console.print(said + describe_rendering(loaded.rendering), highlight=False, soft_wrap=True)


def _stage_table(recipe: Recipe, stage: Stage, warehouse: str | None, source: str) -> Table:
    from dj_ops_lib.engine.explanation import (
        LEVELS,
        describe_passes,
        expected_seconds,
        shared_needs,
    )
    from dj_ops_lib.engine.ordering import Cost
    from dj_ops_lib.engine.planner import plan_operators
    from dj_ops_lib.engine.shard import recent_costs
    from dj_ops_lib.warehouse import Warehouse

    costs: dict[str, Cost] = {}
    if warehouse is not None:
        costs = recent_costs(Warehouse(warehouse), f"{source}/{recipe.name}/{stage.name}")
    table = Table(title=f"{recipe.name}: {stage.name}", title_justify="left", expand=True)
    for header in ("wave", "sees", "operators", "passes"):
        table.add_column(header, overflow="fold")
    table.add_column("CPU s a clip", justify="right")
    number = 0
    for segment in plan_operators(stage.operators):
        for wave in segment.waves:
            number += 1
            seconds = expected_seconds(wave, costs)
            cost = "unknown" if seconds is None else f"{seconds:.3f}"
            for row, (need, names) in enumerate(shared_needs(wave)):
                shared = ("", "") if row else (describe_passes(wave, costs), cost)
                name = "" if row else f"{number}: {LEVELS[wave.level]}"
                table.add_row(name, need, "\n".join(names), *shared)
        if segment.barrier is not None:
            kind = segment.barrier.kind.value
            table.add_row("", f"({kind}: what follows sees its clips)", segment.barrier.name)
            table.add_section()
    return table
