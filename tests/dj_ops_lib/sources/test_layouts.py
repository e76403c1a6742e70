"""Other `rows_per_shard`: every entry is in every table once, at any moment, and none is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.errors import ConflictError
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import Slice
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.sources.manifest import ManifestRow, number_shards
from dj_ops_lib.warehouse import Provenance, Warehouse, write

FILE = "InternVid-10M-flt.jsonl"


def entry(number: int, *, bad: bool = False) -> str:
    return json.dumps(
        {
            "YoutubeID": f"video{number:04d}",
            "Start_timestamp": "soon" if bad else "00:00:00",
            "End_timestamp": "00:00:01",
            "Caption": "x",
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twenty entries, of which the third and the last cannot be read."""
    path = tmp_path / FILE
    path.write_text("".join(f"{entry(i, bad=i in (2, 19))}\n" for i in range(20)))
    return path


def config(file: Path, rows_per_shard: int) -> SourceConfig:
    return SourceConfig(name="internvid", root=str(file.parent), rows_per_shard=rows_per_shard)


def entries(warehouse: Warehouse, table: str = "internvid/raw") -> list[int]:
    batches = warehouse.scan(table, columns=["annotation_row"])
    return sorted(row["annotation_row"] for batch in batches for row in batch.to_pylist())


def ingest_all(warehouse: Warehouse, source: SourceConfig) -> list[str]:
    manifest = write_manifest(warehouse, source)
    made = [s for s in manifest.shards if s not in manifest.retired]
    for shard in made:
        ingest_shard(warehouse, source, shard)
    return made


@pytest.mark.parametrize(("before", "after"), [(8, 4), (4, 8), (8, 5), (20, 3), (3, 30)])
def test_every_entry_is_there_once_whichever_shards_are_made_again(warehouse, file, before, after):
    ingest_all(warehouse, config(file, before))
    everything = list(range(1, 21))
    assert entries(warehouse) == everything
    source = config(file, after)
    manifest = write_manifest(warehouse, source)
    assert entries(warehouse) == everything
    made = [s for s in manifest.shards if s not in manifest.retired]
    assert manifest.changed == made
    order = list(manifest.shards)  # a backfill over all partitions takes the retired ones, too
    random.Random(before * 100 + after).shuffle(order)
    for shard in order:
        ingest_shard(warehouse, source, shard)
        assert entries(warehouse) == everything
    for shard in manifest.retired:
        ingest_shard(warehouse, source, shard)
    rows = warehouse.shards("internvid/raw")
    assert {s: n for s, n in rows.items() if n} == {s: manifest.rows[s] for s in made}
    assert entries(warehouse) == everything


def test_there_and_back_again_leaves_every_entry_once(warehouse, file):
    for rows_per_shard in (8, 4, 8):
        made = ingest_all(warehouse, config(file, rows_per_shard))
        assert entries(warehouse) == list(range(1, 21))
    assert {s for s, n in warehouse.shards("internvid/raw").items() if n} == set(made)


def test_entries_that_are_gone_from_the_file_stay_until_its_new_shards_are_all_made(
    warehouse, file
):
    ingest_all(warehouse, config(file, 8))
    kept = file.read_text().splitlines(keepends=True)[:14]
    file.write_text("".join(kept))
    source = config(file, 4)
    manifest = write_manifest(warehouse, source)
    first, *others = [s for s in manifest.shards if s not in manifest.retired]
    ingest_shard(warehouse, source, first)
    for shard in manifest.retired:
        ingest_shard(warehouse, source, shard)
    assert entries(warehouse) == list(range(1, 21))
    for shard in (*others, *manifest.retired):
        ingest_shard(warehouse, source, shard)
    assert entries(warehouse) == list(range(1, 15))


def test_a_file_that_grows_with_the_same_layout_retires_nothing(warehouse, file):
    ingest_all(warehouse, config(file, 8))
    with file.open("a") as more:
        more.write("".join(f"{entry(i)}\n" for i in range(20, 30)))
    manifest = write_manifest(warehouse, config(file, 8))
    assert (manifest.retired, manifest.changed) == ([], ["00002", "00003"])


def test_a_sentence_that_cannot_be_read_is_not_taken_for_the_video_of_its_number(
    tmp_path, warehouse
):
    videos = [
        {"video_id": f"video{i}", "category": 1, "url": "", "start time": 0.0, "end time": 2.0,
         "split": "train", "id": i}
        for i in range(4)
    ]  # fmt: skip
    # The first sentence belongs to the last video.
    sentences = [{"video_id": "video3", "caption": 5, "sen_id": 0}]
    sentences += [{"video_id": f"video{i}", "caption": "a", "sen_id": i + 1} for i in range(4)]
    path = tmp_path / "train_val_videodatainfo.json"
    path.write_text(json.dumps({"info": {}, "videos": videos, "sentences": sentences}))
    source = SourceConfig(name="msr_vtt", root=str(tmp_path), rows_per_shard=4)
    ingest_all(warehouse, source)
    table = "msr_vtt/raw"
    before = entries(warehouse, table)
    assert before == [1, 1, 2, 3, 4]
    source = source.model_copy(update={"rows_per_shard": 2})
    manifest = write_manifest(warehouse, source)
    for shard in manifest.shards:
        ingest_shard(warehouse, source, shard)
        assert entries(warehouse, table) == before


def test_who_wrote_a_retired_shard_from_what_it_held_before_is_refused(
    warehouse, file, monkeypatch
):
    ingest_all(warehouse, config(file, 8))
    source = config(file, 4)
    manifest = write_manifest(warehouse, source)
    rows = list(warehouse.read_shard("internvid/raw", "00000"))
    real = write.older_layouts.successor
    new = next(s for s in manifest.shards if s not in manifest.retired)

    def meanwhile(*arguments):
        monkeypatch.setattr(write.older_layouts, "successor", real)
        ingest_shard(warehouse, source, new)
        return real(*arguments)

    monkeypatch.setattr(write.older_layouts, "successor", meanwhile)
    with pytest.raises(ConflictError, match="decide again"):
        warehouse.replace_shard(
            "internvid/raw", "00000", rows, schema=rows[0].schema, provenance=Provenance()
        )
    assert entries(warehouse) == list(range(1, 21))


def slices(entries: int, rows: int) -> list[ManifestRow]:
    return [
        ManifestRow("", FILE, Slice(i, i + 1, i + 1, 1, min(rows, entries - i)), f"{i}", 1, 1, "")
        for i in range(0, entries, rows)
    ]


@given(history=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), min_size=1, max_size=6))
def test_a_name_keeps_its_entries_for_as_long_as_it_is_not_retired(history):
    known: list[ManifestRow] = []
    for count, rows in history:
        before = {r.shard: _entries_of(r) for r in known if not r.retired}
        retired = {r.shard for r in known if r.retired}
        known = number_shards(known, slices(count, rows))
        now = {r.shard: _entries_of(r) for r in known if not r.retired}
        assert retired <= {r.shard for r in known if r.retired}
        assert sorted(e for own in now.values() for e in own) == list(range(1, count + 1))
        for shard, held in before.items():
            others = {e for other, own in now.items() if other != shard for e in own}
            assert shard not in now or held.isdisjoint(others)


def _entries_of(row: ManifestRow) -> set[int]:
    return set(range(row.part.first_row, row.part.first_row + row.part.rows))
