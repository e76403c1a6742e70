"""Shards are registered in an instance on disk, once, in chunks."""

from __future__ import annotations

import dagster as dg
import pytest

from dj_assets.partitions import backfill_policy, register_shards, registered_shards, shards_of


def test_forty_thousand_shards_are_registered_and_none_twice(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        shards = [f"{i:05d}" for i in range(40_000)]
        assert register_shards(instance, "s", shards[:10]) == shards[:10]
        assert register_shards(instance, "s", shards) == shards[10:]
        assert registered_shards(instance, "s") == shards
        assert register_shards(instance, "s", shards) == []


def test_a_source_has_one_partitions_object():
    assert shards_of("s") is shards_of("s")
    assert shards_of("s") is not shards_of("other")


@pytest.mark.parametrize("given", ["0", "many", "-1"])
def test_a_wrong_number_of_shards_a_run_is_refused_by_name(given, monkeypatch):
    monkeypatch.setenv("DJ_SHARDS_PER_RUN", given)
    backfill_policy.cache_clear()
    try:
        with pytest.raises(ValueError, match="DJ_SHARDS_PER_RUN"):
            backfill_policy()
    finally:
        backfill_policy.cache_clear()
