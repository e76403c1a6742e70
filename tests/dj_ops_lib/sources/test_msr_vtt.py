"""MSR-VTT's two-table JSON: a video is one clip, its sentences are the captions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.errors import SourceError

FILE = "train_val_videodatainfo.json"
TEST_FILE = "test_videodatainfo.json"
INFO = {"year": "2016", "version": "1.0", "description": "", "contributor": "MSRA"}


def video(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "category": 9,
        "url": "https://www.youtube.com/watch?v=9lZi22qLlEo",
        "video_id": f"video{number}",
        "start time": 137.72,
        "end time": 149.44,
        "split": "train",
        "id": number,
    } | fields


def sentence(number: int, of: int, caption: str) -> dict[str, Any]:
    return {"caption": caption, "video_id": f"video{of}", "sen_id": number}


def document(videos: list[Any], sentences: list[Any], **dump: Any) -> bytes:
    return json.dumps({"info": INFO, "videos": videos, "sentences": sentences}, **dump).encode()


def test_a_video_is_one_clip_with_its_sentences_as_captions_in_file_order(read_source):
    sentences = [sentence(i, i % 2, f"says {i}") for i in range(6)]
    rows = read_source("msr_vtt", {FILE: document([video(0), video(1)], sentences)})
    assert [[c["text"] for c in r["captions"]] for r in rows] == [
        ["says 0", "says 2", "says 4"],
        ["says 1", "says 3", "says 5"],
    ]
    assert [r["text"] for r in rows] == ["says 0", "says 1"]
    assert {c["kind"] for r in rows for c in r["captions"]} == {"given"}


def test_files_are_already_cut_so_the_clip_is_the_whole_file(read_source):
    (row,) = read_source("msr_vtt", {FILE: document([video(7)], [sentence(0, 7, "x")])})
    assert (row["source_id"], row["start_s"], row["end_s"]) == ("video7", None, None)
    extra = json.loads(row["extra"])
    assert extra == {k: v for k, v in video(7).items() if k != "video_id"} | {
        "sentences": [{"sen_id": 0}]
    }


def test_training_and_test_file_make_shards_of_their_own(read_source):
    train = document([video(i) for i in range(3)], [])
    test = document([video(9, split="test")], [])
    rows = read_source("msr_vtt", {FILE: train, TEST_FILE: test}, rows_per_shard=2)
    assert [(r["shard"], r["annotation_file"], r["source_id"]) for r in rows] == [
        ("00000", FILE, "video0"),
        ("00000", FILE, "video1"),
        ("00001", FILE, "video2"),
        ("00002", TEST_FILE, "video9"),
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_broken_video_entry_and_its_sentences_become_error_rows(read_source, indent):
    content = document(
        [video(0), video(1), video(2)], [sentence(i, i, str(i)) for i in range(3)], indent=indent
    )
    content = content.replace(b'"video1",', b'"video1,', 1)
    rows = read_source("msr_vtt", {FILE: content}, rows_per_shard=2)
    assert [r["source_id"] for r in rows if r["keep"]] == ["video0", "video2"]
    broken, homeless = [r["error"]["message"] for r in rows if not r["keep"]]
    line = 1 + content[: content.index(b'"video1,')].count(b"\n") - 3 if indent else 1
    assert broken.startswith(f"{FILE}, line {line} (videos, entry 2): not JSON")
    assert "(sentences, entry 2): its video_id is in no element of `videos`" in homeless


def test_a_broken_sentence_costs_itself_only(read_source):
    sentences = [sentence(0, 0, "one"), sentence(1, 0, "two"), {"video_id": "video0"}]
    content = document([video(0)], sentences).replace(b'"two"', rb'"\udc00"')
    rows = read_source("msr_vtt", {FILE: content})
    assert [[c["text"] for c in r["captions"]] for r in rows if r["keep"]] == [["one"]]
    problems = [r["error"]["message"].partition("): ")[2] for r in rows if not r["keep"]]
    assert problems == [
        "the field 'caption' holds half a surrogate pair",
        "the field 'caption' is missing",
    ]
    quoted = [json.loads(r["extra"])["raw"] for r in rows if not r["keep"]]
    assert json.loads(quoted[0])["caption"] == "\udc00"


def test_captions_arrive_byte_for_byte_from_utf8_and_from_escapes(read_source):
    captions = ["日本語 😀\r\nline", "e\u0301", "\t", '"quoted" \\ slash', "אבג"]
    sentences = [sentence(i, 0, c) for i, c in enumerate(captions)]
    for ascii_only in (True, False):
        content = document([video(0)], sentences, ensure_ascii=ascii_only)
        (row,) = read_source("msr_vtt", {FILE: content})
        assert [c["text"] for c in row["captions"]] == captions


def test_an_entry_there_twice_is_two_clips_with_the_same_captions(read_source):
    rows = read_source("msr_vtt", {FILE: document([video(0)] * 2, [sentence(0, 0, "x")])})
    assert [r["text"] for r in rows] == ["x", "x"]
    assert len({r["clip_id"] for r in rows}) == 2


def test_tables_may_come_in_any_order_and_with_a_byte_order_mark(read_source):
    content = json.dumps({"sentences": [sentence(0, 0, "x")], "videos": [video(0)], "n": 1.5})
    (row,) = read_source("msr_vtt", {FILE: b"\xef\xbb\xbf" + content.encode()})
    assert row["text"] == "x"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "must hold one JSON object"),
        (b"[1]", "must hold one JSON object"),
        (b'{"videos": []}', "no top-level array `sentences`"),
        (b'{"videos": {}, "sentences": []}', "`videos` must be an array"),
        (document([video(0)], [sentence(0, 0, "x")])[:-2], "`sentences` does not end"),
        (b'{"info" {}}', "a colon is missing"),
        (b'{"info": nope}', "the value of `info` is not JSON"),
    ],
)
def test_a_file_that_is_no_such_document_is_refused_with_its_path(read_source, content, problem):
    with pytest.raises(SourceError, match=r"train_val_videodatainfo\.json") as refusal:
        read_source("msr_vtt", {FILE: content})
    assert problem in str(refusal.value)


def test_a_table_longer_than_the_window_is_read_whole(read_source):
    long = "x" * 300_000  # more than one read of the file
    sentences = [sentence(i, i % 3, f"{i} {long}") for i in range(9)]
    content = document([video(i) for i in range(3)], sentences)
    rows = read_source("msr_vtt", {FILE: content}, rows_per_shard=2)
    assert [len(r["captions"]) for r in rows] == [3, 3, 3]
    assert all(c["text"].endswith(long) for r in rows for c in r["captions"])


def test_an_element_longer_than_any_may_be_is_an_error_row(read_source):
    videos = [video(0), video(1, url="x" * (2 << 20)), video(2)]
    rows = read_source("msr_vtt", {FILE: document(videos, [])})
    assert [r["source_id"] for r in rows if r["keep"]] == ["video0", "video2"]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    captions=st.lists(st.tuples(st.integers(0, 4), text), max_size=12),
    count=st.integers(0, 5),
    rows_per_shard=st.integers(1, 4),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 1]),
)
def test_any_document_is_read_back_in_any_number_of_shards(
    parse, captions, count, rows_per_shard, ascii_only, indent
):
    sentences = [sentence(i, of, c) for i, (of, c) in enumerate(captions)]
    content = document(
        [video(i) for i in range(count)], sentences, ensure_ascii=ascii_only, indent=indent
    )
    found = parse("msr_vtt", content, rows_per_shard)
    clips = {p.source_id: p for _, parts in found for p in parts}
    assert list(clips) == [f"video{i}" for i in range(count)]
    for i in range(count):
        assert list(clips[f"video{i}"].captions) == [c for of, c in captions if of == i]
    homeless = [e.row for e, _ in found if e.problem]
    assert homeless == [i + 1 for i, (of, _) in enumerate(captions) if of >= count]
