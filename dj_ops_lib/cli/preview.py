"""`dj preview` tells what a threshold would keep and lose, before anything runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dj_ops_lib.cli.operators import parse_parameters
from dj_ops_lib.cli.show import ID_DIGITS
from dj_ops_lib.cli.table import JsonOption, WarehouseOption, open_warehouse
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import load_recipe, make_operator
from dj_ops_lib.registry import nearest

if TYPE_CHECKING:
    from dj_ops_lib.engine.preview import Share, StagePreview


def preview(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, ours or Data-Juicer's.")],
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="stage.operator.parameter=value, or without the stage; repeatable."
        ),
    ] = None,
    source: Annotated[str, typer.Option(help="Source whose tables are read.")] = "files",
    examples: Annotated[int, typer.Option(help="Clips to name of each kind.", min=0)] = 5,
    at: Annotated[
        str | None, typer.Option(help="Key of the mapping that holds the recipe, as `attributes`.")
    ] = None,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what thresholds would keep and lose of the stored clips; nothing is measured or written.

    Shown are the stages that --set names, or all. Each is told from its own table as it is, not
    from what a stage before it would leave.
    """
    from dj_ops_lib.engine.preview import preview_stage

    loaded = load_recipe(recipe, at=at)
    changed, stages = with_changes(loaded, change or ())
    place = open_warehouse(warehouse)
    found = [
        preview_stage(place, changed, stage, source=source, examples=examples)
        for stage in changed.stages
        if not stages or stage.name in stages
    ]
    for told in found:
        if as_json:
            typer.echo(json.dumps(dataclasses.asdict(told), ensure_ascii=False))
        else:
            _print(told)


def with_changes(recipe: Recipe, changes: Sequence[str]) -> tuple[Recipe, set[str]]:
    """The recipe with other thresholds, and the names of the stages that they are in.

    Args:
        recipe: The recipe.
        changes: `stage.operator.parameter=value`, the stage only where several have the operator.

    Raises:
        RecipeError: A name is unknown or ambiguous, or the parameter is no threshold.
    """
    stages = {stage.name: list(stage.operators) for stage in recipe.stages}
    touched = set()
    for address, value in parse_parameters(list(changes), "--set").items():
        stage, position = _operator_at(recipe, address)
        name = address.rpartition(".")[2]
        operator = stages[stage.name][position]
        stages[stage.name][position] = _with(operator, name, value)
        touched.add(stage.name)
    made = tuple(dataclasses.replace(s, operators=tuple(stages[s.name])) for s in recipe.stages)
    return dataclasses.replace(recipe, stages=made), touched


def _operator_at(recipe: Recipe, address: str) -> tuple[Stage, int]:
    """The stage, and the operator's place in it, that `[stage.]operator.parameter` names."""
    *of_stage, operator, _ = address.split(".") if "." in address else ("", "", "")
    if not operator or len(of_stage) > 1:
        raise RecipeError(f"--set {address}: it is stage.operator.parameter=value")
    names = [s.name for s in recipe.stages]
    if of_stage and of_stage[0] not in names:
        raise RecipeError(
            f"--set {address}: recipe '{recipe.name}' has no stage '{of_stage[0]}'"
            + nearest(of_stage[0], names)
        )
    places = [
        (stage, i)
        for stage in recipe.stages
        if not of_stage or stage.name == of_stage[0]
        for i, o in enumerate(stage.operators)
        if o.name == operator
    ]
    if not places:
        known = [o.name for s in recipe.stages for o in s.operators]
        raise RecipeError(
            f"--set {address}: the recipe has no operator '{operator}'{nearest(operator, known)}"
        )
    if len(places) > 1:
        several = ", ".join(f"{s.name}.{operator}" for s, _ in places)
        raise RecipeError(f"--set {address}: say which is meant: {several}")
    return places[0]


def _with(operator: Operator, name: str, value: Any) -> Operator:
    fields = type(operator).model_fields
    if name in fields and name not in operator.deciding_parameters():
        raise RecipeError(
            f"--set {operator.name}.{name}: it changes what is measured, not what is decided; a "
            "preview measures nothing, change it in the recipe and run that"
        )
    given = {k: getattr(operator, k) for k in operator.model_fields_set}
    return make_operator(operator.name, given | {name: value})


def _print(told: StagePreview) -> None:
    console = Console()
    console.print(Text(f"{told.table}, version {told.version}", style="bold"))
    lines: list[tuple[str, Share, str]] = [
        ("kept now", told.before, ""),
        ("would be kept", told.after, ""),
        ("leave", told.leave, "leave"),
        ("enter", told.enter, "enter"),
    ]
    if told.open.clips:
        lines.append(("to be measured", told.open, "open"))
    for name, share, kind in lines:
        console.print(Text(f"  {name:15}{_share(share)}"))
        examples = Table.grid(padding=(0, 2))
        examples.add_column(no_wrap=True)
        examples.add_column(overflow="fold")
        for example in told.examples.get(kind, ()):
            what = f"video {example.source_id}" if example.source_id else ""
            said = "; ".join(part for part in (what, example.reason) if part)
            examples.add_row(Text(f"    {example.clip_id[:ID_DIGITS]}"), Text(said))
        if examples.row_count:
            console.print(examples)
    for table, share in told.downstream.items():
        console.print(Text(f"  of those that leave, kept in {table}: {_share(share)}"))


def _share(share: Share) -> str:
    return f"{share.clips:,} clips, {share.seconds / 3600:.4f} h"
