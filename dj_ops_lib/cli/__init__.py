"""The command line `dj`: one file a group of commands; errors are one line, not a trace.

Exit codes: 1 where a file or a clip failed, 2 where nothing could be done as asked,
70 for a fault of this program, 143 when told to end.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dj_ops_lib.cli import (
    check,
    doctor,
    operators,
    plan,
    preview,
    prune,
    render,
    results,
    run,
    show,
    table,
    takedown,
)
from dj_ops_lib.faults import explain

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
_typer.add_typer(results.app, name="results")
_typer.command("check")(check.check)
_typer.command("takedown")(takedown.takedown)


@_typer.callback()
def _every_command(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole trace of an error.")
    ] = False,
) -> None:
    _debugging.append(debug)


_debugging: list[bool] = []


def app() -> None:
    """Entry point of the console script."""
    _debugging.clear()
    with _ended_in_order() as told_to_end:
        try:
            _typer()
        except Exception as error:
            if told_to_end:  # the exit passed through Arrow, which makes an error of it
                sys.exit(told_to_end[0])
            if any(_debugging):
                traceback.print_exc()
            told = explain(error)
            _say(str(told) if told is not None else _own_fault(error))
            sys.exit(2 if told is not None else 70)


def _say(message: str) -> None:
    Console(stderr=True).print(
        f"[bold red]error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True
    )


def _own_fault(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory: {text or 'an allocation failed'}; see `dj doctor`"
    return (
        f"{type(error).__name__}: {text}; this is a fault of dj: please report it with what "
        "`dj --debug` says when it is placed before the same command"
    )


@contextlib.contextmanager
def _ended_in_order() -> Iterator[list[int]]:
    """Told to end, leave by an exception, so that temporary folders are removed.

    Yields:
        The exit code, once it was told.
    """
    codes: list[int] = []

    def leave(number: int, _: FrameType | None) -> None:
        codes.append(128 + number)
        sys.exit(codes[0])

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield codes
    finally:
        signal.signal(signal.SIGTERM, before)
