"""Rows of an older layout of a source's shards, which go when their entries are made anew.

A source whose manifest gives entries to other shards than before retires the
old ones. Their rows stay in every table until the shard that has the entry now
is made there, and leave it in the commit that makes it, so that at any moment a
table holds each entry once. Not here: which shards are retired
(`sources/manifest.py`), committing (`write.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from dj_ops_lib.errors import MALFORMED
from dj_ops_lib.warehouse.commit import fragment
from dj_ops_lib.warehouse.locate import holders, literal

if TYPE_CHECKING:
    import lance

    from dj_ops_lib.warehouse.store import Store

_ENTRY = ("clip_id", "shard", "annotation_file", "annotation_row", "error")
NONE = pl.DataFrame(schema={"shard": pl.String, "clip_id": pl.String})
"""No rows that leave: `shard` and `clip_id`."""


@dataclasses.dataclass(slots=True)
class Successor:
    """A shard of the manifest's layout that is being made while older ones may hold its entries.

    Attributes:
        retired: Names of the older shards.
        annotation_file: Where its own entries are.
        rows: Numbers of its entries in that file, the last one exclusive.
        clips: Ids of its rows, as far as they are known.
    """

    retired: tuple[str, ...]
    annotation_file: str
    rows: tuple[int, int]
    clips: set[str] = dataclasses.field(default_factory=set)

    def noting(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches of the shard's rows, whose ids are noted."""
        for batch in batches:
            self.clips.update(batch.column("clip_id").to_pylist())
            yield batch

    def leaving(self, dataset: lance.LanceDataset) -> pl.DataFrame:
        """Rows of the older shards that are about its entries, or have its ids.

        The number of a malformed entry may be that of another table of the file: these go by id.

        Returns:
            `shard` and `clip_id`.
        """
        held = {i for shard in self.retired for i in holders(dataset, shard)}
        if not held:
            return NONE
        found = pl.DataFrame(
            dataset.scanner(
                columns=list(_ENTRY),
                filter=f"shard IN ({_listed(self.retired)})",
                fragments=[fragment(dataset, i) for i in sorted(held)],
            ).to_table()
        )
        first, end = self.rows
        by_entry = (
            (pl.col("annotation_file") == self.annotation_file)
            & pl.col("annotation_row").is_between(first, end, closed="left")
            & pl.col("error").struct.field("class").ne_missing(MALFORMED)
        )
        by_id = pl.col("clip_id").is_in(list(self.clips))
        return found.filter(by_entry.fill_null(value=False) | by_id).select(NONE.columns)


def successor(store: Store, table: str, schema: pa.Schema, shard: str) -> Successor | None:
    """What a shard succeeds; None if no shard of its source is retired, or it is itself.

    Args:
        store: The warehouse.
        table: Name of the table that the shard is made in.
        schema: The table's columns.
        shard: Name of the shard.
    """
    if not set(_ENTRY) <= set(schema.names):
        return None
    manifest = store.find(f"{table.partition('/')[0]}/manifest")
    if manifest is None or "retired" not in manifest.schema.names:
        return None
    names = ["shard", "annotation_file", "first_row", "rows", "retired"]
    where = f"retired OR shard = {literal(shard)}"
    lines = manifest.scanner(columns=names, filter=where).to_table().to_pylist()
    retired = tuple(sorted(line["shard"] for line in lines if line["retired"]))
    for line in lines:
        if retired and line["shard"] == shard and not line["retired"]:
            rows = (line["first_row"], line["first_row"] + line["rows"])
            return Successor(retired, line["annotation_file"], rows)
    return None


def condition(leaving: pl.DataFrame) -> str:
    """The SQL condition of such rows."""
    return " OR ".join(
        f"(shard = {literal(str(shard))} AND clip_id IN ({_listed(rows['clip_id'])}))"
        for (shard,), rows in leaving.sort("shard").group_by("shard", maintain_order=True)
    )


def counts(leaving: pl.DataFrame) -> Mapping[str, int]:
    """How many rows leave each shard."""
    return dict(leaving.group_by("shard").len().sort("shard").iter_rows())


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(literal(text) for text in texts)
