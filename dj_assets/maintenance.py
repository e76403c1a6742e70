"""Maintenance of the warehouse's tables as an asset: run it by hand, or on a schedule.

Here: what the UI asks for and shows. How tables are compacted, verified and
cleaned up, and that this is safe beside running writers, is the library's
`warehouse/maintenance.py`; `dj table maintain` does the same from a terminal.
"""

import datetime as dt

import dagster as dg
from pydantic import Field

from dj_assets.failures import told_in_a_sentence
from dj_assets.resources import WarehouseResource
from dj_assets.tables import OWNER

KEY = dg.AssetKey(["warehouse", "maintenance"])

POOL = "warehouse_maintenance"
"""Concurrency pool: two maintenances of one table only get in each other's way."""


class MaintenanceConfig(dg.Config):
    """The policy: by fragments and age."""

    sources: list[str] = Field([], description="Only the tables of these sources; empty: all.")
    compact_at: int = Field(256, description="Compact at this many fragments that are not full.")
    index_at: int = Field(128, description="Refresh indices at this many fragments outside.")
    keep_hours: float = Field(
        168.0, description="Age at which untagged versions go; above the longest run of a stage."
    )
    orphan_hours: float = Field(
        48.0, description="Age at which files of unfinished writes go; above the longest run too."
    )


@dg.asset(
    key=KEY,
    group_name="warehouse",
    kinds={"lance"},
    owners=[OWNER],
    pool=POOL,
)
def maintenance(
    context: dg.AssetExecutionContext, config: MaintenanceConfig, warehouse: WarehouseResource
) -> dg.MaterializeResult:
    """All tables of the warehouse, compacted, verified, indexed and cleaned up.

    Safe beside running stages. A compaction that did not keep every row fails this asset, and
    nothing is cleaned up.
    """
    from dj_ops_lib.warehouse.maintenance import Policy

    policy = Policy(
        compact_at=config.compact_at,
        index_at=config.index_at,
        keep_for=dt.timedelta(hours=config.keep_hours),
        orphans_after=dt.timedelta(hours=config.orphan_hours),
    )
    place = warehouse.open()
    done = []
    for table in place.tables_to_maintain(policy):
        if not config.sources or table.partition("/")[0] in config.sources:
            with told_in_a_sentence():
                done.append(place.maintain(table, policy))
            context.log.info(f"{done[-1]}")
    columns = {
        "table": "string",
        "fragments_before": "int",
        "fragments_after": "int",
        "rows_verified": "int",
        "versions_removed": "int",
        "bytes_removed": "int",
        "orphans_removed": "int",
        "folded": "int",
    }
    records = [dg.TableRecord({c: getattr(d, c) for c in columns}) for d in done]
    schema = dg.TableSchema([dg.TableColumn(c, kind) for c, kind in columns.items()])
    yielded = [f"{d.table}: {step}" for d in done for step in d.yielded]
    return dg.MaterializeResult(
        metadata={
            "fragments": sum(d.fragments_after for d in done),
            "rows_verified": sum(d.rows_verified for d in done),
            "versions_removed": sum(d.versions_removed for d in done),
            "bytes_removed": sum(d.bytes_removed for d in done),
            "left_for_next_time": ", ".join(yielded) or "nothing",
            "tables": dg.MetadataValue.table(records, schema),
        }
    )
