"""Writers and maintenance killed at random moments leave the old shard or the new one."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warehouse_rows import contents, expected
from warehouse_victim import TABLE

from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.maintenance import Policy

CLEAN = Policy(keep_for=dt.timedelta(0), orphans_after=dt.timedelta(0))


def start(uri: str, seed: int) -> subprocess.Popen:
    program = Path(__file__).with_name("warehouse_victim.py")
    return subprocess.Popen(
        [sys.executable, str(program), uri, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(victim: subprocess.Popen, seconds: float) -> tuple[dict, tuple | None]:
    """(shard -> (count, mark) of every finished write, the write that was under way)."""
    victim.stdin.write("go\n")
    victim.stdin.flush()
    time.sleep(seconds)
    assert victim.poll() is None, victim.stderr.read()
    victim.kill()
    said, complaints = victim.communicate()
    assert "Traceback" not in complaints, complaints
    finished, begun = {}, None
    for line in said.splitlines(keepends=True):
        word, *rest = line.split()
        if word in {"begin", "done"} and line.endswith("\n"):
            shard, count, mark = rest
            begun = (shard, (int(count), mark)) if word == "begin" else None
            if word == "done":
                finished[shard] = (int(count), mark)
    return finished, begun


def crash(tmp_path: Path, kills: int, longest: float) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    chance = random.Random(20261122)
    model: dict[str, tuple[int, str]] = {}
    caught = committed = 0
    following = start(warehouse.uri, 0)
    for number in range(kills):
        victim, following = following, start(warehouse.uri, number + 1)
        assert victim.stdout.readline() == "ready\n", victim.stderr.read()
        finished, begun = kill_after(victim, chance.uniform(0, longest))
        model |= finished
        if not warehouse.exists(TABLE):
            assert not model
            continue
        found, shards = contents(warehouse, TABLE), warehouse.shards(TABLE)
        if begun is not None:
            caught += 1
            shard, (count, mark) = begun
            there = {c.provenance.run_id for c in warehouse.history(TABLE) if c.shard == shard}
            if mark in there:
                committed += 1
                model[shard] = (count, mark)
        assert found == expected(model), f"after kill {number}"
        assert shards == {s: count for s, (count, _) in sorted(model.items())}
    following.kill()
    following.communicate()
    print(f"{kills} kills, {caught} during a write, of which {committed} after its commit")
    assert caught > kills / 4
    warehouse.maintain(TABLE, CLEAN)
    assert contents(warehouse, TABLE) == expected(model)
    dataset = warehouse.lance(TABLE)
    referred = {r["path"] for r in dataset.tracked_files().read_all().to_pylist()}
    stored = {r["path"] for r in dataset.all_files().read_all().to_pylist()}
    assert {p for p in stored - referred if p.startswith("data/")} == set()


def test_a_killed_writer_leaves_the_old_shard_or_the_new_one(tmp_path):
    crash(tmp_path, kills=12, longest=0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundreds_of_kills_at_random_moments_never_lose_or_double_a_row(tmp_path):
    crash(tmp_path, kills=220, longest=0.3)
