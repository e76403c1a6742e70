"""`dj results` looks at what was measured and is kept: how much, what may go, whether it holds."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated

import typer
from rich.console import Console

from dj_ops_lib.cli.records import print_records
from dj_ops_lib.cli.table import JsonOption, WarehouseOption, open_warehouse, to_json

app = typer.Typer(help="Look at what was measured and is kept.", no_args_is_help=True)

SourceOption = Annotated[
    str | None, typer.Option("--source", help="Only this source; default: all.")
]


@app.command("ls")
def list_results(
    source: SourceOption = None, warehouse: WarehouseOption = None, as_json: JsonOption = False
) -> None:
    """List what is kept by source and operator, and the files that no table holds yet.

    In use is what a table rests on, as it is now or as a tag keeps it. Results by other
    parameters or versions of an operator are listed apart.
    """
    found = open_warehouse(warehouse).results_inventory(source)
    if as_json:
        typer.echo(to_json(found))
        return
    if not found.stored and not found.waiting:
        typer.echo("nothing was measured yet")
    console = Console()
    print_records(
        console,
        [
            {
                "source": c.source,
                "operator": c.operator,
                "in use": "yes" if c.in_use else "no",
                "results": c.results,
                "failures": c.failures,
                "KiB": round(c.bytes / 1024),
                "oldest": f"{c.oldest:%Y-%m-%d %H:%M}",
                "newest": f"{c.newest:%Y-%m-%d %H:%M}",
            }
            for c in found.stored
        ],
        heading="operator",
    )
    for w in found.waiting:
        console.print(
            f"{w.source}, shard {w.shard}: {w.files} files that no table holds yet, {w.bytes} "
            f"bytes, the last of {w.newest:%Y-%m-%d %H:%M}; the shard's next run takes them along",
            highlight=False,
            markup=False,
        )


@app.command()
def prune(
    *,
    unused: Annotated[
        bool, typer.Option("--unused", help="All that no table rests on any more.")
    ] = False,
    operator: Annotated[str | None, typer.Option(help="Those of this operator.")] = None,
    older_than: Annotated[
        float | None, typer.Option(help="Those measured so many days ago or earlier.", min=0)
    ] = None,
    even_used: Annotated[
        bool, typer.Option("--even-used", help="Also those that a table rests on.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them.")] = False,
    source: SourceOption = None,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find results that may go: those that all options hold for; --yes removes them.

    What a table rests on, as it is now or as a tag keeps it, stays unless --even-used. What is gone
    is measured again where a recipe wants it again. `dj table maintain` frees the space.
    """
    from dj_ops_lib.warehouse.results_inventory import Chosen

    chosen = Chosen(
        older_than=None if older_than is None else dt.timedelta(days=older_than),
        operator=operator,
        unused=unused,
        even_used=even_used,
    )
    found = open_warehouse(warehouse).prune_results(chosen, source=source, remove=yes)
    if as_json:
        typer.echo(json.dumps([json.loads(to_json(f)) for f in found], ensure_ascii=False))
        return
    for one in found:
        for name, count in one.results.items():
            typer.echo(f"{one.source}: {count} of {name}")
    total = sum(sum(f.results.values()) for f in found)
    typer.echo(f"{total} results " + ("removed" if yes else "that may go; --yes removes them"))
