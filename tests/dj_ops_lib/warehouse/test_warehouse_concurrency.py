"""Several processes on one table: shared shards, distinct shards, on disk and on S3."""

from __future__ import annotations

import pytest
from warehouse_rows import contents, expected
from warehouse_workers import (
    TABLE,
    count_up,
    maintain_until_all_are_done,
    race_for_the_same_shards,
    replace_at_random,
    together,
    write_own_shards,
)

from dj_ops_lib.warehouse import Warehouse

ON_S3 = pytest.param("s3_warehouse", marks=[pytest.mark.s3, pytest.mark.slow])


@pytest.fixture(params=["warehouse", ON_S3])
def place(request: pytest.FixtureRequest) -> Warehouse:
    return request.getfixturevalue(request.param)


def test_of_several_first_writes_of_a_shard_exactly_one_wins(place):
    """Round 0 also races for the creation of the table."""
    writers, rounds = ["ann", "bob", "eve"], 6
    results = together(race_for_the_same_shards, [(place, w, rounds) for w in writers])
    winners = {}
    for number, outcome in enumerate(zip(*results, strict=True)):
        assert sorted(o == "won" for o in outcome) == [False, False, True]
        winner = winners[f"{number:04d}"] = writers[outcome.index("won")]
        assert all(f"run '{winner}' committed version" in o for o in outcome if o != "won")
    assert contents(place, TABLE) == expected({s: (20, w) for s, w in winners.items()})


def test_compare_and_swap_by_several_processes_loses_no_update(place):
    together(count_up, [(place, name, 8) for name in ("a", "b", "c")])
    (batch,) = place.read_shard(TABLE, "count", columns=["n"])
    assert batch.to_pydict() == {"n": [24]}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_writers_of_distinct_shards_never_fail_beside_each_other_and_maintenance(place):
    shards, passes, names = 25, 3, ("a", "b", "c", "d")
    jobs = [(write_own_shards, (place, n, shards, passes)) for n in names]
    jobs.append((maintain_until_all_are_done, (place, 12)))
    together(_call, jobs)
    last = passes - 1
    assert contents(place, TABLE) == expected(
        {f"{n}-{s:03d}": ((s + last) % 7, str(last)) for n in names for s in range(shards)}
    )
    counts = place.shards(TABLE)
    assert counts == {f"{n}-{s:03d}": (s + last) % 7 for n in names for s in range(shards)}


@pytest.mark.slow
def test_writers_of_the_same_few_shards_never_mix_or_double_rows(place):
    results = together(replace_at_random, [(place, seed, 25) for seed in range(4)])
    committed = {(shard, mark) for r in results for shard, mark, done in r if done}
    in_history = {(c.shard, c.provenance.run_id) for c in place.history(TABLE) if c.shard}
    assert in_history == committed
    for shard, rows in contents(place, TABLE).items():
        (mark,) = {text for _, text in rows}
        assert (shard, mark) in committed
        assert rows == expected({shard: (5, mark)})[shard]


def _call(work, arguments):
    return work(*arguments)
