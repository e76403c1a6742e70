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


class Victim:
    """A writer, and what it says that it begins and has done."""

    lasting = 0.05
    """Seconds that a write took lately; moments to kill at are shares of it."""

    def __init__(self, uri: str, seed: int) -> None:
        self._process = start(uri, seed)
        self._finished: dict[str, tuple[int, str]] = {}
        self._begun: tuple[str, tuple[int, str]] | None = None

    def kill(self, chance: random.Random) -> tuple[dict, tuple | None]:
        """Kill it at a random moment of a write, or after one, when it may be maintaining.

        Returns:
            shard -> (count, mark) of every finished write, and the write that was under way.
        """
        self._hear("ready")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for _ in range(chance.randrange(3)):
            self._hear("begin")
            began = time.monotonic()
            self._hear("done")
            Victim.lasting = time.monotonic() - began
        if self._begun is None and chance.random() < 0.8:
            self._hear("begin")
        time.sleep(chance.uniform(0, Victim.lasting))
        assert self._process.poll() is None, self._process.stderr.read()
        return self.end()

    def end(self) -> tuple[dict, tuple | None]:
        """Kill it at once."""
        self._process.kill()
        # Not `communicate`: it does not see what was read ahead of a line.
        with self._process as process:
            said, complaints = process.stdout.read(), process.stderr.read()
        assert "Traceback" not in complaints, complaints
        for line in said.splitlines(keepends=True):
            if line.endswith("\n"):
                self._note(line)
        return self._finished, self._begun

    def _hear(self, word: str) -> None:
        line = self._process.stdout.readline()
        assert line.split()[:1] == [word], (line, self._process.stderr.read())
        self._note(line)

    def _note(self, line: str) -> None:
        word, *rest = line.split()
        if rest:
            shard, count, mark = rest
            self._begun = (shard, (int(count), mark)) if word == "begin" else None
            if word == "done":
                self._finished[shard] = (int(count), mark)


def crash(tmp_path: Path, kills: int) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    chance = random.Random(20261122)
    model: dict[str, tuple[int, str]] = {}
    caught = committed = 0
    following = Victim(warehouse.uri, 0)
    for number in range(kills):
        victim, following = following, Victim(warehouse.uri, number + 1)
        finished, begun = victim.kill(chance)
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
    following.end()
    print(f"{kills} kills, {caught} during a write, of which {committed} after its commit")
    assert caught > kills / 4
    warehouse.maintain(TABLE, CLEAN)
    assert contents(warehouse, TABLE) == expected(model)
    dataset = warehouse.lance(TABLE)
    referred = {r["path"] for r in dataset.tracked_files().read_all().to_pylist()}
    stored = {r["path"] for r in dataset.all_files().read_all().to_pylist()}
    assert {p for p in stored - referred if p.startswith("data/")} == set()


def test_a_killed_writer_leaves_the_old_shard_or_the_new_one(tmp_path):
    crash(tmp_path, kills=24)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundreds_of_kills_at_random_moments_never_lose_or_double_a_row(tmp_path):
    crash(tmp_path, kills=220)
