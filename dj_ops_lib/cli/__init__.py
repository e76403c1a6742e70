"""The command line `dj`: one file a group of commands; errors are one line, not a trace."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from dj_ops_lib.cli import (
    doctor,
    operators,
    plan,
    preview,
    prune,
    render,
    run,
    show,
    table,
    takedown,
)
from dj_ops_lib.errors import DjError

_typer = typer.Typer(
    name="dj",
    help="Video operators, recipes and Lance tables, without Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_typer.command("ops")(operators.ops)
_typer.command("op")(operators.op)
_typer.command("plan")(plan.plan)
_typer.command("preview")(preview.preview)
_typer.command("run")(run.run)
_typer.command("render")(render.render)
_typer.command("prune")(prune.prune)
_typer.command("doctor")(doctor.doctor)
table.app.command("show")(show.show)
_typer.add_typer(table.app, name="table")
_typer.command("takedown")(takedown.takedown)


def app() -> None:
    """Entry point of the console script."""
    try:
        _typer()
    except DjError as error:
        Console(stderr=True).print(
            f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(2)
