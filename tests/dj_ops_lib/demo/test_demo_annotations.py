"""The demo's annotation files are in the official layouts and read back as they were meant."""

from __future__ import annotations

import json

import pytest

from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.warehouse import Warehouse


@pytest.fixture(scope="module")
def raw(corpus, tmp_path_factory):
    """Rows of `raw` of all three sources."""
    warehouse = Warehouse(str(tmp_path_factory.mktemp("raw") / "warehouse"))
    rows = []
    for name, facts in corpus.truth["sources"].items():
        config = SourceConfig(
            name=name, root=str(corpus.root / name), rows_per_shard=facts["rows_per_shard"]
        )
        manifest = write_manifest(warehouse, config)
        assert manifest.shards == facts["shards"]
        assert list(manifest.files) == facts["annotation_files"]
        assert sum(manifest.rows.values()) == facts["entries"]
        for shard in manifest.shards:
            ingest_shard(warehouse, config, shard)
        rows += [row for batch in warehouse.scan(f"{name}/raw") for row in batch.to_pylist()]
    return rows


def test_every_annotation_entry_is_found_again_by_identity(corpus, raw):
    def clip(c):
        return (c["source"], c["shard"], c["annotation_file"], c["annotation_row"],
                c["source_id"], c["annotated_start_s"], c["annotated_end_s"])  # fmt: skip

    def row(r):
        return (r["source"], r["shard"], r["annotation_file"], r["annotation_row"],
                r["source_id"], r["start_s"], r["end_s"])  # fmt: skip

    assert sorted(map(row, (r for r in raw if r["keep"])), key=str) == sorted(
        map(clip, corpus.truth["clips"]), key=str
    )
    assert len({r["clip_id"] for r in raw}) == len(raw)


def test_the_malformed_entries_are_error_rows_at_their_line(corpus, raw):
    places = ("source", "shard", "annotation_file", "annotation_row")
    errors = [[r[p] for p in places] for r in raw if r["error"]]
    assert sorted(errors) == sorted([m[p] for p in places] for m in corpus.truth["malformed"])
    assert {r["error"]["class"] for r in raw if r["error"]} == {"malformed_annotation"}


def test_captions_say_what_is_shown(corpus, raw):
    shots = {(v["source"], v["source_id"]): v["shots"] for v in corpus.truth["videos"]}
    for row in raw:
        if not row["keep"]:
            continue
        taken = [
            s for s in shots[row["source"], row["source_id"]]
            if row["start_s"] is None
            or (s["start_s"] < row["end_s"] and s["end_s"] > row["start_s"])
        ]  # fmt: skip
        english = [c["text"] for c in row["captions"] if c["text"].isascii()]
        for text in english:
            for shot in taken:
                assert shot["background"] in text.lower()
                assert shot["shape"] is None or shot["shape"] in text.lower()


def test_an_msr_vtt_clip_has_twenty_different_captions(raw):
    for row in (r for r in raw if r["source"] == "msr_vtt" and r["keep"]):
        texts = [c["text"] for c in row["captions"]]
        assert len(texts) == len(set(texts)) == 20
        assert row["text"] == texts[0]


def test_chinese_emoji_and_line_breaks_come_through(raw):
    texts = [c["text"] for r in raw for c in r["captions"]]
    assert "一个红色的圆形在黄色背景上从左向右移动。" in texts
    assert "A red circle 🔴 moves\nfrom left to right 👉\r\nover a yellow background." in texts
    assert "A pink triangle 🔺 slides\nto the right 😀 — twice?\tNo, once." in texts


def test_the_official_fields_are_all_there(corpus):
    document = json.loads((corpus.root / "msr_vtt" / "test_videodatainfo.json").read_text())
    assert set(document) == {"info", "videos", "sentences"}
    assert set(document["videos"][0]) == {
        "id", "video_id", "category", "url", "start time", "end time", "split",
    }  # fmt: skip
    assert set(document["sentences"][0]) == {"sen_id", "video_id", "caption"}
    line = (
        (corpus.root / "internvid" / "InternVid-10M-flt.jsonl").read_text("utf-8").splitlines()[0]
    )
    assert list(json.loads(line)) == [
        "YoutubeID", "Start_timestamp", "End_timestamp", "Caption", "Aesthetic_Score", "UMT_Score",
    ]  # fmt: skip
    header = (
        (corpus.root / "panda70m" / "panda70m_training_2m.csv").read_text("utf-8").split("\n")[0]
    )
    assert header.strip().split(",")[:5] == [
        "videoID",
        "url",
        "timestamp",
        "caption",
        "matching_score",
    ]
