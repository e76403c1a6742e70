"""What the warehouse costs: ratios against plain Lance and against small tables, in one run.

Usage: python benchmarks/warehouse.py [--shards 10,1000,5000] [--writers 8] [--folder DIR]
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lance
import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, digest
from dj_ops_lib.warehouse import Provenance, Warehouse, commit, write
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "bench/t2v/cleaned"
ROWS = 1000
WORDS = ["a", "red", "blue", "ball", "rolls", "over", "grass"]
POLICY = Policy(keep_for=dt.timedelta(seconds=30), orphans_after=dt.timedelta(hours=1))
"""The default, except that old versions go after seconds, as a run of minutes has no weeks."""


def rows_of(shard: str, mark: str = "") -> pa.Table:
    """A shard of `ROWS` clips with the columns that a real one fills."""
    chance = random.Random(f"{shard}{mark}")
    return pa.Table.from_pylist(
        [
            {
                "clip_id": digest(shard, i),
                "source": "bench",
                "shard": shard,
                "source_id": f"{shard}-{i}",
                "annotation_file": "bench.jsonl",
                "annotation_row": i,
                "video_uri": f"/videos/{shard}/{i}.mp4",
                "media_id": f"sha256:{digest(i, shard)}{digest(shard, i)}",
                "start_s": chance.random(),
                "duration_s": chance.random() * 60,
                "width": 1280,
                "height": 720,
                "fps": 25.0,
                "text": " ".join(chance.choices(WORDS, k=12)),
                "captions": [{"text": f"caption {chance.random()}", "kind": "given"}],
                "keep": True,
            }
            for i in range(ROWS)
        ],
        schema=CLIP_SCHEMA,
    )


def put(warehouse: Warehouse, shard: str, rows: pa.Table) -> None:
    """Replace a shard."""
    provenance = Provenance(run_id="bench", stage="cleaned", rows_in=ROWS)
    warehouse.replace_shard(
        TABLE, shard, rows.to_batches(), schema=CLIP_SCHEMA, provenance=provenance
    )


def timed(action: Callable[[], object], repeats: int = 1) -> float:
    """Median seconds of an action."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def filled(folder: Path, shards: int) -> Warehouse:
    """A table of so many shards, each written by its own commit, maintained by policy."""
    warehouse = Warehouse(str(folder / f"{shards}"))
    rows = rows_of("template")
    column = CLIP_SCHEMA.get_field_index("shard")
    identity = CLIP_SCHEMA.get_field_index("clip_id")
    for number in range(shards):
        shard = f"{number:05d}"
        ids = pa.array([f"{shard}{i:027d}" for i in range(ROWS)])
        own = rows.set_column(column, CLIP_SCHEMA.field(column), pa.array([shard] * ROWS))
        put(warehouse, shard, own.set_column(identity, CLIP_SCHEMA.field(identity), ids))
        if number % 128 == 127:
            warehouse.maintain(TABLE, POLICY)
    warehouse.maintain(TABLE, POLICY)
    return warehouse


def replacing(sizes: list[int], folder: Path, repeats: int = 60) -> dict[int, Warehouse]:
    """Replace a 1,000-row shard in tables of several sizes, in turns."""
    tables = {}
    for shards in sizes:
        begun = time.perf_counter()
        tables[shards] = filled(folder, shards)
        per_shard = (time.perf_counter() - begun) / shards
        print(f"filling {shards} shards: {per_shard * 1e3:.0f} ms a shard, maintenance included")
    chance = random.Random(0)
    seconds: dict[int, list[float]] = {shards: [] for shards in sizes}
    for number in range(repeats):
        for shards, warehouse in tables.items():
            shard = f"{chance.randrange(shards):05d}"
            rows = rows_of(shard, str(number))
            seconds[shards].append(timed(functools.partial(put, warehouse, shard, rows)))
            if number % 20 == 19:
                warehouse.maintain(TABLE, POLICY)
    print(f"replacing a {ROWS}-row shard (median of {repeats}, maintenance by policy in between)")
    baseline = statistics.median(seconds[sizes[0]])
    for shards, warehouse in tables.items():
        median = statistics.median(seconds[shards])
        manifests = Path(warehouse.address(TABLE)) / "_versions"
        size = sum(p.stat().st_size for p in manifests.iterdir()) / 1e6
        print(
            f"  {shards:5d} shards: {median * 1e3:6.1f} ms = {median / baseline:.2f} x the "
            f"smallest; {len(warehouse.lance(TABLE).fragment_ids())} fragments; "
            f"manifests {size:.1f} MB after {warehouse.version(TABLE)} versions"
        )
    return tables


def reading(tables: dict[int, Warehouse], folder: Path) -> None:
    """Read one shard of a big table, against a table that holds nothing else."""
    alone = Warehouse(str(folder / "alone"))
    for shards, warehouse in tables.items():
        shard = f"{shards // 2:05d}"
        rows = pa.Table.from_batches(list(warehouse.read_shard(TABLE, shard)))
        put(alone, shard, rows)
        own = timed(lambda w=warehouse, s=shard: list(w.read_shard(TABLE, s)), 20)
        dataset = alone.address(TABLE)
        base = timed(lambda d=dataset: list(lance.dataset(d).to_batches()), 20)
        print(
            f"reading one shard of {shards}: {own * 1e3:.1f} ms = {own / base:.2f} x reading a "
            f"table that holds only that shard ({base * 1e3:.1f} ms)"
        )
        put(alone, shard, rows.slice(0, 0))


def writing(folder: Path) -> None:
    """Write a shard of metadata rows, against `lance.write_dataset` of the same rows."""
    for count in (1, 10, 100):
        rows = pa.concat_tables([rows_of("s", str(i)) for i in range(count)])
        for place in ("a new table", "a table that is there"):
            name = "{}" if place == "a new table" else "there"
            base, own = [], []
            for number in range(6 if count == 100 else 30):
                where = str(folder / f"plain-{count}" / f"{name.format(number)}.lance")
                mode = "append" if Path(where).exists() else "create"
                plain = functools.partial(lance.write_dataset, rows, where, mode=mode)
                ours = Warehouse(str(folder / f"ours-{count}" / name.format(number)))
                base.append(timed(plain))
                own.append(timed(functools.partial(put, ours, "s", rows)))
            ratio = statistics.median(base) / statistics.median(own)
            print(
                f"writing a shard of {rows.num_rows} rows into {place}: "
                f"{rows.num_rows / statistics.median(own):,.0f} rows/s = {ratio:.2f} of "
                "lance.write_dataset"
            )


def _write_some(uri: str, shards: list[str]) -> int:
    warehouse = Warehouse(uri)
    lost = 0
    publish = commit.publish

    def counting(*arguments: object) -> object:
        nonlocal lost
        done = publish(*arguments)
        lost += done is None
        return done

    write.publish = counting
    for shard in shards:
        put(warehouse, shard, rows_of(shard, "again"))
    return lost


def together(writers: int, folder: Path, shards: int = 400) -> None:
    """Several processes replace the shards of one table."""
    names = [f"{i:05d}" for i in range(shards)]
    warehouse = filled(folder, shards)
    with multiprocessing.get_context("spawn").Pool(writers) as pool:
        pool.map(abs, range(writers * 8))  # the processes have started
        begun = time.perf_counter()
        lost = pool.starmap(
            _write_some, [(warehouse.uri, names[i::writers]) for i in range(writers)], 1
        )
        seconds = time.perf_counter() - begun
    counts = warehouse.shards(TABLE)
    rows = warehouse.lance(TABLE).count_rows()
    distinct = warehouse.duckdb(TABLE).aggregate("count(DISTINCT clip_id)").fetchall()[0][0]
    print(
        f"{writers} processes replace {shards} shards: {shards / seconds:.1f} commits/s, "
        f"{sum(lost)} attempts lost and repeated, "
        f"{sum(c != ROWS for c in counts.values()) + shards - len(counts)} shards lost, "
        f"{rows - distinct} rows doubled, {shards * ROWS - distinct} rows lost"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", default="10,1000,5000")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    sizes = [int(n) for n in arguments.shards.split(",")]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        writing(Path(folder))
        tables = replacing(sizes, Path(folder))
        reading(tables, Path(folder))
        together(arguments.writers, Path(folder))


if __name__ == "__main__":
    main()
