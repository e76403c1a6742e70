"""`dj prune` lists rendered files that no table names any more, and removes them when told to."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from dj_ops_lib import settings
from dj_ops_lib.cli.table import JsonOption, WarehouseOption, open_warehouse, to_json


def prune(
    folder: Annotated[
        str | None, typer.Argument(help="A folder or s3://, at any depth; default: DJ_RENDERED.")
    ] = None,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove them.")] = False,
    older_hours: Annotated[
        float, typer.Option(help="Leave younger files alone: an unfinished run made them.")
    ] = 48.0,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find rendered files that no `rendered` table names, neither its latest nor a tagged version.

    Files that `dj render` made are named by no table; those of other warehouses are left alone. Run
    it when nothing renders.
    """
    found = open_warehouse(warehouse).prune_files(
        folder or settings.rendered_root(),
        older_than=dt.timedelta(hours=older_hours),
        delete=delete,
    )
    if as_json:
        typer.echo(to_json(found))
        return
    for path in found.files:
        typer.echo(path)
    what = "removed" if delete else "that no table names; --delete removes them"
    typer.echo(f"{len(found.files)} files, {found.size / 2**20:.1f} MiB, {what}")
    if found.strangers:
        typer.echo(f"{found.strangers} more are on no record of this warehouse and left alone")
