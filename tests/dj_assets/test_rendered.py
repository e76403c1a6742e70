"""A recipe that renders: one asset more, whose files are those of the clips that it keeps."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dj_assets.resources import Compute, WarehouseResource
from dj_assets.stages import recipe_assets, source_assets
from dj_ops_lib.checks import DESCRIPTIONS
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.warehouse import Warehouse

RECIPE = """\
stages:
  - name: cleaned
    operators:
      - video_duration_filter: {min_duration: 1}
render: {preset: ultrafast, cut: copy}
"""


@pytest.fixture
def rendering(msr_vtt_files, tmp_path, monkeypatch):
    """Definitions of one source and one recipe that renders."""
    monkeypatch.setenv("DJ_DATA", str(msr_vtt_files))
    monkeypatch.setenv("DJ_RENDERED", str(tmp_path / "files"))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    config = SourceConfig(name="msr_vtt", rows_per_shard=3)
    return dg.Definitions(
        assets=[*source_assets(config), *recipe_assets(load_recipe(path), config)],
        resources={
            "warehouse": WarehouseResource(uri=str(tmp_path / "warehouse")),
            "compute": Compute(workers=1),
        },
    )


def test_the_kept_clips_of_a_shard_are_files_and_a_second_run_changes_nothing(
    rendering, instance, tmp_path
):
    job = rendering.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(["msr_vtt", "manifest"])]
    )
    key = dg.AssetKey(["msr_vtt", "small", "rendered"])
    node = rendering.resolve_asset_graph().get(key)
    assert node.parent_keys == {dg.AssetKey(["msr_vtt", "small", "cleaned"])}
    stages = [dg.AssetKey(["msr_vtt", s]) for s in ("raw", "media")]
    stages += [dg.AssetKey(["msr_vtt", "small", "cleaned"]), key]
    result = job.execute_in_process(
        instance=instance, asset_selection=stages, partition_key="00000"
    )
    checked = [e for e in result.get_asset_check_evaluations() if e.asset_key == key]
    assert {e.check_name for e in checked} == set(DESCRIPTIONS)
    assert len(checked) == len(DESCRIPTIONS)
    assert all(e.passed for e in checked)
    rows = Warehouse(str(tmp_path / "warehouse")).lazy("msr_vtt/small/rendered").collect()
    folder = tmp_path / "files" / "msr_vtt" / "small"
    assert sorted(map(Path, rows["rendered_uri"])) == sorted(folder.iterdir())
    assert len(rows) == 2

    again = job.execute_in_process(instance=instance, asset_selection=[key], partition_key="00000")
    first, second = (
        next(
            e.materialization
            for e in r.get_asset_materialization_events()
            if e.materialization.asset_key == key
        )
        for r in (result, again)
    )
    assert first.metadata["files_copied"].value == 2
    assert second.metadata["files_found"].value == 2
    assert first.tags["dagster/data_version"] == second.tags["dagster/data_version"]
