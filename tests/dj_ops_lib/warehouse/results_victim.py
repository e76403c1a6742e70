"""A program that is killed while it measures, folds, prunes and takes down; it never stops itself.

Usage: python results_victim.py URI SEED. It begins when a line arrives on stdin. Two threads work
on the same shards, as two runs would; each says what it begins and has done, a line each:

    t begin flush SHARD 17,18      facts are about to be put into a file
    t done flush SHARD 17,18       they are in a file, or in the table
    t begin fold SHARD             ... and likewise
    t begin takedown 3
    t begin prune 1

A fact is a number; the clip that it is about is its remainder by CLIPS, its operator by OPERATORS.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
import threading

import pyarrow as pa

from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance, Warehouse
from dj_ops_lib.warehouse.results_inventory import Chosen
from dj_ops_lib.warehouse.tombstones import Tombstone

SOURCE = "demo"
SHARDS = 3
CLIPS = 400
OPERATORS = 7
PRUNED = 2
"""Operators whose results are pruned: the first of them."""


def clip_of(fact: int) -> str:
    return f"clip{fact % CLIPS}"


def operator_of(fact: int) -> str:
    return f"operator{fact % OPERATORS}"


def facts(numbers: list[int], shard: str) -> pa.Table:
    """Results with these numbers."""
    now = dt.datetime.now(dt.UTC)
    rows = [
        {
            **dict.fromkeys(RESULT_SCHEMA.names),
            "source": SOURCE,
            "shard": shard,
            "source_id": clip_of(n),
            "clip_id": clip_of(n),
            "operator": operator_of(n),
            "digest": bytes([n % OPERATORS]) * 16,
            "subject": n.to_bytes(16),
            "payload": str(n),
            "at": now,
        }
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, RESULT_SCHEMA)


class _Said:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, *words: object) -> None:
        with self._lock:
            print(*words, flush=True)


def measure(warehouse: Warehouse, chance: random.Random, first: int, say: _Said) -> None:
    """Run after run: each takes along what was left, flushes a few times, and folds."""
    number = first
    while True:
        shard = str(chance.randrange(SHARDS))
        results = warehouse.results(SOURCE, shard, "stage")
        results.left_over()
        for _ in range(chance.randrange(1, 4)):
            numbers = list(range(number, number + chance.randrange(1, 30)))
            number = numbers[-1] + 1
            told = (shard, ",".join(map(str, numbers)))
            say("measure begin flush", *told)
            results.add(facts(numbers, shard))
            say("measure done flush", *told)
        if chance.random() < 0.8:  # else it ends as a killed run does
            say("measure begin fold", shard)
            results.fold(RESULT_SCHEMA.empty_table(), Provenance(run_id="victim"))
            say("measure done fold", shard)


def remove(warehouse: Warehouse, chance: random.Random, say: _Said) -> None:
    """Takedowns and prunings, beside the runs."""
    while True:
        if chance.random() < 0.5:
            clip = chance.randrange(CLIPS)
            say("remove begin takedown", clip)
            warehouse.takedown([Tombstone("source_id", f"clip{clip}")], even_if_unknown=True)
            say("remove done takedown", clip)
        elif warehouse.exists(f"{SOURCE}/results"):
            operator = chance.randrange(PRUNED)
            say("remove begin prune", operator)
            warehouse.prune_results(Chosen(operator=f"operator{operator}"), remove=True)
            say("remove done prune", operator)


def main(uri: str, seed: int) -> None:
    from dj_ops_lib.warehouse import results, results_spool, takedown  # noqa: F401 (loaded before)

    warehouse, say = Warehouse(uri), _Said()
    print("ready", flush=True)
    sys.stdin.readline()
    works = (
        (measure, warehouse, random.Random(seed), seed * 1_000_000, say),
        (remove, warehouse, random.Random(-seed), say),
    )
    for function, *arguments in works:
        threading.Thread(target=function, args=arguments, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
