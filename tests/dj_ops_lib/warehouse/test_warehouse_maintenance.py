"""Compaction, indices, cleanup and orphans; what verification catches."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from warehouse_rows import contents, expected, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import Provenance, maintenance, verify
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "demo/raw"
NOW = Policy(compact_at=2, index_at=1, keep_for=dt.timedelta(0), orphans_after=dt.timedelta(0))
SHARDS = {f"{i:02d}": (10 + i, "a") for i in range(12)}


def fill(warehouse) -> None:
    for shard, (count, mark) in SHARDS.items():
        put(warehouse, TABLE, shard, count, mark)


def test_maintenance_keeps_every_row_and_leaves_one_fragment_indexed(warehouse):
    fill(warehouse)
    done = warehouse.maintain(TABLE, NOW)
    assert (done.fragments_before, done.fragments_after) == (12, 1)
    assert done.rows_verified == sum(count for count, _ in SHARDS.values())
    assert set(done.indices) == {"shard_idx", "clip_id_idx"}
    assert done.yielded == ()
    assert contents(warehouse, TABLE) == expected(SHARDS)
    assert (
        "ScalarIndexQuery" in warehouse.lance(TABLE).scanner(filter="shard = '03'").explain_plan()
    )


def test_indices_stay_right_while_shards_are_replaced(warehouse):
    fill(warehouse)
    warehouse.maintain(TABLE, NOW)
    now = dict(SHARDS)
    for number, shard in enumerate(list(SHARDS)[::2]):
        now[shard] = (number, "b")
        put(warehouse, TABLE, shard, *now[shard])
        if number % 2:
            warehouse.maintain(TABLE, Policy(compact_at=3, index_at=1))
    assert contents(warehouse, TABLE) == expected(now)
    for shard, (count, mark) in now.items():
        read = [r for b in warehouse.read_shard(TABLE, shard) for r in b.to_pylist()]
        assert [r["text"] for r in read] == [mark] * count
    assert warehouse.lance(TABLE).count_rows("clip_id = '00/0'") == 0
    assert warehouse.lance(TABLE).count_rows("clip_id = '01/0'") == 1


def test_a_policy_that_asks_for_nothing_does_nothing(warehouse):
    fill(warehouse)
    warehouse.maintain(TABLE)
    version = warehouse.version(TABLE)
    done = warehouse.maintain(TABLE)
    assert (done.version, done.versions_removed, done.rows_verified) == (version, 0, 0)
    assert done.fragments_after == 12


def test_files_of_a_writer_that_died_are_found_and_removed(warehouse):
    fill(warehouse)
    folder = Path(warehouse.address(TABLE)) / "data"
    before = set(folder.iterdir())

    def dies():
        yield from warehouse.scan(TABLE, where="shard = '05'")
        raise MemoryError

    with pytest.raises(MemoryError):
        warehouse.replace_shard(TABLE, "05", dies(), schema=CLIP_SCHEMA, provenance=Provenance())
    (folder / "leftover.lance").write_bytes(b"x")
    orphans = set(folder.iterdir()) - before
    keep = Policy(orphans_after=dt.timedelta(days=1))
    assert warehouse.maintain(TABLE, keep).orphans_removed == 0
    assert set(folder.iterdir()) == before | orphans
    assert warehouse.maintain(TABLE, Policy(orphans_after=dt.timedelta(0))).orphans_removed == len(
        orphans
    )
    assert set(folder.iterdir()) == before
    assert contents(warehouse, TABLE) == expected(SHARDS)


def test_cleanup_bounds_what_old_versions_take(warehouse):
    for number in range(30):
        put(warehouse, TABLE, "a", 10, str(number))
    done = warehouse.maintain(TABLE, NOW)
    assert done.versions_removed >= 29
    folder = Path(warehouse.address(TABLE))
    assert len(list((folder / "_versions").glob("*.manifest"))) == 1
    assert len(list((folder / "data").iterdir())) == 1
    assert contents(warehouse, TABLE) == expected({"a": (10, "29")})


def test_a_compaction_that_changes_rows_is_caught_and_nothing_is_cleaned_up(warehouse, monkeypatch):
    fill(warehouse)
    true_contents = verify.contents

    def one_row_lost(dataset, fragments, columns):
        found = true_contents(dataset, fragments, columns)
        lost = len(fragments) == 1
        return verify.Contents(found.rows - lost, found.ids, found.values)

    monkeypatch.setattr(verify, "contents", one_row_lost)
    versions = len(warehouse.lance(TABLE).versions())
    with pytest.raises(WarehouseError, match="compaction changed rows in version") as caught:
        warehouse.maintain(TABLE, NOW)
    (tag,) = warehouse.tags(TABLE)
    assert f"dj table restore {TABLE} {tag.name}" in str(caught.value)
    assert len(warehouse.lance(TABLE).versions()) > versions
    assert contents(warehouse, TABLE, tag.name) == expected(SHARDS)


def test_verification_tells_a_changed_value_a_missing_row_and_a_doubled_row(warehouse):
    def stored(rows: int, mark: str) -> verify.Contents:
        put(warehouse, TABLE, "a", rows, mark)
        dataset = warehouse.lance(TABLE)
        return verify.contents(dataset, dataset.fragment_ids(), CLIP_SCHEMA.names)

    one, other, fewer = stored(5, "x"), stored(5, "y"), stored(4, "x")
    assert one == stored(5, "x")
    assert (one.rows, one.ids) == (other.rows, other.ids)
    assert one.values != other.values
    assert one.ids != fewer.ids


def test_maintenance_that_loses_against_writers_yields_and_says_so(warehouse, monkeypatch):
    fill(warehouse)
    execute = maintenance.Compaction.plan

    class Beaten:
        def __init__(self, task):
            self.task = task
            self.fragments = task.fragments

        def execute(self, dataset):
            result = self.task.execute(dataset)
            put(warehouse, TABLE, "00", 3, "rival")  # removes a fragment that is being compacted
            return result

    class Plan:
        def __init__(self, plan):
            self.tasks = [Beaten(t) for t in plan.tasks]

    monkeypatch.setattr(maintenance.Compaction, "plan", staticmethod(lambda *a: Plan(execute(*a))))
    done = warehouse.maintain(TABLE, NOW)
    assert "compaction" in done.yielded
    assert contents(warehouse, TABLE) == expected({**SHARDS, "00": (3, "rival")})
