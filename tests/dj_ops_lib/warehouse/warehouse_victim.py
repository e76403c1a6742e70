"""A writer that is killed: says what it begins and what it has done, and never stops by itself.

Usage: python warehouse_victim.py URI SEED. It begins when a line arrives on stdin.
"""

from __future__ import annotations

import datetime as dt
import random
import sys

from warehouse_rows import WITH_SCORE, clip_row, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "demo/t2v/cleaned"
SHARDS = 6
EAGER = Policy(compact_at=3, index_at=1, keep_for=dt.timedelta(seconds=2))


def main(uri: str, seed: int) -> None:
    from dj_ops_lib.warehouse import explain, maintenance, write  # noqa: F401 (loaded beforehand)

    warehouse = Warehouse(uri)
    chance = random.Random(seed)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1_000_000):
        if chance.random() < 0.15 and warehouse.exists(TABLE):
            warehouse.maintain(TABLE, EAGER)
            continue
        shard, count = str(chance.randrange(SHARDS)), chance.choice([0, 1, 7, 300])
        mark = f"{seed}.{number}"
        print("begin", shard, count, mark, flush=True)
        schema = WITH_SCORE if seed % 3 == 2 else CLIP_SCHEMA
        rows = [clip_row(shard, i, mark) for i in range(count)]
        put(
            warehouse, TABLE, shard, 0, rows=rows, schema=schema, provenance=Provenance(run_id=mark)
        )
        print("done", shard, count, mark, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
