"""What a run changed in shards other than its own, told to Dagster.

A deduplicating stage drops a clip that another shard keeps when a better copy
comes, and brings clips back (docs/adr/0034-which-copy-is-kept.md). The other
partition then has other rows without having been run. An event of its own says
so, with the data version of the rows as they are now, so that what was made
from them shows as stale; and with the provenance of the event before, since code
and input are still what they were.
"""

from __future__ import annotations

import dagster as dg
import pyarrow as pa

from dj_assets import metadata
from dj_ops_lib.engine.content_version import content_version
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Warehouse

_PROVENANCE = ("dagster/code_version", "dagster/input_data_version", "dagster/input_event_pointer")


def log(
    context: dg.AssetExecutionContext, key: dg.AssetKey, store: Warehouse, report: StageReport
) -> None:
    """Log an event for every other shard that `report` says was changed.

    A shard that this instance has never made has no event to follow, and shards of this run get
    theirs when it ends.
    """
    for change in report.redecided:
        if change.shard in context.partition_keys:
            continue
        found = context.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[change.shard]), limit=1
        )
        before = found.records[0].asset_materialization if found.records else None
        if before is None:
            continue
        batches = list(store.read_shard(report.table, change.shard, version=change.version))
        rows = pa.Table.from_batches(batches, store.schema(report.table, change.version))
        histograms = store.histograms(report.table, [change.shard], change.version)
        counted = histograms.by_shard.get(change.shard, ())
        tags = {k: v for k, v in (before.tags or {}).items() if k.startswith(_PROVENANCE)}
        context.log_event(
            dg.AssetMaterialization(
                asset_key=key,
                partition=change.shard,
                description=f"Other copies are kept here since shard {report.shard} was made.",
                metadata=metadata.of_redecided(before.metadata, change, rows, report, counted),
                tags=tags
                | {
                    "dagster/data_version": content_version(rows),
                    "dagster/data_version_is_user_provided": "true",
                },
            )
        )
        context.log.info(
            f"{report.table} shard {change.shard}: {change.dropped} clips dropped and "
            f"{change.restored} kept again, for shard {report.shard}"
        )
