"""Maintenance as an asset, on a real warehouse."""

from __future__ import annotations

import dagster as dg
import pyarrow as pa

from dj_assets.maintenance import maintenance
from dj_assets.resources import WarehouseResource
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.warehouse import Provenance, Warehouse


def write(place: Warehouse, table: str, shard: str) -> None:
    rows = [{"clip_id": f"{shard}/{i}", "source": "s", "shard": shard, "keep": True} for i in "ab"]
    batches = pa.Table.from_pylist(rows, schema=CLIP_SCHEMA).to_batches()
    place.replace_shard(table, shard, batches, schema=CLIP_SCHEMA, provenance=Provenance())


def test_the_tables_of_the_sources_asked_for_and_no_others_are_maintained_by_the_policy(tmp_path):
    uri = str(tmp_path / "warehouse")
    place = Warehouse(uri)
    for table in ("msr_vtt/raw", "msr_vtt/t2v/cleaned", "other/raw"):
        for shard in ("0000", "0001", "0002"):
            write(place, table, shard)
    policy = {"sources": ["msr_vtt"], "compact_at": 2, "keep_hours": 0.0}
    done = dg.materialize(
        [maintenance],
        resources={"warehouse": WarehouseResource(uri=uri)},
        run_config={"ops": {"warehouse__maintenance": {"config": policy}}},
    )
    assert done.success
    (event,) = done.asset_materializations_for_node("warehouse__maintenance")
    assert event.metadata["rows_verified"].value == 12
    assert event.metadata["left_for_next_time"].value == "nothing"
    assert [r.data["table"] for r in event.metadata["tables"].records] == [
        "msr_vtt/raw",
        "msr_vtt/t2v/cleaned",
    ]
    assert [len(place.lance(t).fragment_ids()) for t in place.tables()] == [1, 1, 3]
    assert place.shards("msr_vtt/raw") == {"0000": 2, "0001": 2, "0002": 2}
