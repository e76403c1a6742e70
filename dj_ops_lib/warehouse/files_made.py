"""Files that stages make of clips, recorded when they are made: the table `<source>/files`.

A record is written before its file, wherever that lies, and outlives the row
that names it: a takedown then finds the files of recipes that have changed
since, and `dj prune` knows which files are this warehouse's. Not here: finding
and removing the files themselves (`rendered_files.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa

from dj_ops_lib.warehouse.growing import unite
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.store import Store

FILES = "files"
"""Name of the table of a source."""


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


FILE_SCHEMA = pa.schema(
    [
        _column("source", pa.string(), "dataset the clip comes from", nullable=False),
        _column("shard", pa.string(), "shard it was made for", nullable=False),
        _column("source_id", pa.string(), "the dataset's own id of the video"),
        _column("media_id", pa.string(), "content identity of the video"),
        _column("clip_id", pa.string(), "the clip that the file shows"),
        _column("parent_id", pa.string(), "the clip that it was cut from"),
        _column("signature", pa.string(), "of what is in the file"),
        _column("uri", pa.string(), "absolute path or s3:// URI of the file", nullable=False),
        _column("made_for", pa.string(), "table whose rows name it; null: somebody's own folder"),
    ]
)
_OF_CLIP = ["source", "shard", "source_id", "media_id", "clip_id", "parent_id", "signature"]


def files_table(source: str) -> str:
    """Name of the table that records the files of a source's clips."""
    return f"{source}/{FILES}"


def record(
    store: Store,
    clips: pa.Table,
    uris: Sequence[str],
    *,
    made_for: str | None,
    provenance: Provenance,
) -> None:
    """Record files of clips that are about to be made.

    Args:
        store: The warehouse.
        clips: The clips, of any sources and shards; columns as in `clip.CLIP_SCHEMA`.
        uris: Where each clip's file will be.
        made_for: Table whose rows will name them, None where no table will.
        provenance: What the commits say about themselves.
    """
    frame = pl.DataFrame(clips.select(_OF_CLIP)).with_columns(
        pl.Series("uri", list(uris), dtype=pl.String),
        pl.lit(made_for, pl.String).alias("made_for"),
    )
    for (source, shard), rows in frame.group_by("source", "shard", maintain_order=True):
        new = rows.to_arrow().cast(FILE_SCHEMA)
        unite(
            store,
            files_table(str(source)),
            str(shard),
            schema=FILE_SCHEMA,
            united=lambda old, new=new: _united(old, new),  # type: ignore[misc]
            provenance=provenance,
        )


def _united(old: pa.Table, new: pa.Table) -> pa.Table | None:
    """Old and new records, one for each clip and file; the newer says for which table it is."""
    key = ["clip_id", "uri"]
    before, after = pl.DataFrame(old), pl.DataFrame(new).unique(key, keep="last")
    known = before.join(after, on=[*key, "made_for"], how="semi", nulls_equal=True)
    if len(known) == len(after):
        return None
    rest = before.join(after, on=key, how="anti")
    return pl.concat([rest, after]).sort("clip_id", "uri").to_arrow().cast(FILE_SCHEMA)


def recorded(store: Store) -> Mapping[str, str | None]:
    """The tables for which the warehouse's files were made, by the files' URIs."""
    found: dict[str, str | None] = {}
    for table in store.tables():
        if table.rpartition("/")[2] != FILES:
            continue
        dataset = store.open(table)
        if not {"uri", "made_for"} <= set(dataset.schema.names):
            continue
        for batch in dataset.scanner(columns=["uri", "made_for"]).to_batches():
            pairs = zip(batch["uri"].to_pylist(), batch["made_for"].to_pylist(), strict=True)
            for uri, made_for in pairs:
                found[uri] = found.get(uri) or made_for
    return found
