"""What was read can be written back: the same entries, the same values, no loss."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.clip import CLIP_SCHEMA, Caption, Clip
from dj_ops_lib.errors import SourceError
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import AnnotatedClip
from dj_ops_lib.sources.formats.json_text import dump_object
from dj_ops_lib.sources.reader import source_reader
from dj_ops_lib.sources.write_back import write_back
from dj_ops_lib.warehouse import Provenance

INTERNVID = "InternVid-10M-flt.jsonl"
PANDA = "panda70m_training_2m.csv"
MSR_VTT = "train_val_videodatainfo.json"


def internvid_line(video: str, end: str = "00:00:09", **more: Any) -> bytes:
    fields = {"YoutubeID": video, "Start_timestamp": "00:00:01.500", "End_timestamp": end,
              "Caption": "日本\r\n😀", "Aesthetic_Score": 4.25} | more  # fmt: skip
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def panda_record(video: str, clips: int) -> list[str]:
    stamps = [[f"0:00:{i:02d}.250", f"0:00:{i + 1:02d}.000"] for i in range(clips)]
    captions = [f'it\'s "{i}"\n日本' for i in range(clips)]
    scores = [math.nan if i == 1 else i / 3 for i in range(clips)]
    return [video, "https://a,b", str(stamps), str(captions), str(scores), "as\nis"]


def panda_file(records: list[list[str]]) -> bytes:
    header = ["videoID", "url", "timestamp", "caption", "matching_score", "note"]
    content = b""
    for record in [header, *records]:
        text = io.StringIO(newline="")
        csv.writer(text).writerow(record)
        content += text.getvalue().removesuffix("\r\n").encode() + b"\n"
    return content


def written_again(tmp_path: Path, warehouse, name: str, **more: Any) -> dict[str, bytes]:
    config = SourceConfig(name=name, root=str(tmp_path / name))
    files = write_back(warehouse, config, f"{name}/raw", tmp_path / "again", **more)
    return {file: path.read_bytes() for file, path in files.items()}


def test_internvid_comes_back_byte_for_byte_with_its_broken_lines(tmp_path, warehouse, read_source):
    content = internvid_line("a", more=[1, {"b": None}]) + b'{"Youtube\n' + b"\xff\xfe\n"
    content += internvid_line("b", end="00:01:00.123") * 2
    read_source("internvid", {INTERNVID: content}, rows_per_shard=2)
    assert written_again(tmp_path, warehouse, "internvid") == {INTERNVID: content}


def test_panda70m_comes_back_byte_for_byte_with_its_broken_records(
    tmp_path, warehouse, read_source
):
    broken = panda_record("wrong", 2)
    broken[3] = "['one']"
    half = panda_record("half", 3)
    half[2] = half[2].replace("0:00:01.250", "noon")
    records = [panda_record("a", 3), broken, half, panda_record("b", 1)]
    content = panda_file(records) + b'stray"quote\n'
    read_source("panda70m", {PANDA: content}, rows_per_shard=2)
    assert written_again(tmp_path, warehouse, "panda70m") == {PANDA: content}


def test_msr_vtt_comes_back_with_all_its_tables(tmp_path, warehouse, read_source):
    videos = [{"video_id": f"video{i}", "id": i, "url": "é", "start time": 1.5} for i in range(5)]
    videos.insert(2, {"id": 9})
    sentences = [
        {"caption": f"{i} 😀\n", "video_id": f"video{i * 7 % 6}", "sen_id": i} for i in range(20)
    ]
    sentences[4]["caption"] = "\udc00"
    document = {"info": {"year": "2016"}, "videos": videos, "sentences": sentences}
    read_source("msr_vtt", {MSR_VTT: json.dumps(document).encode()}, rows_per_shard=2)
    (content,) = written_again(tmp_path, warehouse, "msr_vtt").values()
    assert json.loads(content) == document


def test_only_kept_rows_make_a_clean_smaller_file(tmp_path, warehouse, read_source):
    content = internvid_line("a") + b"broken\n" + internvid_line("b")
    read_source("internvid", {INTERNVID: content})
    files = written_again(tmp_path, warehouse, "internvid", where="keep")
    assert files == {INTERNVID: internvid_line("a") + internvid_line("b")}


def test_shards_that_were_appended_later_are_put_where_they_belong(
    tmp_path, warehouse, read_source
):
    other = "InternVid-18M-aes.jsonl"
    later = internvid_line("z")
    settings = {"rows_per_shard": 1, "annotations": (INTERNVID, other)}
    read_source("internvid", {INTERNVID: internvid_line("a"), other: later}, **settings)
    grown = internvid_line("a") + internvid_line("b")
    read_source("internvid", {INTERNVID: grown}, **settings)
    assert written_again(tmp_path, warehouse, "internvid") == {INTERNVID: grown, other: later}


def test_pieces_of_a_clip_are_written_with_their_own_times(tmp_path, warehouse, read_source):
    rows = read_source("internvid", {INTERNVID: internvid_line("a")})
    parent = Clip.from_row(rows[0])
    pieces = [("1", 1.5, 4.0625), ("2", 4.0625, 9.0)]
    made = [
        {**parent.to_row(), "clip_id": i, "parent_id": parent.clip_id, "start_s": a, "end_s": b}
        for i, a, b in pieces
    ]
    batch = [pa.RecordBatch.from_pylist(made, schema=CLIP_SCHEMA)]
    table = "internvid/t2v/clips"
    warehouse.replace_shard(table, "00000", batch, schema=CLIP_SCHEMA, provenance=Provenance())
    config = SourceConfig(name="internvid", root=str(tmp_path / "internvid"))
    (path,) = write_back(warehouse, config, table, tmp_path / "pieces").values()
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(x["Start_timestamp"], x["End_timestamp"]) for x in lines] == [
        ("00:00:01.500", "00:00:04.062"),
        ("00:00:04.062", "00:00:09"),
    ]


def test_a_piece_of_an_msr_vtt_file_is_refused():
    clip = Clip("x", "msr_vtt", "00000", source_id="video0", parent_id="y", start_s=1.0, end_s=2.0)
    with pytest.raises(SourceError, match="a piece of video0"):
        source_reader("msr_vtt").official([clip])


def test_the_files_that_were_read_are_not_written_over(tmp_path, warehouse, read_source):
    read_source("internvid", {INTERNVID: internvid_line("a")})
    config = SourceConfig(name="internvid", root=str(tmp_path / "internvid"))
    with pytest.raises(SourceError, match="write to another folder"):
        write_back(warehouse, config, "internvid/raw", tmp_path / "internvid")


def test_an_unreadable_entry_that_its_row_does_not_hold_whole_is_told_of(
    tmp_path, warehouse, read_source
):
    read_source("internvid", {INTERNVID: b'{"a": "' + b"x" * 100_000 + b"\n"})
    with pytest.raises(SourceError, match="copy bytes 0 to 100008 from the original"):
        written_again(tmp_path, warehouse, "internvid")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


def as_stored(part: AnnotatedClip) -> Clip:
    return Clip(
        "id",
        "source",
        "00000",
        source_id=part.source_id,
        start_s=part.start_s,
        end_s=part.end_s,
        captions=tuple(Caption(caption) for caption in part.captions),
        extra=dump_object(part.extra),
    )


@given(caption=text, extra=st.dictionaries(text, values, max_size=4))
def test_any_fields_of_an_internvid_line_survive(parse, caption, extra):
    fields = json.loads(internvid_line("a")) | {"Caption": caption}
    fields = extra | fields
    content = json.dumps(fields, allow_nan=True).encode()
    ((_, parts),) = parse("internvid", content, 1)
    entry = source_reader("internvid").official([as_stored(part) for part in parts])
    expected = json.loads(content, parse_constant=str)
    assert json.loads(dump_object(entry.fields)) == expected


@given(captions=st.lists(text, min_size=1, max_size=4), note=text.filter(lambda t: "\0" not in t))
def test_any_captions_of_a_panda70m_record_survive(parse, captions, note):
    record = panda_record("a", len(captions))
    record[3], record[5] = str(captions), note
    ((_, parts),) = parse("panda70m", panda_file([record]), 1)
    entry = source_reader("panda70m").official([as_stored(part) for part in parts])
    assert entry.fields["videoID"] == "a"
    assert ast.literal_eval(entry.fields["caption"]) == captions
    assert entry.fields["timestamp"] == record[2]
    assert entry.fields["matching_score"] == record[4]
    assert entry.fields["note"] == note
