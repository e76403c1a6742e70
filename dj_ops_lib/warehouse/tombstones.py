"""What must never come back: the ids that were taken down, and the filter over new rows.

The list is one Lance table, `_warehouse/tombstones.lance`, only ever appended
to. Every writer reads it after it has read the version that it builds upon, and
every takedown commits to every table after it has appended; with the commit
protocol of `commit.py` one of the two always sees the other.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.quoted import COLUMNS, quoting
from dj_ops_lib.warehouse.store import INTERNAL, Store

TABLE = f"{INTERNAL}/tombstones"

_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("value", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class Tombstone:
    """One thing that was taken down.

    Attributes:
        kind: `source_id`, `media` (content identity) or `clip`.
        value: The id, as in the column `source_id`, `media_id` or `clip_id`.
        source: The dataset that a `source_id` belongs to, None for every dataset.
    """

    kind: str
    value: str
    source: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tombstones:
    """All tombstones as of one version of their table; version 0 is none at all."""

    version: int = 0
    stones: frozenset[Tombstone] = frozenset()

    def matches(self, batch: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray | None:
        """Which rows must not be written, as a boolean mask; None if no row."""
        names = batch.schema.names
        mask = None
        for (kind, source), values in _by_kind(self).items():
            for column in _COLUMNS[kind]:
                if column not in names or (source is not None and "source" not in names):
                    continue
                hits = _among(batch.column(column), values)
                if source is not None:
                    hits = pc.and_(hits, _among(batch.column("source"), (source,)))
                mask = hits if mask is None else pc.or_(mask, hits)
        quoted = self.quoting(batch)
        if quoted is not None:
            mask = quoted if mask is None else pc.or_(pc.fill_null(mask, False), quoted)
        return mask if mask is not None and pc.any(mask).as_py() else None

    def quoting(self, batch: pa.RecordBatch | pa.Table) -> pa.Array | None:
        """Which rows quote one of the source ids in an entry that could not be read, as a mask."""
        if not {*COLUMNS, "source"} <= set(batch.schema.names):
            return None
        mask = None
        for (kind, source), values in _by_kind(self).items():
            if kind != "source_id":
                continue
            hits = quoting(batch, values)
            if source is not None:
                hits = pc.and_(hits, _among(batch.column("source"), (source,)))
            mask = hits if mask is None else pc.or_(mask, hits)
        return mask

    def keep(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without the rows that were taken down."""
        mask = self.matches(batch)
        return batch if mask is None else batch.filter(pc.invert(mask))


_COLUMNS = {
    "source_id": ("source_id",),
    "media": ("media_id",),
    "clip": ("clip_id", "parent_id"),
}


@functools.lru_cache(maxsize=8)
def _by_kind(stones: Tombstones) -> dict[tuple[str, str | None], tuple[str, ...]]:
    found: dict[tuple[str, str | None], list[str]] = {}
    for stone in stones.stones:
        source = stone.source if stone.kind == "source_id" else None
        found.setdefault((stone.kind, source), []).append(stone.value)
    return {key: tuple(sorted(values)) for key, values in found.items()}


def _among(column: pa.Array | pa.ChunkedArray, values: Sequence[str]) -> pa.Array:
    return pc.is_in(column, value_set=pa.array(values, type=column.type))


def condition(stones: Tombstones, names: Sequence[str]) -> str | None:
    """The rows that match, as an SQL condition over a table's columns; None if none can."""
    parts = []
    for (kind, source), values in sorted(_by_kind(stones).items(), key=repr):
        for column in _COLUMNS[kind]:
            if column not in names or (source is not None and "source" not in names):
                continue
            own = "" if source is None else f"source = {literal(source)} AND "
            parts.append(f"({own}{column} IN ({', '.join(map(literal, values))}))")
    return " OR ".join(parts) or None


def load(store: Store, known: Tombstones | None = None) -> Tombstones:
    """All tombstones; `known` itself where nothing was added since."""
    dataset = store.find(TABLE)
    if dataset is None:
        return Tombstones()
    if known is not None and known.version == dataset.version:
        return known
    rows = dataset.to_table(columns=["kind", "value", "source"]).to_pylist()
    return Tombstones(dataset.version, frozenset(Tombstone(**row) for row in rows))


def append(store: Store, stones: Iterable[Tombstone], reason: str) -> Tombstones:
    """Record tombstones that are not there yet, before anything is removed; all there are now."""
    known = load(store)
    now = dt.datetime.now(dt.UTC)
    rows = [
        {**dataclasses.asdict(s), "reason": reason, "at": now}
        for s in sorted(set(stones) - known.stones, key=lambda s: (s.kind, s.value))
    ]
    if rows:
        store.append(TABLE, pa.Table.from_pylist(rows, schema=_SCHEMA))
    return load(store)
