"""Another `rows_per_shard`, some shards remade: every entry is there once, and checks tell."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dj_assets.resources import Compute, WarehouseResource
from dj_assets.stages import recipe_assets, source_assets
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.warehouse import Warehouse

RECIPE = """\
stages:
  - name: pieces
    operators:
      - video_split_by_duration_mapper: {split_duration: 1, keep_original_sample: false}
  - name: unique
    operators:
      - video_deduplicator: {}
"""
MANIFEST = dg.AssetKey(["msr_vtt", "manifest"])
TABLES = ["msr_vtt/raw", "msr_vtt/media", "msr_vtt/small/pieces", "msr_vtt/small/unique"]
STAGES = [dg.AssetKey(t.split("/")) for t in TABLES]
ENTRIES = 8
ORIGINAL, COPY = 2, 7
"""Numbers of two entries that show the same bytes."""


@pytest.fixture
def definitions_of(tmp_path, monkeypatch):
    """Definitions over eight videos of two seconds, by the number of entries a shard."""
    folder = tmp_path / "data" / "msr_vtt"
    (folder / "videos").mkdir(parents=True)
    for i in range(ENTRIES):
        command = [find_ffmpeg(), "-v", "error", "-f", "lavfi"]
        command += ["-i", f"testsrc2=s=64x48:r=10:d=2,hue=h={40 * i}", "-c:v", "libx264"]
        subprocess.run([*command, str(folder / f"videos/video{i}.mp4")], check=True)
    shutil.copy(folder / f"videos/video{ORIGINAL - 1}.mp4", folder / f"videos/video{COPY - 1}.mp4")
    videos = [
        {"video_id": f"video{i}", "category": 1, "url": "", "start time": 0.0, "end time": 2.0,
         "split": "train", "id": i}
        for i in range(ENTRIES)
    ]  # fmt: skip
    sentences = [{"video_id": f"video{i}", "caption": "a", "sen_id": i} for i in range(ENTRIES)]
    tables = {"info": {}, "videos": videos, "sentences": sentences}
    (folder / "train_val_videodatainfo.json").write_text(json.dumps(tables), encoding="utf-8")
    monkeypatch.setenv("DJ_DATA", str(tmp_path / "data"))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)

    def definitions(rows_per_shard: int) -> dg.Definitions:
        config = SourceConfig(name="msr_vtt", rows_per_shard=rows_per_shard)
        return dg.Definitions(
            assets=[*source_assets(config), *recipe_assets(load_recipe(path), config)],
            resources={
                "warehouse": WarehouseResource(uri=str(tmp_path / "warehouse")),
                "compute": Compute(workers=1),
            },
        )

    return definitions


def make(definitions, instance, keys, shard=None):
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=keys, partition_key=shard)


def kept(warehouse, table):
    """(entry, start) of the kept clips; every id of the table must be there once."""
    columns = ["clip_id", "keep", "annotation_row", "start_s"]
    rows = [r for b in warehouse.scan(table, columns=columns) for r in b.to_pylist()]
    ids = [r["clip_id"] for r in rows]
    assert len(set(ids)) == len(ids)
    return sorted((r["annotation_row"], r["start_s"] or 0.0) for r in rows if r["keep"])


def told(result):
    """What the check of the layout says of the last stage; None where it passes."""
    (found,) = (
        e
        for e in result.get_asset_check_evaluations()
        if e.check_name == "layout" and e.asset_key == STAGES[-1]
    )
    return None if found.passed else found.description


def test_tables_hold_every_entry_once_while_and_after_shards_are_remade(
    definitions_of, instance, tmp_path
):
    before, after = definitions_of(4), definitions_of(2)
    make(before, instance, [MANIFEST])
    for shard in ("00000", "00001"):
        assert told(make(before, instance, STAGES, shard)) is None
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    wanted = {table: kept(warehouse, table) for table in TABLES}
    # Of eight videos of two seconds, the copy's two pieces are dropped.
    assert [len(wanted[t]) for t in TABLES] == [8, 8, 16, 14]

    make(after, instance, [MANIFEST])
    known = instance.get_dynamic_partitions("msr_vtt_shards")
    assert known == [f"{i:05d}" for i in range(6)]
    # The copy (the seventh entry) before what it repeats, then a retired shard, then the rest.
    made = ["00005", "00001", "00002", "00003", "00000", "00004", "00001"]
    for shard in made[:3]:
        result = make(after, instance, STAGES, shard)
        assert {t: kept(warehouse, t) for t in TABLES[:3]} == {t: wanted[t] for t in TABLES[:3]}
        pieces = {(ORIGINAL if e == COPY else e, s) for e, s in kept(warehouse, TABLES[3])}
        assert len(pieces) == len(kept(warehouse, TABLES[3])) == 14
    # Entries 3 to 6 wait, two pieces each.
    assert told(result) == (
        "2 of 4 shards remade in the manifest's layout; 8 rows are in shards of an older one "
        "(00000, 00001): make the other shards"
    )
    command = [Path(sys.executable).parent / "dj", "check", "--warehouse", warehouse.uri, "--json"]
    checked = subprocess.run(command, capture_output=True, text=True, check=True)
    findings = [json.loads(line) for line in checked.stdout.splitlines()]
    failed = {(f["table"], f["check"], f["severity"]) for f in findings if not f["passed"]}
    assert failed == {(table, "layout", "warn") for table in TABLES}

    for shard in made[3:]:
        result = make(after, instance, STAGES, shard)
        assert {t: kept(warehouse, t) for t in TABLES[:3]} == {t: wanted[t] for t in TABLES[:3]}
        assert len(kept(warehouse, TABLES[3])) == 14
    assert told(result) is None
    for table in TABLES:
        rows = warehouse.shards(table)
        assert (rows["00000"], rows["00001"]) == (0, 0)
