"""`dj check` holds the shards of tables against their promises, whoever made them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from dj_ops_lib.checks import Finding, Severity, findings
from dj_ops_lib.cli.table import WarehouseOption, open_warehouse
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.recipe_file import load_recipe

FAILED = 1
"""Exit code where a check found an error; a warning alone is no failure."""


def check(
    source: Annotated[str | None, typer.Option(help="Only tables of this source.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Only tables of this recipe: its name, or its file with its bounds."),
    ] = None,
    shards: Annotated[
        str | None, typer.Option(help="Only these: A..B, both included, or one name.")
    ] = None,
    warn_errors: Annotated[
        float | None,
        typer.Option(help="Share of rows in error above which it is a warning.", min=0, max=1),
    ] = None,
    block_errors: Annotated[
        float | None,
        typer.Option(help="Share of rows in error above which it is an error.", min=0, max=1),
    ] = None,
    warehouse: WarehouseOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a finding, for programs.")
    ] = False,
) -> None:
    """Check the shards of tables; exits with 1 where a check finds an error."""
    from dj_ops_lib.engine.checking import as_stored, checkable, layout_of, promise_of

    place = open_warehouse(warehouse)
    known = load_recipe(recipe) if recipe and Path(recipe).is_file() else None
    first, last = _range(shards)
    found: list[tuple[str, str, Finding]] = []
    tables = checkable(place, source, known.name if known else recipe)
    for table, commits in tables.items():
        layout = layout_of(place, table)
        for commit in commits:
            name = commit.shard or ""
            if first <= name and (last is None or name <= last):
                promise = promise_of(place, table, commit, known)
                warn, block = promise.errors
                warn = warn if warn_errors is None else warn_errors
                block = block if block_errors is None else block_errors
                promise = dataclasses.replace(promise, errors=(warn, block))
                shard = as_stored(place, table, commit, promise, layout)
                found += [(table, name, f) for f in findings(shard)]
    if not found:
        raise WarehouseError(
            f"nothing to check in {place.uri}: no table of clips has such a shard; `dj table list` "
            "shows what there is"
        )
    _print(found, as_json=as_json)
    if any(f.severity is Severity.ERROR for _, _, f in found if not f.passed):
        raise typer.Exit(FAILED)


def _range(shards: str | None) -> tuple[str, str | None]:
    if shards is None:
        return "", None
    first, dots, last = shards.partition("..")
    if dots and last and first > last:
        raise WarehouseError(f"--shards {shards}: '{first}' comes after '{last}'")
    return first, (last or None) if dots else first


def _print(found: list[tuple[str, str, Finding]], *, as_json: bool) -> None:
    if as_json:
        for table, shard, finding in found:
            record = {"table": table, "shard": shard} | dataclasses.asdict(finding)
            typer.echo(json.dumps(record | {"passed": finding.passed}, ensure_ascii=False))
        return
    console = Console()
    failed = [(t, s, f) for t, s, f in found if not f.passed]
    for table, shard, finding in failed:
        style = "red" if finding.severity is Severity.ERROR else "yellow"
        said = f"{finding.severity} {table} {shard} {finding.check}: {'; '.join(finding.problems)}"
        console.print(Text(said, style=style), soft_wrap=True)
    errors = sum(f.severity is Severity.ERROR for _, _, f in failed)
    shards = len({(t, s) for t, s, _ in found})
    console.print(
        f"{len(found)} checks of {shards} shards: {errors} errors, {len(failed) - errors} warnings",
        highlight=False,
    )
