"""Runs are killed while they keep results, beside takedowns and prunings; nothing is lost."""

from __future__ import annotations

import collections
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from results_victim import PRUNED, SHARDS, SOURCE, clip_of, operator_of

from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance, Warehouse
from dj_ops_lib.warehouse.tombstones import Tombstone

GONE_OPERATORS = {f"operator{n}" for n in range(PRUNED)}


def start(uri: str, seed: int) -> subprocess.Popen:
    program = Path(__file__).with_name("results_victim.py")
    return subprocess.Popen(
        [sys.executable, str(program), uri, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Model:
    """What was said to be kept, and what must be gone."""

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.kept: set[int] = set()
        self.gone: set[str] = set()
        self.interrupted: collections.Counter[str] = collections.Counter()

    def take(self, said: list[str]) -> set[str]:
        """Learn from what a victim said until it was killed; the clips it was taking down."""
        open_: dict[str, tuple[str, str]] = {}
        for line in said:
            thread, state, what, *rest = line.split()
            if state == "begin":
                open_[thread] = (what, rest[-1])
            else:
                del open_[thread]
            if what == "flush":
                numbers = {int(n) for n in rest[-1].split(",")}
                self.begun |= numbers
                if state == "done":
                    self.kept |= numbers
            elif what == "takedown" and state == "done":
                self.gone.add(f"clip{rest[-1]}")
        self.interrupted.update(what for what, _ in open_.values())
        return {f"clip{n}" for what, n in open_.values() if what == "takedown"}

    def check(self, warehouse: Warehouse) -> None:
        """Every fact that was said to be kept is found, and none about what was taken down."""
        table = stored(warehouse)
        assert len(table) == len(set(table)), "a fact is stored twice"
        found = set(table) | waiting(warehouse)
        revived = {n for n in found if clip_of(n) in self.gone}
        assert not revived
        wanted = {
            n
            for n in self.kept
            if clip_of(n) not in self.gone and operator_of(n) not in GONE_OPERATORS
        }
        assert not wanted - found
        assert found <= self.begun


def stored(warehouse: Warehouse) -> list[int]:
    """The facts in the table."""
    if not warehouse.exists(f"{SOURCE}/results"):
        return []
    batches = warehouse.scan(f"{SOURCE}/results", columns=["payload"])
    return [int(p) for b in batches for p in b.column("payload").to_pylist()]


def waiting(warehouse: Warehouse) -> set[int]:
    """The facts in files, as the next run of each shard finds them."""
    shards = (warehouse.results(SOURCE, str(s), "stage") for s in range(SHARDS))
    return {int(p) for s in shards for p in s.left_over().column("payload").to_pylist()}


def kill(victim: subprocess.Popen, chance: random.Random) -> list[str]:
    """Let it work for a while that chance decides, kill it; what it said, whole lines only."""
    assert victim.stdout.readline() == "ready\n", victim.stderr.read()
    victim.stdin.write("go\n")
    victim.stdin.flush()
    said = [victim.stdout.readline() for _ in range(chance.randrange(1, 24))]
    time.sleep(chance.uniform(0, 0.1))  # any moment of an operation
    assert victim.poll() is None, victim.stderr.read()
    victim.kill()
    with victim as process:
        said += process.stdout.read().splitlines(keepends=True)
        complaints = process.stderr.read()
    assert "Traceback" not in complaints, complaints
    return [line for line in said if line.endswith("\n")]


def crash(tmp_path: Path, kills: int) -> Model:
    warehouse, chance, model = Warehouse(str(tmp_path / "w")), random.Random(20261126), Model()
    following = start(warehouse.uri, 1)
    for number in range(kills):
        victim, following = following, start(warehouse.uri, number + 2)
        cut_short = model.take(kill(victim, chance))
        for clip in cut_short:  # whoever asked for it asks again
            warehouse.takedown([Tombstone("source_id", clip)], even_if_unknown=True)
        model.gone |= cut_short
        model.check(warehouse)
    following.kill()
    following.communicate()
    for shard in range(SHARDS):
        results = warehouse.results(SOURCE, str(shard), "stage")
        results.left_over()
        results.fold(RESULT_SCHEMA.empty_table(), Provenance(run_id="last"))
    model.check(warehouse)
    assert not waiting(warehouse)
    assert not list((tmp_path / "w" / "_results_spool").rglob("*.arrow"))
    told = f"{kills} kills, {len(model.kept)} facts, {len(model.gone)} clips taken down"
    print(f"{told}; interrupted: {dict(model.interrupted)}")
    return model


@pytest.mark.timeout(300)
def test_killed_runs_lose_no_result_and_none_of_a_clip_taken_down_comes_back(tmp_path):
    model = crash(tmp_path, kills=24)
    assert sum(model.interrupted.values()) > 12


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_hundreds_of_kills_during_flush_fold_takedown_and_pruning(tmp_path):
    model = crash(tmp_path, kills=500)
    assert set(model.interrupted) == {"flush", "fold", "takedown", "prune"}
