"""A stage as an asset: what a materialization writes, says and checks, on real videos."""

from __future__ import annotations

import shutil

import dagster as dg
import pyarrow as pa
import pytest

from dj_assets.metadata import stored_bytes
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.tombstones import Tombstone

RAW, MEDIA = dg.AssetKey(["msr_vtt", "raw"]), dg.AssetKey(["msr_vtt", "media"])
CLEANED = dg.AssetKey(["msr_vtt", "t2v", "cleaned"])
T2V = [RAW, MEDIA, *(dg.AssetKey(["msr_vtt", "t2v", s]) for s in ("clips", "cleaned"))]


def run(definitions, instance, keys, **arguments):
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=keys, **arguments)


@pytest.fixture
def indexed(definitions, instance):
    run(definitions, instance, [dg.AssetKey(["msr_vtt", "manifest"])])
    return definitions


def materializations(result):
    events = [e.materialization for e in result.get_asset_materialization_events()]
    return {(m.asset_key, m.partition): m for m in events}


def test_the_manifest_registers_the_shards_and_says_what_the_file_holds(definitions, instance):
    result = run(definitions, instance, [dg.AssetKey(["msr_vtt", "manifest"])])
    assert instance.get_dynamic_partitions("msr_vtt_shards") == ["00000", "00001"]
    (made,) = materializations(result).values()
    assert made.metadata["entries"].value == 5
    assert made.metadata["shards_registered"].value == 2


def test_a_shard_goes_through_all_stages_and_its_numbers_are_those_of_its_videos(indexed, instance):
    made = materializations(run(indexed, instance, T2V, partition_key="00000"))
    media, cleaned = made[MEDIA, "00000"].metadata, made[CLEANED, "00000"].metadata
    assert (media["rows_in"].value, media["rows_kept"].value, media["rows_error"].value) == (
        3,
        2,
        1,
    )
    assert media["error_classes"].value == "missing: 1"
    assert media["video_seconds"].value == pytest.approx(4.0)
    assert (cleaned["rows_kept"].value, cleaned["rows_rejected"].value) == (1, 1)
    by_operator = {r.data["operator"]: r.data["rejected"] for r in cleaned["funnel"].records}
    assert by_operator["video_motion_score_filter"] == 1
    assert sum(by_operator.values()) == 1


def test_an_event_has_the_standard_entries_and_a_chart_for_each_statistic(indexed, instance):
    made = materializations(run(indexed, instance, T2V, partition_key="00000"))
    metadata = made[CLEANED, "00000"].metadata
    assert metadata["dagster/partition_row_count"].value == 2
    assert metadata["dagster/table_name"].value == "msr_vtt.t2v.cleaned"
    assert metadata["dagster/uri"].value.endswith("/warehouse/msr_vtt/t2v/cleaned.lance")
    names = [c.name for c in metadata["dagster/column_schema"].schema.columns]
    assert {"clip_id", "keep", "video_motion_score"} <= set(names)
    charts = {k for k in metadata if k.startswith("histogram/")}
    assert {"histogram/video_motion_score", "histogram/video_duration"} <= charts
    assert all(len(metadata[c].md_str) < 1000 for c in charts)
    assert stored_bytes(metadata) < 24 * 1024


def test_the_ui_gets_column_descriptions_from_the_definition(definitions):
    node = definitions.resolve_asset_graph().get(CLEANED)
    columns = node.metadata["dagster/column_schema"].schema.columns
    assert all(c.description for c in columns)


def test_every_check_is_evaluated_for_the_partition_that_was_made(indexed, instance):
    result = run(indexed, instance, [RAW, MEDIA], partition_key="00001")
    evaluated = {
        (e.asset_key, e.check_name, e.partition) for e in result.get_asset_check_evaluations()
    }
    names = ("schema", "unique_clip_id", "rows_conserved", "keep_rate", "error_share", "layout")
    assert evaluated == {(key, name, "00001") for key in (RAW, MEDIA) for name in names}
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    # Of the shard's two videos one is broken: worth a warning, and no reason to stop.
    assert [(e.asset_key, e.check_name) for e in failed] == [(MEDIA, "error_share")]
    assert failed[0].severity is dg.AssetCheckSeverity.WARN
    assert "1 of 2 rows are in error (1 corrupt)" in failed[0].description


def test_a_shard_of_which_most_is_in_error_stops_the_run(
    msr_vtt_files, definitions, instance, tmp_path, monkeypatch
):
    """Videos that are elsewhere: without this check, three empty tables and a green run."""
    (tmp_path / "elsewhere" / "msr_vtt").mkdir(parents=True)
    for file in (msr_vtt_files / "msr_vtt").glob("*.*"):
        shutil.copy(file, tmp_path / "elsewhere" / "msr_vtt")
    others = tmp_path / "elsewhere" / "msr_vtt" / "videos"
    others.mkdir()
    (others / "another-set.mp4").touch()  # an empty folder would be one that is not mounted
    monkeypatch.setenv("DJ_DATA", str(tmp_path / "elsewhere"))
    run(definitions, instance, [dg.AssetKey(["msr_vtt", "manifest"])])
    result = run(definitions, instance, T2V, partition_key="00000", raise_on_error=False)
    assert not result.success
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    severities = {(e.asset_key, e.check_name): e.severity for e in failed}
    assert severities[MEDIA, "error_share"] is dg.AssetCheckSeverity.ERROR
    assert not Warehouse(str(tmp_path / "warehouse")).exists("msr_vtt/t2v/clips")


def test_a_shard_is_held_against_the_version_of_its_input_that_it_read(indexed, instance, tmp_path):
    """The input is decided again between the stage's reading it and its checks."""
    run(indexed, instance, T2V, partition_key="00000")
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    original = Warehouse.replace_shard

    def overtaken(self, table, shard, batches, **arguments):
        version = original(self, table, shard, batches, **arguments)
        if table == "msr_vtt/t2v/cleaned":
            rows = pa.Table.from_batches(warehouse.read_shard("msr_vtt/t2v/clips", shard))
            at = rows.schema.get_field_index("keep")
            rows = rows.set_column(at, rows.schema.field(at), pa.array([False] * len(rows)))
            schema, by = rows.schema.remove_metadata(), Provenance()
            clips = ("msr_vtt/t2v/clips", shard, rows.to_batches())
            original(self, *clips, schema=schema, provenance=by)
        return version

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "replace_shard", overtaken)
        result = run(indexed, instance, [CLEANED], partition_key="00000")
    assert result.success
    (accounted,) = (
        e for e in result.get_asset_check_evaluations() if e.check_name == "rows_conserved"
    )
    assert accounted.passed
    assert accounted.metadata["rows_in"].value == 2


def test_making_a_shard_again_changes_no_data_version(indexed, instance):
    versions = []
    for _ in range(2):
        result = run(indexed, instance, T2V, partition_key="00000")
        versions.append(
            {k: m.tags["dagster/data_version"] for k, m in materializations(result).items()}
        )
    assert versions[0] == versions[1]


@pytest.mark.parametrize("kind", ["source_id", "media"])
def test_what_was_taken_down_stays_away_and_its_shard_can_be_made_again(
    indexed, instance, tmp_path, kind
):
    run(indexed, instance, T2V, partition_key="00000")
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    (batch,) = warehouse.read_shard("msr_vtt/media", "00000", where="source_id = 'video0'")
    value = batch["source_id" if kind == "source_id" else "media_id"][0].as_py()
    warehouse.takedown([Tombstone(kind, value)], reason="asked for")

    result = run(indexed, instance, T2V, partition_key="00000")
    assert result.success
    accounted = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "rows_conserved"
    ]
    assert [e.passed for e in accounted] == [True] * len(T2V)
    metadata = materializations(result)[RAW, "00000"].metadata
    assert metadata["rows_taken_down"].value == 1
    assert metadata["dagster/partition_row_count"].value == 2
    for table in ("raw", "media", "t2v/clips", "t2v/cleaned"):
        rows = warehouse.lazy(f"msr_vtt/{table}").collect()
        assert "video0" not in rows["source_id"].to_list()


def test_a_run_over_a_range_makes_each_shard_with_its_own_numbers_and_checks(indexed, instance):
    tags = {"dagster/asset_partition_range_start": "00000"}
    tags |= {"dagster/asset_partition_range_end": "00001"}
    result = run(indexed, instance, [RAW, MEDIA], tags=tags)
    made = materializations(result)
    assert {p: made[MEDIA, p].metadata["rows_in"].value for p in ("00000", "00001")} == {
        "00000": 3,
        "00001": 2,
    }
    evaluated = result.get_asset_check_evaluations()
    by_shard = {(e.asset_key, e.check_name, e.partition) for e in evaluated if e.passed}
    assert {(MEDIA, "rows_conserved", "00000"), (MEDIA, "rows_conserved", "00001")} <= by_shard


def test_a_blocking_check_that_fails_fails_the_run_and_nothing_downstream_is_made(
    indexed, instance, tmp_path
):
    run(indexed, instance, [RAW], partition_key="00000")
    # A row that no annotation made and that nobody accounts for: media reports it, raw has it not.
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    original = Warehouse.replace_shard

    def losing(self, table, shard, batches, **arguments):
        kept = (b.slice(1) for b in batches) if table == "msr_vtt/media" else batches
        return original(self, table, shard, kept, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Warehouse, "replace_shard", losing)
        result = run(indexed, instance, T2V[1:], partition_key="00000", raise_on_error=False)
    assert not result.success
    failed = {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}
    assert "rows_conserved" in failed
    assert not warehouse.exists("msr_vtt/t2v/clips")
