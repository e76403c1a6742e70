"""`dj table` looks at the warehouse's tables and keeps them: history, versions, maintenance."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dj_ops_lib import settings
from dj_ops_lib.cli.records import print_records, shown
from dj_ops_lib.errors import WarehouseError

if TYPE_CHECKING:
    from dj_ops_lib.histograms import Histogram
    from dj_ops_lib.warehouse.diff import Distribution, Shift

_TOPS = "▁▂▃▄▅▆▇█"

app = typer.Typer(help="Look at the warehouse's tables and keep them.", no_args_is_help=True)

WarehouseOption = Annotated[
    str | None,
    typer.Option("--warehouse", help="A folder or s3://; default: DJ_WAREHOUSE or ./warehouse."),
]
TableArgument = Annotated[str, typer.Argument(help="Such as msr_vtt/t2v/cleaned.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


def open_warehouse(uri: str | None) -> Any:
    """The warehouse at `uri`, or where the environment says."""
    from dj_ops_lib.warehouse import Warehouse

    return Warehouse(settings.warehouse_uri() if uri is None else uri)


def to_json(record: Any) -> str:
    """A dataclass as one JSON object."""
    return json.dumps(dataclasses.asdict(record), ensure_ascii=False, default=str)


def _version(text: str) -> int | str:
    return int(text) if text.isdigit() else text


@app.command("list")
def list_tables(warehouse: WarehouseOption = None) -> None:
    """List all tables with version, shards and rows."""
    place = open_warehouse(warehouse)
    records = []
    for name in place.tables():
        shards = place.shards(name)
        version, rows = place.version(name), sum(shards.values())
        records.append({"table": name, "version": version, "shards": len(shards), "rows": rows})
    print_records(Console(), records)


@app.command()
def drop(
    table: TableArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, instead of telling.")] = False,
    warehouse: WarehouseOption = None,
) -> None:
    """Remove a table, with the clips' files that were made for it and no other table names."""
    found = open_warehouse(warehouse).drop(table, dry=not yes)
    for uri in found.files:
        typer.echo(uri)
    what = "removed" if yes else "would be removed; --yes does it"
    typer.echo(f"{table}: {found.rows} rows and {len(found.files)} files {what}")


@app.command()
def history(
    table: TableArgument, warehouse: WarehouseOption = None, as_json: JsonOption = False
) -> None:
    """List who committed what, oldest first; --json gives one object a line, with everything."""
    commits = open_warehouse(warehouse).history(table)
    if as_json:
        for commit in commits:
            typer.echo(to_json(commit))
        return
    records = []
    for c in commits:
        p = c.provenance
        record = {
            "version": c.version,
            "when": f"{c.at:%Y-%m-%d %H:%M:%S}" if c.at else None,
            "kind": c.kind,
            "shard": p and p.shard,
            "run": p and p.run_id,
            "rows in": p and p.rows_in,
            "rows out": p and p.rows_out,
            "from": f"{p.input_table} @ {p.input_version}" if p and p.input_table else None,
        }
        records.append(record)
    print_records(Console(), records)


@app.command()
def explain(
    table: TableArgument,
    clip_id: Annotated[str, typer.Argument(help="A clip_id, or enough of its beginning.")],
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk a clip back to the annotation line it came from, naming every operator on the way.

    Of a clip that never came to the table, it says where it was rejected, and why.
    """
    found = open_warehouse(warehouse).explain(table, clip_id)
    typer.echo(to_json(found) if as_json else "\n".join(found.lines()))


@app.command()
def tags(table: TableArgument, warehouse: WarehouseOption = None) -> None:
    """List the tags of a table."""
    for tag_ in open_warehouse(warehouse).tags(table):
        typer.echo(f"{tag_.name}\t{tag_.version}")


@app.command()
def tag(
    table: TableArgument,
    name: Annotated[str, typer.Argument(help="The tag.")],
    version: Annotated[str | None, typer.Option(help="Version or tag; default: latest.")] = None,
    warehouse: WarehouseOption = None,
) -> None:
    """Name a version; tagged versions survive cleanup."""
    made = open_warehouse(warehouse).tag(table, name, _version(version) if version else None)
    typer.echo(f"{table}: '{made.name}' is version {made.version}")


@app.command()
def untag(
    table: TableArgument,
    name: Annotated[str, typer.Argument(help="The tag.")],
    warehouse: WarehouseOption = None,
) -> None:
    """Delete a tag."""
    open_warehouse(warehouse).untag(table, name)
    typer.echo(f"{table}: the tag '{name}' is gone")


@app.command()
def restore(
    table: TableArgument,
    version: Annotated[str, typer.Argument(help="Version number or tag.")],
    warehouse: WarehouseOption = None,
) -> None:
    """Make the rows of an old version current again, without what was taken down."""
    made = open_warehouse(warehouse).restore(table, _version(version))
    typer.echo(f"{table}: version {made} has the rows of {version}")


@app.command()
def diff(
    table: TableArgument,
    before: Annotated[str, typer.Argument(help="Version number or tag.")],
    after: Annotated[str | None, typer.Argument(help="Version or tag; default: latest.")] = None,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which clips changed between two versions and how every statistic moved."""
    found = open_warehouse(warehouse).diff(
        table, _version(before), _version(after) if after else None
    )
    if as_json:
        typer.echo(to_json(found))
        return
    console = Console()
    console.print(
        f"{table} from version {found.before} to {found.after}: {len(found.added)} clips added, "
        f"{len(found.removed)} removed, {len(found.changed)} changed"
    )
    for label, names in (("new columns", found.new_columns), ("lost columns", found.lost_columns)):
        if names:
            console.print(f"{label}: {', '.join(names)}")
    if found.changed_columns:
        counts = ", ".join(f"{c} ({n})" for c, n in found.changed_columns.items())
        console.print(f"changed in: {counts}")
    moved = [s for s in found.shifts if s.moved]
    print_records(console, [_shift(s) for s in moved])
    still = len(found.shifts) - len(moved)
    if still:
        console.print(f"{still} statistics did not move" if moved else "no statistic moved")


def _shift(moved: Shift) -> dict[str, str]:
    from dj_ops_lib.warehouse.diff import verdict

    before, after = moved.before, moved.after

    def both(value: Callable[[Distribution], str]) -> str:
        return f"{value(before) or '-'} -> {value(after) or '-'}"

    return {
        "statistic": moved.column,
        "rows": both(lambda d: str(d.rows)),
        "mean": both(lambda d: shown(d.mean)),
        "median": both(lambda d: _quantile(d, 0.5)),
        "5 % ... 95 %": both(lambda d: f"{_quantile(d, 0.05)} ... {_quantile(d, 0.95)}"),
        "PSI": shown(moved.psi),
        "shift": verdict(moved.psi),
    }


@app.command()
def histograms(
    table: TableArgument,
    shards: Annotated[
        list[str] | None, typer.Option("--shard", help="Only this one; may be given again.")
    ] = None,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how every statistic is distributed, over all shards or some, without reading a row."""
    found = open_warehouse(warehouse).histograms(table, shards)
    if as_json:
        counted = [h.to_record() for h in found.total]
        typer.echo(json.dumps({"statistics": counted, "unknown": found.unknown}))
        return
    console = Console()
    print_records(console, [_distribution(h) for h in found.total if h.values])
    for shard in found.unknown:
        console.print(f"shard {shard} was written without histograms and is in none of these")


def _distribution(histogram: Histogram) -> dict[str, str | int]:
    bars, edges = histogram.bars(16), histogram.edges.values
    tallest = max((1, *bars.counts))
    tops = (" " if not n else _TOPS[(len(_TOPS) * n - 1) // tallest] for n in bars.counts)
    last = edges[min(bars.end, histogram.edges.bins)]
    return {
        "statistic": histogram.column,
        "rows": histogram.values,
        "kept": sum(histogram.kept),
        "below": histogram.below,
        "from": shown(edges[bars.first]),
        "bins": "".join(tops),
        "to": f"{shown(last)} {histogram.unit or ''}".strip(),
        "above": histogram.above,
    }


def _quantile(distribution: Distribution, quantile: float) -> str:
    return shown(distribution.quantiles.get(quantile))


@app.command()
def maintain(
    tables: Annotated[list[str] | None, typer.Argument(help="Default: all tables.")] = None,
    *,
    compact_at: Annotated[
        int, typer.Option(help="Compact at this many fragments that are not full.")
    ] = 256,
    index_at: Annotated[
        int, typer.Option(help="Refresh indices at this many fragments outside of them.")
    ] = 128,
    keep_hours: Annotated[
        float, typer.Option(help="Age in hours at which untagged versions go.")
    ] = 168.0,
    orphan_hours: Annotated[
        float, typer.Option(help="Age in hours at which files of unfinished writes go.")
    ] = 48.0,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compact, verify, index and clean up, as far as the policy asks; safe beside writers."""
    from dj_ops_lib.warehouse.maintenance import Policy

    place = open_warehouse(warehouse)
    policy = Policy(
        compact_at=compact_at,
        index_at=index_at,
        keep_for=dt.timedelta(hours=keep_hours),
        orphans_after=dt.timedelta(hours=orphan_hours),
    )
    names = tables or place.tables_to_maintain(policy)
    if not names:
        raise WarehouseError(f"there are no tables in {place.uri}; is it the right --warehouse?")
    for name in names:
        done = place.maintain(name, policy)
        if as_json:
            typer.echo(to_json(done))
            continue
        typer.echo(
            f"{name}: {done.fragments_before} -> {done.fragments_after} fragments, "
            f"{done.rows_verified} rows verified, "
            f"indices {', '.join(done.indices) or 'as before'}, "
            f"{done.versions_removed} versions and {done.bytes_removed} bytes removed, "
            f"{done.orphans_removed} orphans removed"
            + (f", {done.folded} files of killed runs taken in" if done.folded else "")
            + (f"; left for next time: {', '.join(done.yielded)}" if done.yielded else "")
        )
