"""Entries that are there twice make clips that can be told apart, in whichever shards they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dj_ops_lib.clip import clip_id
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.ingest import ingest_shard, rows_of, write_manifest
from dj_ops_lib.sources.manifest import index_file, number_shards
from dj_ops_lib.sources.repeats import Part, earlier
from dj_ops_lib.warehouse import Warehouse

FILE = "InternVid-10M-flt.jsonl"
OTHER = "InternVid-10M-DIV.jsonl"


def line(video: str, caption: str, start: str | float = "00:00:00.000", end: str = "2") -> bytes:
    fields = {"YoutubeID": video, "Start_timestamp": start, "End_timestamp": end}
    return json.dumps(fields | {"Caption": caption}).encode() + b"\n"


FOUR = [line("vidA", "first"), line("vidB", "b"), line("vidA", "second"), line("vidB", "b2")]


def test_the_same_entry_in_two_shards_is_two_clips(read_source, warehouse: Warehouse) -> None:
    rows = read_source("internvid", {FILE: b"".join(FOUR)}, rows_per_shard=2)
    assert [r["shard"] for r in rows] == ["00000", "00000", "00001", "00001"]
    assert len({r["clip_id"] for r in rows}) == 4
    assert [r["clip_id"] for r in rows] == [
        clip_id("internvid", video, 0.0, 2.0, occurrence=n)
        for video, n in (("vidA", 0), ("vidB", 0), ("vidA", 1), ("vidB", 1))
    ]
    for row in rows:
        told = warehouse.explain("internvid/raw", row["clip_id"])
        assert told.annotation_row == row["annotation_row"]


def test_ids_do_not_depend_on_the_order_in_which_shards_are_made(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    (tmp_path / FILE).write_bytes(b"".join(FOUR))
    config = SourceConfig(name="internvid", root=str(tmp_path), rows_per_shard=2)
    shards = write_manifest(warehouse, config).shards
    for shard in reversed(shards):
        ingest_shard(warehouse, config, shard)
    found = {
        (row["shard"], row["text"]): row["clip_id"]
        for batch in warehouse.scan("internvid/raw")
        for row in batch.to_pylist()
    }
    assert found["00000", "first"] == clip_id("internvid", "vidA", 0.0, 2.0)
    assert found["00001", "second"] == clip_id("internvid", "vidA", 0.0, 2.0, occurrence=1)


def test_a_file_that_comes_later_renames_nothing_and_says_what_changed(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    (tmp_path / FILE).write_bytes(b"".join(FOUR))
    config = SourceConfig(name="internvid", root=str(tmp_path), annotations=(FILE,))
    write_manifest(warehouse, config)
    (tmp_path / OTHER).write_bytes(line("vidA", "a split") + line("vidC", "c"))
    both = SourceConfig(name="internvid", root=str(tmp_path), annotations=(OTHER, FILE))
    manifest = write_manifest(warehouse, both)
    assert manifest.changed == ["00001"]
    for shard in manifest.shards:
        ingest_shard(warehouse, both, shard)
    rows = [row for batch in warehouse.scan("internvid/raw") for row in batch.to_pylist()]
    by_text = {row["text"]: row["clip_id"] for row in rows}
    expected = [("first", 0), ("second", 1), ("a split", 2)]
    assert [by_text[t] for t, _ in expected] == [
        clip_id("internvid", "vidA", 0.0, 2.0, occurrence=n) for _, n in expected
    ]
    # The first copy goes: the later ones move up, and the manifest names their shards.
    (tmp_path / FILE).write_bytes(b"".join(FOUR[1:]))
    assert write_manifest(warehouse, both).changed == ["00000", "00001"]


def test_spans_that_ids_cannot_tell_apart_are_numbered(read_source) -> None:
    lines = [line("v", "a", start=0.5), line("v", "b", start=0.5000001)]
    for rows_per_shard in (1, 2):
        rows = read_source("internvid", {FILE: b"".join(lines)}, rows_per_shard=rows_per_shard)
        assert len({r["clip_id"] for r in rows}) == 2


def test_a_record_that_is_there_twice_is_two_records(read_source) -> None:
    head = b"videoID,url,timestamp,caption\n"
    record = b"v,u,\"[['0','1'],['1','2']]\",\"['a','b']\"\n"
    part = b"v,u,\"[['1','2'],['2','3']]\",\"['b','c']\"\n"
    content = head + record + b"w,u,\"[['0','1']]\",\"['w']\"\n" + part
    rows = read_source("panda70m", {"panda70m_validation.csv": content}, rows_per_shard=1)
    numbers = [(r["text"], r["clip_id"]) for r in rows]
    assert numbers == [
        ("a", clip_id("panda70m", "v", 0, 1)),
        ("b", clip_id("panda70m", "v", 1, 2)),
        ("w", clip_id("panda70m", "w", 0, 1)),
        ("b", clip_id("panda70m", "v", 1, 2, occurrence=1)),
        ("c", clip_id("panda70m", "v", 2, 3)),
    ]


def test_a_sentence_of_a_video_in_two_shards_is_told_of_once(read_source) -> None:
    content = {
        "videos": [{"video_id": v} for v in ("v", "w", "v")],
        "sentences": [
            {"video_id": "v", "caption": "good", "sen_id": 0},
            {"video_id": "v", "caption": 5, "sen_id": 1},
        ],
    }
    name = "train_val_videodatainfo.json"
    rows = read_source("msr_vtt", {name: json.dumps(content).encode()}, rows_per_shard=1)
    assert [(r["source_id"], r["keep"]) for r in rows] == [
        ("v", False),
        ("v", True),
        ("w", True),
        ("v", True),
    ]
    assert len({r["clip_id"] for r in rows}) == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    entries=st.lists(
        st.one_of(
            st.tuples(st.sampled_from("vw"), st.sampled_from(["0", "0.0", "00:00:01"])),
            st.just(("broken", None)),
        ),
        max_size=9,
    ),
    rows_per_shard=st.integers(1, 4),
)
def test_every_row_has_an_id_of_its_own_whatever_the_shards_are(
    tmp_path: Path, entries: list[tuple[str, str | None]], rows_per_shard: int
) -> None:
    def ids(size: int) -> list[str]:
        config = SourceConfig(name="internvid", root=str(tmp_path), rows_per_shard=size)
        indexed, _ = index_file(tmp_path / FILE, FILE, config)
        lines = number_shards([], indexed)
        parts = {row.shard: Part(tmp_path / FILE, FILE, row.part) for row in lines}
        found = earlier("internvid", config.reader, parts)
        return [
            made["clip_id"]
            for row in lines
            for made in rows_of(
                config, with_earlier(row, found.get(row.shard, {})), tmp_path / FILE
            )
        ]

    content = [line(v, "c", start=s) if s else b"{broken\n" for v, s in entries]
    (tmp_path / FILE).write_bytes(b"".join(content))
    assert ids(rows_per_shard) == ids(100)
    assert len(set(ids(rows_per_shard))) == len(entries)


def with_earlier(row, found):
    return dataclasses.replace(row, earlier=tuple(sorted(found.items())))
