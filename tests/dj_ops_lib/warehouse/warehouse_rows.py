"""Rows for the warehouse's tests, and what is expected of a table that holds them."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse

WITH_SCORE = CLIP_SCHEMA.append(pa.field("score", pa.float64()))


def clip_row(shard: str, number: int, mark: str = "a", **columns) -> dict:
    """A row whose values tell which write it belongs to."""
    return {
        "clip_id": f"{shard}/{number}",
        "source": "demo",
        "shard": shard,
        "source_id": f"video-{shard}-{number}",
        "media_id": f"sha256:{shard}-{number}",
        "annotation_file": "demo.json",
        "annotation_row": number + 1,
        "text": mark,
        "duration_s": float(number),
        "captions": [{"text": f"naïve 漢字 😀\n{mark}", "kind": "given"}],
        "tags": [mark, "x"],
        "edits": [],
        "keep": True,
        **columns,
    }


def clip_batches(rows: list[dict], schema: pa.Schema = CLIP_SCHEMA) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist(rows, schema=schema).to_batches()


def put(
    warehouse: Warehouse,
    table: str,
    shard: str,
    count: int,
    mark: str = "a",
    *,
    schema: pa.Schema = CLIP_SCHEMA,
    rows: list[dict] | None = None,
    provenance: Provenance | None = None,
    **options,
) -> int:
    """Write `count` rows marked `mark` as a shard."""
    rows = [clip_row(shard, i, mark) for i in range(count)] if rows is None else rows
    return warehouse.replace_shard(
        table,
        shard,
        clip_batches(rows, schema),
        schema=schema,
        provenance=provenance
        or Provenance(run_id=mark, stage=table, operators=(OperatorUse("ingest"),)),
        **options,
    )


def contents(warehouse: Warehouse, table: str, version=None) -> dict[str, Counter]:
    """(clip_id, text) of every row by shard, counted: a doubled row shows."""
    found: dict[str, Counter] = {}
    for batch in warehouse.scan(table, columns=["shard", "clip_id", "text"], version=version):
        for row in batch.to_pylist():
            found.setdefault(row["shard"], Counter())[row["clip_id"], row["text"]] += 1
    return found


def expected(shards: dict[str, tuple[int, str]]) -> dict[str, Counter]:
    """What `contents` gives for shards of so many rows with that mark; empty ones left out."""
    return {
        shard: Counter({(f"{shard}/{i}", mark): 1 for i in range(count)})
        for shard, (count, mark) in shards.items()
        if count
    }
