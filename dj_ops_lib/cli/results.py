"""`dj results` looks at what was measured and is kept: how much, what may go, whether it holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dj_ops_lib import settings
from dj_ops_lib.cli.records import print_records
from dj_ops_lib.cli.table import JsonOption, WarehouseOption, open_warehouse, to_json

if TYPE_CHECKING:
    from dj_ops_lib.engine.audit import Audit

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


@app.command()
def audit(
    share: Annotated[
        float, typer.Option(help="Part of the clips whose results are measured again.")
    ] = 0.005,
    seed: Annotated[int, typer.Option(help="Another seed chooses other clips.")] = 0,
    tolerance: Annotated[
        float,
        typer.Option(
            help="How far numbers may differ: a part of the larger, by itself where both are "
            "below 1; default: not at all."
        ),
    ] = 0.0,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Where the videos may be; default: DJ_DATA; repeatable."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode; default: one a core.")
    ] = None,
    source: SourceOption = None,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure some stored results again, and say which numbers come out otherwise.

    A new FFmpeg or OpenCV may change them. Nothing is written. Exits with 1 where a number
    differs, or where nothing could be measured again.
    """
    from dj_ops_lib.engine.audit import audit as measure_again
    from dj_ops_lib.engine.file_shards import folders
    from dj_ops_lib.engine.options import EngineOptions, available_cores
    from dj_ops_lib.media.access import Access

    place = open_warehouse(warehouse)
    done = []
    for name in place.sources_with_results(source):
        roots = (*(root or [str(settings.data_root())]), *folders(place, name))
        options = EngineOptions(Access(roots), workers=workers or available_cores())
        done.append(
            measure_again(
                place, source=name, options=options, share=share, seed=seed, tolerance=tolerance
            )
        )
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(a) for a in done], ensure_ascii=False))
    else:
        for one in done:
            _print_audit(one)
        if not done:
            typer.echo("nothing was measured yet")
    if any(one.finding.problems for one in done):
        raise typer.Exit(1)


def _print_audit(done: Audit) -> None:
    typer.echo(
        f"{done.source}: {done.measured} of {done.results} results measured again, "
        f"{done.drifted} differ"
    )
    if done.skipped:
        typer.echo(f"  {done.sampled - done.measured} not: {done.reasons}")
    for drift in done.drifts:
        typer.echo(f"  {drift}")
