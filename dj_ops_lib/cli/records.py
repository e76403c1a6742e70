"""Records for a terminal of any width: a table where it fits, else a block a record.

Names and ids are what a reader copies, so nothing is ever cut: what does not fit
beside the others goes below them. Not here: which records are shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]

_WIDEST = 10_000
"""Width at which nothing is folded: how wide a table would like to be."""


def number(value: float) -> str:
    """Four digits of a number, all digits of a whole one."""
    return f"{value:.4g}" if not math.isfinite(value) or value != round(value) else f"{value:.12g}"


def shown(value: Any) -> str:
    """A value of a row as a reader wants it: numbers short, what is missing empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    return str(value)


def print_records(console: Console, records: Sequence[Record], *, heading: str = "") -> None:
    """Print records with the same keys.

    Args:
        console: Where to.
        records: Values by name; a value that is no text is shown as `shown` says.
        heading: Key whose value begins a block where the records do not fit as a table; the first
            key if empty.
    """
    if not records:
        return
    table = _table(records)
    unbounded = console.options.update(width=_WIDEST)
    if console.measure(table, options=unbounded).maximum <= console.width:
        console.print(table)
        return
    first = heading or next(iter(records[0]))
    for record in records:
        named = record[first] if isinstance(record[first], str) else f"{first} {record[first]}"
        console.print(Text(named, style="bold"), soft_wrap=True)
        rest = {k: shown(v) for k, v in record.items() if k != first}
        console.print(fields({k: v for k, v in rest.items() if v}))


def fields(values: Mapping[str, str]) -> RenderableType:
    """Values by name, one below the other: the name whole, the value folded beside it."""
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, value in values.items():
        block.add_row(Text(f"  {name}"), Text(value))
    return block


def _table(records: Sequence[Record]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in records[0]:
        numeric = all(isinstance(r[name], int | float | None) for r in records)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=True)
    for record in records:
        table.add_row(*(Text(shown(v)) for v in record.values()))
    return table
