"""Results that killed runs left in files and that no run has taken along since."""

from __future__ import annotations

import datetime as dt

from dj_ops_lib.warehouse import results_spool
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA, RESULTS
from dj_ops_lib.warehouse.results_spool import Waiting
from dj_ops_lib.warehouse.shard_results import ShardResults
from dj_ops_lib.warehouse.store import Store


def left_over(store: Store, older_than: dt.timedelta) -> list[Waiting]:
    """The shards for which nothing was written for so long: their runs are gone.

    A run that goes on writes every few seconds. One that is only slow loses nothing: what it
    measured is united with the table again at its end.
    """
    limit = dt.datetime.now(dt.UTC) - older_than
    return [w for w in results_spool.waiting(store) if w.newest < limit]


def fold_left_over(store: Store, source: str, older_than: dt.timedelta) -> int:
    """Put what such runs left into the source's results; how many files went."""
    count = 0
    for waiting in left_over(store, older_than):
        if waiting.source != source:
            continue
        shard = ShardResults(store, source, waiting.shard, RESULTS)
        shard.left_over()
        why = Provenance(source=source, stage=RESULTS, reason="results that a killed run left")
        count += shard.fold(RESULT_SCHEMA.empty_table(), why)
    return count
