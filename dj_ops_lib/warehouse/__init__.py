"""The warehouse: one Lance table per stage, one atomic commit per shard.

Start at `Warehouse`. Importing this package loads neither Lance nor DuckDB;
they come with the first call that touches a table.

* `store.py`      where tables are, how they are opened and listed
* `layout.py`     names of the folders beside the tables
* `provenance.py` what every commit says about itself
* `schemas.py`    which schema change is an evolution and which is refused
* `commit.py`     the protocol by which every change of rows is committed
* `write.py`      replacing one shard, or a whole table; `staging.py` its new fragments
* `locate.py`     which fragments hold which rows
* `read.py`       shards, scans, Polars, DuckDB, LanceDB
* `history.py`    the commits of a table, also after their versions are gone
* `explain.py`    from a clip back to the annotation line it came from; `origins.py` the results
                  that its numbers come from
* `versions.py`   tags; `diff.py` what changed between two versions
* `maintenance.py` compaction, indices, cleanup, orphans; `verify.py` the check before cleanup
* `result_schema.py` the columns of results
* `results.py`    what was measured, by fingerprint; `results_spool.py` what no table holds yet,
                  `shard_results.py` both, for the stage that measures a shard;
                  `results_inventory.py` what there is of them, and which of them may go,
                  `results_sample.py` some of them, chosen by chance,
                  `results_upkeep.py` what killed runs left
* `operator_uses.py` which measurements tables rest on
* `plain_files.py` small files beside the tables
* `tombstones.py` what must never come back; `takedown.py` removing it everywhere
"""

from __future__ import annotations

from dj_ops_lib.warehouse.provenance import Commit, OperatorUse, Provenance
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA
from dj_ops_lib.warehouse.shard_results import ShardResults
from dj_ops_lib.warehouse.warehouse import Warehouse

__all__ = [
    "RESULT_SCHEMA",
    "Commit",
    "OperatorUse",
    "Provenance",
    "ShardResults",
    "Warehouse",
]
