"""A program that is killed while it measures, folds, prunes and takes down; it never stops itself.

Usage: python results_victim.py URI SEED. It begins when a line arrives on stdin. Two runs measure
for the same shards, a third thread removes; each says what it begins and has done, a line each:

    t begin flush SHARD 17,18      facts are about to be put into a file
    t done flush SHARD 17,18       they are in a file, or in the table
    t begin fold SHARD             ... and likewise
    t begin takedown 3
    t begin prune 1

A fact is a number: four in a row are about one clip, and their operators take turns.
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
SHARDS = 2
OPERATORS = 7
PRUNED = 2
"""Operators whose results are pruned: the first of them."""


def clip_of(fact: int) -> str:
    return f"clip{fact // 4}"


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


class _Numbers:
    """Facts are numbered on from the first."""

    def __init__(self, first: int) -> None:
        self._lock = threading.Lock()
        self.next = first

    def take(self, count: int) -> list[int]:
        with self._lock:
            self.next += count
            return list(range(self.next - count, self.next))


def measure(
    name: str, warehouse: Warehouse, chance: random.Random, numbered: _Numbers, say: _Said
) -> None:
    """Run after run: each takes along what was left, flushes a few times, and folds."""
    while True:
        shard = str(chance.randrange(SHARDS))
        results = warehouse.results(SOURCE, shard, "stage")
        results.left_over()
        for _ in range(chance.randrange(1, 4)):
            numbers = numbered.take(chance.randrange(1, 30))
            told = (shard, ",".join(map(str, numbers)))
            say(f"{name} begin flush", *told)
            results.add(facts(numbers, shard))
            say(f"{name} done flush", *told)
        if chance.random() < 0.8:  # else it ends as a killed run does
            say(f"{name} begin fold", shard)
            results.fold(RESULT_SCHEMA.empty_table(), Provenance(run_id="victim"))
            say(f"{name} done fold", shard)


def remove(
    name: str, warehouse: Warehouse, chance: random.Random, numbered: _Numbers, say: _Said
) -> None:
    """Takedowns of what is measured just now, and prunings, beside the runs."""
    while True:
        if chance.random() < 0.5:
            clip = (numbered.next - chance.randrange(40)) // 4
            say(f"{name} begin takedown", clip)
            warehouse.takedown([Tombstone("source_id", f"clip{clip}")], even_if_unknown=True)
            say(f"{name} done takedown", clip)
        elif warehouse.exists(f"{SOURCE}/results"):
            operator = chance.randrange(PRUNED)
            say(f"{name} begin prune", operator)
            warehouse.prune_results(Chosen(operator=f"operator{operator}"), remove=True)
            say(f"{name} done prune", operator)


def main(uri: str, seed: int) -> None:
    from dj_ops_lib.warehouse import results, results_spool, takedown  # noqa: F401 (loaded before)

    warehouse, say = Warehouse(uri), _Said()
    print("ready", flush=True)
    sys.stdin.readline()
    numbered = _Numbers(seed * 1_000_000)
    for function, name in ((measure, "one"), (measure, "two"), (remove, "three")):
        arguments = (name, warehouse, random.Random(f"{name}{seed}"), numbered, say)
        threading.Thread(target=function, args=arguments, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
