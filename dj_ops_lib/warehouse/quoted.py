"""Ids inside of entries that nobody could read: what a takedown finds where no column names them.

The error row of a malformed annotation entry holds it as written, in `extra`
(`raw`, or `raw_base64` where it is no text), and has no `source_id` where the
reader could not tell one.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("source_id", "extra")

CONDITION = "source_id IS NULL AND extra IS NOT NULL"
"""The rows to look into, as an SQL condition."""


def quoting(batch: pa.RecordBatch | pa.Table, values: Sequence[str]) -> pa.Array:
    """Which rows without a `source_id` hold one of these ids in their `extra`, as a mask.

    An id counts where it stands by itself: `abc` is not in `abcd`, nor in `x-abc`.
    """
    candidates = pc.and_(pc.is_null(batch.column("source_id")), pc.is_valid(batch.column("extra")))
    if not pc.any(candidates).as_py():
        return candidates
    pattern = _pattern(tuple(values))
    texts = pc.if_else(candidates, batch.column("extra"), None).to_pylist()
    found = [text is not None and pattern.search(_written(text)) is not None for text in texts]
    return pa.array(found, pa.bool_())


def _written(extra: str) -> str:
    """The entry as it stood in its file, as far as the row holds it."""
    try:
        held = json.loads(extra)
    except ValueError:
        return extra
    if not isinstance(held, dict):
        return extra
    raw, encoded = held.get("raw"), held.get("raw_base64")
    if isinstance(raw, str):
        return raw
    if isinstance(encoded, str):
        return base64.b64decode(encoded).decode("utf-8", "replace")
    return extra


@functools.lru_cache(maxsize=8)
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    spellings: set[str] = set()
    for value in values:
        as_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
        spellings |= {value, *as_json, value.replace('"', '""')}
    ways = "|".join(re.escape(s) for s in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{ways})(?![\w-])")
