"""Commits a shard of a deduplicating stage, and what follows from it for other shards.

The shard comes first, then the clips of other shards that are kept again, then
those that repeat a better copy: a run that is killed in between leaves two
copies rather than none, and running the shard again does the rest. Every commit
rests on the table as it was read; whoever is overtaken by another writer reads
and decides again. Not here: the decision (`deduplication.py`).
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from dj_ops_lib.engine.deduplication import VERDICT, deduplicate, redecide
from dj_ops_lib.engine.published import published
from dj_ops_lib.engine.tables import to_batches
from dj_ops_lib.errors import ConflictError
from dj_ops_lib.operator import Deduplicator
from dj_ops_lib.report import Redecided
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.history import shard_commits

CONFLICT_RETRIES = 20
"""How often duplicates are decided again because another shard was written meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What was committed.

    Attributes:
        version: Version that holds the shard.
        rows: The shard's rows as they were written.
        redecided: What changed in other shards, sorted by shard.
    """

    version: int
    rows: pl.DataFrame
    redecided: tuple[Redecided, ...] = ()


def settle(
    warehouse: Warehouse,
    table: str,
    rows: pl.DataFrame,
    operator: Deduplicator,
    *,
    schema: pa.Schema,
    by: Provenance,
) -> Settled:
    """Write a shard without what repeats other clips, and drop elsewhere what repeats its own.

    When it returns, no two kept clips of which one is in this shard, or was decided again for
    it, repeat each other.

    Args:
        warehouse: Where the table is.
        table: The stage's table.
        rows: The shard's rows, measured.
        operator: Who compares.
        schema: Of the stage.
        by: Provenance of the commit.

    Raises:
        ConflictError: Other shards were committed again and again meanwhile.
    """
    others = _Others(warehouse, table, operator, by)
    for pause in _pauses():
        time.sleep(pause)
        seen = warehouse.version(table)
        known = published(warehouse, table, operator, seen)
        if seen:  # what this commit takes out of the table is no rival
            leaving = warehouse.leaving(table, by.shard, seen)
            known = known.join(leaving, on=["shard", "clip_id"], how="anti")
        result, changes = deduplicate(rows, by.shard, operator, known)
        try:
            version = warehouse.replace_shard(
                table,
                by.shard,
                to_batches(result, schema),
                schema=schema,
                provenance=_counted(by, operator, result),
                expected_version=seen,
            )
            others.change(changes, version)
        except ConflictError:
            continue
        return Settled(version, result, others.redecided())
    raise ConflictError(
        f"table '{table}': other shards were committed {CONFLICT_RETRIES} times while duplicates "
        f"of shard '{by.shard}' were looked for; run fewer shards of it at a time"
    )


class _Others:
    """The other shards of a table, and what was changed in them."""

    def __init__(
        self, warehouse: Warehouse, table: str, operator: Deduplicator, by: Provenance
    ) -> None:
        self._warehouse = warehouse
        self._table = table
        self._operator = operator
        self._by = by
        self._done: dict[str, Redecided] = {}

    def redecided(self) -> tuple[Redecided, ...]:
        """What was changed, sorted by shard."""
        return tuple(self._done[s] for s in sorted(self._done))

    def change(self, changes: pl.DataFrame, seen: int) -> None:
        """Commit changes, shard by shard: clips that are kept again before those that are not.

        Args:
            changes: `shard`, `clip_id`, `duplicate_of` and `duplicate_distance`.
            seen: The version that they rest on.

        Raises:
            ConflictError: Another writer was first; what was committed until then stands.
        """
        if changes.is_empty():
            return
        made_by = shard_commits(self._warehouse.history(self._table))
        for again in (True, False):
            part = changes.filter(pl.col("duplicate_of").is_null() == again)
            for (shard,), own in part.sort("shard").group_by("shard", maintain_order=True):
                commit = made_by.get(str(shard))
                made = commit.provenance if commit is not None else None
                seen = self._change(str(shard), own, made or self._by, seen)

    def _change(self, shard: str, changes: pl.DataFrame, made: Provenance, seen: int) -> int:
        batches = list(self._warehouse.read_shard(self._table, shard, version=seen))
        schema = self._warehouse.schema(self._table, seen)
        rows = pa.Table.from_batches(batches, schema)
        before = pl.DataFrame(rows.select(["clip_id", "keep", "rejected_by", *VERDICT]))
        after = redecide(before, changes, self._operator)
        for name in after.columns[1:]:
            position = schema.get_field_index(name)
            column = after[name].to_arrow().cast(schema.field(position).type)
            rows = rows.set_column(position, schema.field(position), column)
        made = _counted(made, self._operator, after)
        uses = (
            dataclasses.replace(use, measured=0, seconds=0.0, pass_seconds=0.0)
            for use in made.operators
        )
        provenance = dataclasses.replace(
            made,
            run_id=self._by.run_id,
            code_version=self._by.code_version,
            operators=tuple(uses),
            reason=f"shard '{self._by.shard}' changed which copies are kept",
        )
        version = self._warehouse.replace_shard(
            self._table,
            shard,
            rows.to_batches(),
            schema=schema,
            provenance=provenance,
            expected_version=seen,
        )
        earlier = self._done.get(shard, Redecided(shard, version))
        self._done[shard] = Redecided(
            shard,
            version,
            dropped=earlier.dropped + int((before["keep"] & ~after["keep"]).sum()),
            restored=earlier.restored + int((~before["keep"] & after["keep"]).sum()),
            kept=int(after["keep"].sum()),
        )
        return version


def _counted(by: Provenance, operator: Deduplicator, rows: pl.DataFrame) -> Provenance:
    """The provenance with the number of copies among the rows."""
    copies = int((rows["rejected_by"] == operator.name).sum())
    uses = (
        dataclasses.replace(use, rejected=copies) if use.operator == operator.name else use
        for use in by.operators
    )
    return dataclasses.replace(by, operators=tuple(uses))


def _pauses() -> Iterator[float]:
    """Seconds to wait before each try: none, then longer and random, so that writers spread."""
    yield 0.0
    for attempt in range(CONFLICT_RETRIES - 1):
        yield random.uniform(0, min(5.0, 0.1 * 2**attempt))  # noqa: S311  not for secrets
