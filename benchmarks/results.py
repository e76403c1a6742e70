"""What keeping results costs: a stage's fold, looking a shard up, and looking through a source.

    python benchmarks/results.py [--rows 10000000]

Writes a table of results of that many rows in shards of 10,000, as compacted tables are, and
measures CPU seconds beside a baseline of the same run: reading the whole table's subjects and
keeping what is asked for in plain Polars, and one shard alone in a table of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance, Warehouse
from dj_ops_lib.warehouse.maintenance import Policy

SHARD_ROWS = 10_000
CLIPS, OPERATORS = 1_000, 8


def rows(count: int, first: int, chance: np.random.Generator, shard: str = "") -> pa.Table:
    """Results of synthetic clips, eight an operator, in shards of `SHARD_ROWS`."""
    number = np.arange(first, first + count)
    subject = chance.bytes(16 * count)
    digest = chance.bytes(16) * count
    shards = [shard or f"{n // SHARD_ROWS:06d}" for n in number]
    columns = {
        "source": pa.array(["bench"] * count),
        "shard": pa.array(shards),
        "source_id": pa.array([f"video{n // 8:08d}" for n in number]),
        "media_id": pa.array([f"sha256:{n // 8:064x}" for n in number]),
        "clip_id": pa.array([f"{n:032x}" for n in number]),
        "parent_id": pa.nulls(count, pa.string()),
        "operator": pa.array([f"operator_{n % OPERATORS}" for n in number]),
        "digest": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(digest)]
        ),
        "subject": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(subject)]
        ),
        "payload": pa.array(['{"motion_score": 1.2345678901234567, "frames": 250}'] * count),
        "result": pa.nulls(count, pa.string()),
        "error": pa.nulls(count, RESULT_SCHEMA.field("error").type),
        "at": pa.array([dt.datetime.now(dt.UTC)] * count, RESULT_SCHEMA.field("at").type),
    }
    return pa.table([columns[n] for n in RESULT_SCHEMA.names], schema=RESULT_SCHEMA)


def cpu(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of the fastest of several calls."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    total = parser.parse_args().rows
    chance = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(str(Path(folder) / "w"))
        one = rows(SHARD_ROWS, 0, chance)
        for table in ("bench/results", "alone/results"):
            warehouse.replace_shard(
                table, "000000", one.to_batches(), schema=RESULT_SCHEMA, provenance=Provenance()
            )
        step = 640_000
        for first in range(SHARD_ROWS, total, step):
            part = rows(min(step, total - first), first, chance)
            lance.write_dataset(
                part, warehouse.address("bench/results"), mode="append", max_rows_per_file=64_000
            )
        policy = Policy(index_at=1, target_rows=64_000)
        warehouse.maintain("bench/results", policy)
        report(warehouse, total, chance, one)


def report(warehouse: Warehouse, total: int, chance: np.random.Generator, one: pa.Table) -> None:
    """Measure and print."""
    names = [f"operator_{i}" for i in range(OPERATORS)]
    shard = f"{total // SHARD_ROWS // 2:06d}"
    here = warehouse.results("bench", shard, "cleaned")
    alone = warehouse.results("alone", "000000", "cleaned")
    here.stored(names)
    looked = cpu(lambda: here.stored(names))
    baseline = cpu(lambda: alone.stored(names))
    wanted = pa.array([chance.bytes(16) for _ in range(SHARD_ROWS)], pa.binary(16))
    through = cpu(lambda: here.elsewhere(wanted))

    def plain() -> pl.DataFrame:
        read = pl.DataFrame(warehouse.lance("bench/results").to_table(columns=["subject"]))
        return read.filter(pl.col("subject").is_in(pl.Series(wanted.to_pylist()).implode()))

    through_plain = cpu(plain, times=1)
    began = time.process_time()
    fresh = rows(CLIPS * OPERATORS, 0, chance, shard="fresh")
    made = time.process_time() - began
    store = warehouse.results("bench", "fresh", "cleaned")
    began = time.process_time()
    store.fold(fresh, Provenance(stage="results"))
    folded = time.process_time() - began
    shown = Table(title=f"{total:,} results, CPU", title_justify="left")
    for header in ("what", "measured", "against"):
        shown.add_column(header)
    shown.add_row(
        f"looking up a shard of {SHARD_ROWS:,}",
        f"{looked * 1000:.0f} ms",
        f"{looked / baseline:.2f} times a table that holds only it",
    )
    shown.add_row(
        f"looking for {SHARD_ROWS:,} subjects in all of them",
        f"{through * 1000:.0f} ms",
        f"{through / through_plain:.2f} times plain Polars",
    )
    shown.add_row(
        f"a stage of {CLIPS:,} clips and {OPERATORS} operators: the fold",
        f"{folded * 1000:.0f} ms",
        f"{folded / made:.2f} times making the rows",
    )
    Console().print(shown)


if __name__ == "__main__":
    main()
