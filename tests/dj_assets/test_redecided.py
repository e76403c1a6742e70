"""A better copy changes another partition: what Dagster shows of it, and of what was made of it."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess

import dagster as dg
import pytest

from dj_assets.resources import Compute, WarehouseResource
from dj_assets.runs import Run, outdated
from dj_assets.stages import recipe_assets, source_assets
from dj_ops_lib.engine import settling
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.warehouse import Warehouse

RECIPE = """\
stages:
  - name: deduplicated
    operators:
      - video_near_deduplicator: {policy: best}
  - name: after
    operators:
      - video_duration_filter: {min_duration: 1}
"""
VIDEOS = {
    "video0": ("testsrc2=s=320x240:r=10:d=2,scale=96:72", "30"),  # the worse copy, shard 00000
    "video1": ("mandelbrot=s=96x72:r=10,trim=duration=2", "20"),
    "video2": ("testsrc2=s=320x240:r=10:d=2", "20"),  # the better copy, shard 00001
}
DEDUPLICATED, AFTER = (dg.AssetKey(["msr_vtt", "best", s]) for s in ("deduplicated", "after"))
STAGES = [dg.AssetKey(["msr_vtt", "raw"]), dg.AssetKey(["msr_vtt", "media"]), DEDUPLICATED, AFTER]


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Definitions over two shards, the second with a better copy of a clip of the first."""
    folder = tmp_path / "data" / "msr_vtt"
    (folder / "videos").mkdir(parents=True)
    for name, (pattern, crf) in VIDEOS.items():
        command = [find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i", pattern, "-crf", crf]
        command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(folder / f"videos/{name}.mp4")]
        subprocess.run(command, check=True)
    videos = [
        {"video_id": name, "category": 1, "url": "", "start time": 0.0, "end time": 2.0,
         "split": "train", "id": i}
        for i, name in enumerate(VIDEOS)
    ]  # fmt: skip
    sentences = [{"video_id": v, "caption": "a pattern", "sen_id": i} for i, v in enumerate(VIDEOS)]
    tables = {"info": {}, "videos": videos, "sentences": sentences}
    (folder / "train_val_videodatainfo.json").write_text(json.dumps(tables), encoding="utf-8")
    monkeypatch.setenv("DJ_DATA", str(tmp_path / "data"))
    path = tmp_path / "best.yaml"
    path.write_text(RECIPE)
    config = SourceConfig(name="msr_vtt", rows_per_shard=2)
    return dg.Definitions(
        assets=[*source_assets(config), *recipe_assets(load_recipe(path), config)],
        resources={
            "warehouse": WarehouseResource(uri=str(tmp_path / "warehouse")),
            "compute": Compute(workers=1),
        },
    )


@pytest.fixture
def first_made(copies, instance):
    """The first shard is made as a whole, the second up to `media`."""
    make(copies, instance, [dg.AssetKey(["msr_vtt", "manifest"])])
    make(copies, instance, STAGES, "00000")
    make(copies, instance, STAGES[:2], "00001")
    return copies


def make(definitions, instance, keys, shard=None):
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=keys, partition_key=shard)


def newest(instance, key, shard="00000"):
    records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[shard])
    return instance.fetch_materializations(records, limit=1).records[0].asset_materialization


def drawn(chart):
    """The SVG of a chart."""
    return base64.b64decode(chart.value.rpartition("base64,")[2].removesuffix(")")).decode()


def due(definitions, instance, tmp_path):
    graph = definitions.resolve_asset_graph()
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    runs = [Run(("msr_vtt",), shard) for shard in ("00000", "00001")]
    return [r.shard for r in outdated(instance, graph, warehouse, runs)]


def status(definitions, instance, key, shard="00000"):
    from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView, TemporalContext
    from dagster._core.definitions.data_version import CachingStaleStatusResolver

    graph = definitions.resolve_asset_graph()
    now = TemporalContext(effective_dt=dt.datetime.now(dt.UTC), last_event_id=None)
    view = AssetGraphView(temporal_context=now, instance=instance, asset_graph=graph)
    return CachingStaleStatusResolver(instance, graph, view).get_status(key, shard).value


def test_the_other_partition_gets_an_event_with_its_new_numbers_and_version(first_made, instance):
    before = newest(instance, DEDUPLICATED)
    assert before.metadata["rows_kept"].value == 2
    make(first_made, instance, [DEDUPLICATED], "00001")
    own = newest(instance, DEDUPLICATED, "00001").metadata
    assert (own["rows_kept"].value, own["rows_rejected"].value) == (1, 0)
    numbers = own["rows_dropped_elsewhere"].value, own["rows_restored_elsewhere"].value
    assert numbers == (1, 0)

    after = newest(instance, DEDUPLICATED)
    assert after.tags["dagster/data_version"] != before.tags["dagster/data_version"]
    kept = {k: v for k, v in before.tags.items() if not k.startswith("dagster/data_version")}
    assert kept.items() <= after.tags.items()
    shown = {k: after.metadata[k].value for k in ("rows_in", "rows_kept", "rows_rejected")}
    assert shown == {"rows_in": 2, "rows_kept": 1, "rows_rejected": 1}
    assert after.metadata["keep_rate"].value == 0.5
    assert after.metadata["video_seconds"].value == pytest.approx(2.0)
    assert "histogram/duplicate_distance" not in before.metadata
    assert "1 clips" in drawn(after.metadata["histogram/duplicate_distance"])
    (step,) = after.metadata["funnel"].records
    assert (step.data["rejected"], step.data["rows out"]) == (1, 1)


def test_what_was_made_from_the_other_partition_is_stale_until_it_is_made_again(
    first_made, instance, tmp_path
):
    assert due(first_made, instance, tmp_path) == ["00001"]
    make(first_made, instance, STAGES[2:], "00001")
    assert status(first_made, instance, DEDUPLICATED) == "FRESH"
    assert status(first_made, instance, AFTER) == "STALE"
    assert due(first_made, instance, tmp_path) == ["00000"]

    make(first_made, instance, [AFTER], "00000")
    assert status(first_made, instance, AFTER) == "FRESH"
    assert due(first_made, instance, tmp_path) == []
    # Made again the other partition has the same rows, so the same version: nothing is stale.
    version = newest(instance, DEDUPLICATED).tags["dagster/data_version"]
    make(first_made, instance, [DEDUPLICATED], "00000")
    assert newest(instance, DEDUPLICATED).tags["dagster/data_version"] == version
    assert due(first_made, instance, tmp_path) == []


def test_conditions_see_the_other_partitions_new_data(first_made, instance):
    condition = dg.AutomationCondition.any_deps_updated()
    watched = dg.Definitions(
        assets=[
            a.map_asset_specs(
                lambda s: s.replace_attributes(
                    automation_condition=condition if s.key == AFTER else None
                )
            )
            for a in first_made.assets
        ],
        resources=first_made.resources,
    )
    seen = dg.evaluate_automation_conditions(watched, instance)
    make(first_made, instance, [DEDUPLICATED], "00001")
    seen = dg.evaluate_automation_conditions(watched, instance, cursor=seen.cursor)
    assert seen.get_requested_partitions(AFTER) == {"00000", "00001"}


def test_a_partition_that_was_changed_by_a_run_that_died_is_due(
    first_made, instance, tmp_path, monkeypatch
):
    make(first_made, instance, STAGES[3:], "00000")
    died = []

    def settle(*arguments, **named):
        real(*arguments, **named)
        died.append(True)
        raise RuntimeError("killed before Dagster was told")

    from dj_ops_lib.engine import shard

    real = settling.settle
    with monkeypatch.context() as patched:
        patched.setattr(shard, "settle", settle)
        with pytest.raises(RuntimeError, match="killed"):
            make(first_made, instance, [DEDUPLICATED], "00001")
    assert died
    assert due(first_made, instance, tmp_path) == ["00000", "00001"]
    make(first_made, instance, STAGES[2:], "00001")
    make(first_made, instance, STAGES[2:], "00000")
    assert due(first_made, instance, tmp_path) == []
