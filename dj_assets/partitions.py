"""Shards as Dagster partitions: the only place that makes partitions and backfill policies.

Dagster runs two assets in one run only if they share the *same* partitions and
policy objects; otherwise every level of the graph waits for the daemon's next
tick (30 s). So both are made once here and handed out. Which shards exist is the
manifest's knowledge; how a shard is processed is `stages.py`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

import dagster as dg

KEYS_PER_CALL = 1000
"""Partition keys added at once: SQLite refuses about 32,000 variables in one statement."""


@functools.cache
def shards_of(source: str) -> dg.DynamicPartitionsDefinition:
    """The shards of `source`, one object for all of its stages and recipes."""
    return dg.DynamicPartitionsDefinition(name=_name(source))


def _name(source: str) -> str:
    return f"{source}_shards"


@functools.cache
def backfill_policy() -> dg.BackfillPolicy | None:
    """Shards a run of a backfill, one object for all stages; `DJ_SHARDS_PER_RUN`, default 1.

    One shard a run keeps status, retries and asset checks exact (Dagster cannot report half a
    run's partitions as failed). Start-up costs about 5 s a run, so shards of less than a minute
    are worth 10 to 50 a run. None is Dagster's own one partition a run: a policy of one makes
    runs over ranges of one, in which checks belong to no partition (1.13.27).

    Raises:
        ValueError: The variable is not a whole number of at least 1.
    """
    given = os.environ.get("DJ_SHARDS_PER_RUN", "1")
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"DJ_SHARDS_PER_RUN={given!r}: give a whole number of at least 1")
    return None if int(given) == 1 else dg.BackfillPolicy.multi_run(int(given))


def registered_shards(instance: dg.DagsterInstance, source: str) -> list[str]:
    """The shards of `source` that this instance knows, in the order of registration."""
    return list(instance.get_dynamic_partitions(_name(source)))


def register_shards(instance: dg.DagsterInstance, source: str, shards: Iterable[str]) -> list[str]:
    """Make `shards` known as partitions of `source`; returns those that were new.

    Known shards are never removed here: a running backfill may refer to them.
    """
    known = set(registered_shards(instance, source))
    new = [s for s in shards if s not in known]
    for i in range(0, len(new), KEYS_PER_CALL):
        instance.add_dynamic_partitions(_name(source), new[i : i + KEYS_PER_CALL])
    return new
