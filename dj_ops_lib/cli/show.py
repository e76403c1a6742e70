"""`dj table show` prints rows of a table: which ones and which columns, as asked."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from dj_ops_lib.cli.records import print_records
from dj_ops_lib.cli.table import JsonOption, TableArgument, WarehouseOption, open_warehouse
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.registry import nearest

USUAL = ("clip_id", "source_id", "duration_s", "keep", "rejected_by", "error")
"""Columns that are shown where none are named, as far as the table has them."""

ID_DIGITS = 12
"""Digits of a clip_id that are shown where no columns are named; `dj table explain` takes them."""

LONGEST = 240
"""Characters of a list or mapping that people are shown: a dataset may give twenty captions."""

_PLACE_IN_LANCE = re.compile(r"\.?, \S+\.rs:\d+:\d+$")


def show(
    table: TableArgument,
    where: Annotated[
        str | None, typer.Option(help='SQL condition, such as "keep AND duration_s > 2".')
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: what became of it.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1)] = 20,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print rows of a table; --json gives an object a row, all columns unless some are named."""
    place = open_warehouse(warehouse)
    names = list(place.schema(table).names)
    asked = [name.strip() for name in columns.split(",")] if columns else None
    for name in asked or ():
        if name not in names:
            raise WarehouseError(f"table '{table}' has no column '{name}'{nearest(name, names)}")
    usual = [n for n in USUAL if n in names] or names
    read = asked or (None if as_json else usual)
    try:
        matching = place.lance(table).count_rows(filter=where)
        batches = place.scan(table, columns=read, where=where)
        found = (row for batch in batches for row in batch.to_pylist())
        rows = list(itertools.islice(found, limit))
    except (OSError, ValueError) as error:
        said = _PLACE_IN_LANCE.sub("", str(error).splitlines()[0])
        raise WarehouseError(f"--where {where}: {said}") from None
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False, default=_plain))
        return
    console = Console()
    records = [_shown(row, whole=asked is not None) for row in rows]
    told = asked or [name for name in usual if any(r[name] is not None for r in records)]
    print_records(console, [{name: record[name] for name in told} for record in records])
    console.print(Text(f"{len(rows)} of {matching} rows" + (f" where {where}" if where else "")))


def _shown(row: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """A row for people: an error by its class, structures as JSON, ids short unless asked for."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name == "error" and value is not None and not whole:
            found[name] = f"{value['operator']}: {value['class']}"
        elif name == "clip_id" and not whole:
            found[name] = value[:ID_DIGITS]
        elif isinstance(value, list | dict | bytes):
            text = json.dumps(value, ensure_ascii=False, default=_plain)
            rest = f" ... ({len(text)} characters; --json prints them)"
            found[name] = text if len(text) <= LONGEST else text[:LONGEST] + rest
        else:
            found[name] = value
    return found


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
