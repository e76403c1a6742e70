"""`dj plan` shows how the engine will run a recipe: waves, what they share, what they cost.

With `--change` it tells what the recipe would do to the clips that are stored (`forecast.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dj_ops_lib.cli.forecast import print_forecast
from dj_ops_lib.errors import OptionError
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.rendering import RENDERED


def plan(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe file, ours (also a defs.yaml) or Data-Juicer's.")
    ],
    at: Annotated[
        str | None,
        typer.Option(help="Key of the mapping that holds the recipe; a defs.yaml needs none."),
    ] = None,
    warehouse: Annotated[
        str | None, typer.Option(help="Where earlier runs are: costs come from their history.")
    ] = None,
    source: Annotated[str, typer.Option(help="Source whose tables' history is read.")] = "files",
    change: Annotated[
        bool,
        typer.Option(
            "--change",
            help="Tell what running it would measure, keep and lose of the source's clips.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --change: one JSON object instead of text.")
    ] = False,
) -> None:
    """Show the waves of every stage, what they decode, and what a clip is expected to cost.

    With --change: what is measured again and what is reused, how many clips enter and leave, by
    stage and over all shards, from what is stored; nothing is measured or written.
    """
    from dj_ops_lib.engine.explanation import describe_rendering

    loaded = load_recipe(recipe, at=at)
    for line in loaded.remarks:
        typer.echo(line, err=True)
    if change:
        print_forecast(loaded, source=source, warehouse=warehouse, as_json=as_json)
        return
    if as_json:
        raise OptionError("--json goes with --change")
    console = Console()
    for stage in loaded.stages:
        _print_stage(console, loaded, stage, warehouse, source)
    if loaded.rendering is not None:
        said = f"{loaded.name}: {RENDERED}: kept clips become files, "
        console.print(said + describe_rendering(loaded.rendering), highlight=False, soft_wrap=True)


def _print_stage(
    console: Console, recipe: Recipe, stage: Stage, warehouse: str | None, source: str
) -> None:
    """A line a wave, and below it what its operators see: operators that see the same share it."""
    from dj_ops_lib.engine.explanation import (
        LEVELS,
        describe_cost,
        describe_passes,
        shared_needs,
    )
    from dj_ops_lib.engine.ordering import Cost
    from dj_ops_lib.engine.planner import plan_operators
    from dj_ops_lib.engine.shard import recent_costs
    from dj_ops_lib.warehouse import Warehouse

    costs: dict[str, Cost] = {}
    if warehouse is not None:
        costs = recent_costs(Warehouse(warehouse), f"{source}/{recipe.name}/{stage.name}")
    console.print(Text(f"{recipe.name}: {stage.name}", style="bold"))
    number = 0
    for segment in plan_operators(stage.operators):
        for wave in segment.waves:
            number += 1
            said = (LEVELS[wave.level], describe_passes(wave, costs), describe_cost(wave, costs))
            console.print(Text(f"  wave {number}: {'; '.join(said)}"))
            seen = Table.grid(padding=(0, 2))
            seen.add_column(no_wrap=True)
            seen.add_column(overflow="fold")
            for need, names in shared_needs(wave):
                seen.add_row(Text("\n".join(f"    {name}" for name in names)), Text(need))
            console.print(seen)
        if segment.barrier is not None:
            kind = segment.barrier.kind.value
            console.print(Text(f"  ({kind}: what follows sees its clips)"))
