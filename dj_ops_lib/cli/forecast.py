"""`dj plan --change`: what running a recipe would measure, keep and lose, a line a stage."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from dj_ops_lib.cli.table import open_warehouse
from dj_ops_lib.recipe import Recipe

if TYPE_CHECKING:
    from dj_ops_lib.engine.forecast import StageForecast


def print_forecast(recipe: Recipe, *, source: str, warehouse: str | None, as_json: bool) -> None:
    """Tell what the recipe would do to a source's stored clips; nothing is measured or written."""
    from dj_ops_lib.engine.forecast import forecast

    found = forecast(open_warehouse(warehouse), recipe, source=source)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False))
        return
    console = Console()
    for told in found.stages:
        console.print(Text(told.table, style="bold"))
        for line in lines(told):
            console.print(Text(f"  {line}"))
    if found.unprobed:
        shards = ", ".join(found.unprobed[:5]) + (", ..." if len(found.unprobed) > 5 else "")
        console.print(
            Text(
                f"without {len(found.unprobed)} shards whose files were not looked at yet: {shards}"
            )
        )


def lines(told: StageForecast) -> list[str]:
    """What is foreseen of one stage."""
    again = f"{told.measured:,} clips measured"
    if told.measured:
        again += f", {duration(told.cpu_seconds)} of CPU"
    found = [f"{again}; {told.reused:,} reused; {told.enter:,} enter, {told.leave:,} leave"]
    if told.perhaps or told.perhaps_seconds:
        found.append(
            f"{told.perhaps:,} more perhaps measured, if they pass what is measured before: "
            f"{duration(told.perhaps_seconds)} more"
        )
    if told.open:
        found.append(f"{told.open:,} stay or go by what is measured")
    if told.uncut:
        found.append(
            f"not known: what becomes of {told.uncut:,} clips that have to be cut or edited first"
        )
    if told.unknown_cost:
        found.append(f"time without {', '.join(told.unknown_cost)}: never measured yet")
    return found


def duration(seconds: float) -> str:
    """A time as people say it, to two digits: `4 min`, `1.5 h`."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.2g}'):g} s"
