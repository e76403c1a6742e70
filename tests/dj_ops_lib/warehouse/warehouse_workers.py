"""What the processes of the concurrency tests do; started with spawn, since Lance forbids fork."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier

import pyarrow as pa
from warehouse_rows import WITH_SCORE, clip_batches, clip_row, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import ConflictError
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "demo/t2v/cleaned"
COUNTER = pa.schema([("shard", pa.string()), ("clip_id", pa.string()), ("n", pa.int64())])

_barrier: Barrier | None = None


def together(work: Callable[..., object], arguments: list[tuple]) -> list:
    """Run `work` in as many processes as there are arguments, all of which can meet."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments), timeout=120)
    with ProcessPoolExecutor(
        len(arguments), mp_context=context, initializer=_keep, initargs=(barrier,)
    ) as pool:
        return [f.result() for f in [pool.submit(work, *a) for a in arguments]]


def _keep(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 (one for each process)
    _barrier = barrier


def meet() -> None:
    assert _barrier is not None
    _barrier.wait()


def race_for_the_same_shards(warehouse: Warehouse, name: str, rounds: int) -> list[str]:
    """Per round, "won" or who won instead; nobody commits before all have begun."""
    results = []
    for number in range(rounds):
        shard = f"{number:04d}"

        def rows(shard: str = shard):
            meet()
            yield from clip_batches([clip_row(shard, i, name) for i in range(20)])

        meet()
        try:
            warehouse.replace_shard(
                TABLE,
                shard,
                rows(),
                schema=CLIP_SCHEMA,
                provenance=Provenance(run_id=name),
            )
            results.append("won")
        except ConflictError as e:
            results.append(str(e))
    return results


def write_own_shards(warehouse: Warehouse, name: str, shards: int, passes: int) -> None:
    """First writes and replacements of shards that nobody else writes; later passes widen."""
    meet()
    for number in range(passes):
        for shard in range(shards):
            own = f"{name}-{shard:03d}"
            rows = [clip_row(own, i, str(number)) for i in range((shard + number) % 7)]
            if number:
                rows = [{**r, "score": 0.5} for r in rows]
            put(
                warehouse,
                TABLE,
                own,
                0,
                rows=rows,
                schema=WITH_SCORE if number else CLIP_SCHEMA,
            )


def maintain_until_all_are_done(warehouse: Warehouse, rounds: int) -> list[tuple[str, ...]]:
    """Maintenance at its most eager, beside the writers; what it yielded."""
    meet()
    yielded = []
    policy = Policy(compact_at=2, index_at=1, keep_for=dt.timedelta(seconds=20))
    for _ in range(rounds):
        if warehouse.exists(TABLE):
            yielded.append(warehouse.maintain(TABLE, policy).yielded)
    return yielded


def count_up(warehouse: Warehouse, shard: str, steps: int) -> int:
    """Read a number, write it plus one, only if nothing changed; attempts that lost."""
    meet()
    lost = 0
    for _ in range(steps):
        while True:
            version = warehouse.version(TABLE)
            number = 0
            if version:
                for batch in warehouse.read_shard(TABLE, "count", version=version):
                    number = batch.to_pylist()[0]["n"]
            row = {"shard": "count", "clip_id": shard, "n": number + 1}
            try:
                warehouse.replace_shard(
                    TABLE,
                    "count",
                    pa.Table.from_pylist([row], schema=COUNTER).to_batches(),
                    schema=COUNTER,
                    provenance=Provenance(run_id=shard),
                    expected_version=version,
                )
                break
            except ConflictError:
                lost += 1
    return lost


def replace_at_random(warehouse: Warehouse, seed: int, writes: int) -> list[tuple[str, str, bool]]:
    """Replace few shards again and again; (shard, mark, whether it was committed)."""
    chance = random.Random(seed)
    done = []
    meet()
    for number in range(writes):
        shard, mark = f"{chance.randrange(3)}", f"{seed}:{number}"
        try:
            put(warehouse, TABLE, shard, 5, mark)
            done.append((shard, mark, True))
        except ConflictError:
            done.append((shard, mark, False))
    return done
