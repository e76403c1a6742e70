"""InternVid's JSONL arrives whole: every line is a clip or an error row, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = "InternVid-10M-flt.jsonl"
OFFICIAL = {
    "YoutubeID": "abcdefghijk",
    "Start_timestamp": "00:00:01.500",
    "End_timestamp": "00:01:02.750",
    "Caption": "a cat",
    "Aesthetic_Score": 4.25,
    "UMT_Score": 0.5,
}


def line(**fields: Any) -> bytes:
    return json.dumps(OFFICIAL | fields, ensure_ascii=False).encode() + b"\n"


def test_a_line_is_one_clip_with_its_span_caption_and_every_other_field(read_source):
    (row,) = read_source("internvid", {FILE: line(Language="日本語")})
    assert (row["source_id"], row["start_s"], row["end_s"]) == ("abcdefghijk", 1.5, 62.75)
    assert row["text"] == "a cat"
    assert [c["text"] for c in row["captions"]] == ["a cat"]
    assert row["annotation_file"] == FILE
    assert row["annotation_row"] == 1
    assert row["license"] == "CC-BY-NC-SA-4.0"
    assert row["keep"]
    assert row["error"] is None
    extra = json.loads(row["extra"])
    assert extra == {k: v for k, v in OFFICIAL.items() if k not in {"YoutubeID", "Caption"}} | {
        "Language": "日本語"
    }


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("01:00:00", 3600.0), ("00:00:07.1", 7.1), ("0:00:59.999", 59.999), ("12:34", 754.0)],
)
def test_timestamps_are_read_with_and_without_fraction_and_hours(read_source, stamp, seconds):
    (row,) = read_source("internvid", {FILE: line(Start_timestamp="00:00:00", End_timestamp=stamp)})
    assert row["end_s"] == seconds


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("1e-05", 1e-05), ("-0.0", 0.0), ("0", 0.0), ("2.5E0", 2.5), ("1e1", 10.0), ("7", 7.0)],
)
def test_a_stamp_that_is_a_json_number_may_be_spelled_in_any_way(read_source, stamp, seconds):
    content = line(Start_timestamp="@").replace(b'"@"', stamp.encode())
    (row,) = read_source("internvid", {FILE: content})
    assert row["error"] is None
    assert str(row["start_s"]) == str(seconds)  # zero is not minus zero


@pytest.mark.parametrize("stamp", ["-1e-09", "1e999", "1e10", "true", "NaN"])
def test_a_number_that_is_no_time_is_not_a_stamp(read_source, stamp):
    content = line(Start_timestamp="@").replace(b'"@"', stamp.encode())
    (row,) = read_source("internvid", {FILE: content})
    assert "is not a timestamp" in row["error"]["message"]


@pytest.mark.parametrize(
    "caption",
    [
        "👩‍👩‍👧 two\r\nlines\ttabbed",
        "مرحبا",
        "  kept spaces  ",
        "\u2028\x85\x1f",
        "é",
        "e\u0301",
        "",
    ],
)
def test_captions_arrive_byte_for_byte(read_source, caption):
    (row,) = read_source("internvid", {FILE: line(Caption=caption)})
    assert row["text"].encode() == caption.encode()


def test_escaped_surrogate_pairs_are_one_character(read_source):
    content = line().replace(b"a cat", rb"a \ud83d\ude3a cat")
    (row,) = read_source("internvid", {FILE: content})
    assert row["text"] == "a 😺 cat"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (b'{"YoutubeID": "a', "not JSON"),
        (b"[1, 2]", "a JSON object is expected"),
        (b'{"YoutubeID": "\xff"}', "is not UTF-8"),
        (line(YoutubeID=None).strip(), "'YoutubeID' is None, not text"),
        (line(YoutubeID=" ").strip(), "'YoutubeID' is empty"),
        (line(Caption=7).strip(), "'Caption' is 7, not text"),
        (line(End_timestamp="soon").strip(), "End_timestamp 'soon' is not a timestamp"),
        (line(Start_timestamp="00:61:00").strip(), "is not a timestamp"),
        (line(End_timestamp="00:00:01.500").strip(), "does not come after Start_timestamp"),
        (line().strip().replace(b"a cat", rb"\ud83d"), "half a surrogate pair"),
        (b'{"a": 1, "a": 2}', "the field 'a' is there twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "limit"),
    ],
)
def test_a_malformed_line_becomes_an_error_row_and_nothing_else_is_lost(
    read_source, broken, problem
):
    rows = read_source("internvid", {FILE: line() + broken + b"\n" + line(YoutubeID="z")})
    assert [r["source_id"] for r in rows if r["keep"]] == ["abcdefghijk", "z"]
    (row,) = [r for r in rows if not r["keep"]]
    error = row["error"]
    assert (error["operator"], error["class"], error["attempts"]) == (
        "raw",
        "malformed_annotation",
        1,
    )
    assert error["message"].startswith(f"{FILE}, line 2: ")
    assert problem in error["message"]
    assert row["annotation_row"] == 2
    quoted = json.loads(row["extra"])
    assert quoted["line"] == 2
    assert quoted["byte_end"] - quoted["byte_start"] == len(broken) + 1
    if "raw" in quoted and len(broken) < 60_000:
        assert quoted["raw"].encode() == broken + b"\n"


def test_bytes_that_are_not_text_are_quoted_in_base64(read_source):
    (row,) = read_source("internvid", {FILE: b"\xff\xfe\n"})
    assert json.loads(row["extra"])["raw_base64"] == "//4K"


def test_the_same_clip_twice_gets_two_ids_that_are_the_same_every_time(read_source):
    first = read_source("internvid", {FILE: line() * 3})
    again = read_source("internvid", {FILE: line() * 3})
    ids = [row["clip_id"] for row in first]
    assert len(set(ids)) == 3
    assert [row["clip_id"] for row in again] == ids


def test_a_byte_order_mark_blank_lines_and_a_missing_last_line_end_are_no_errors(read_source):
    content = b"\xef\xbb\xbf" + line() + b"\r\n   \n" + line(YoutubeID="z").rstrip(b"\n")
    rows = read_source("internvid", {FILE: content})
    assert [(r["source_id"], r["annotation_row"], r["keep"]) for r in rows] == [
        ("abcdefghijk", 1, True),
        ("z", 4, True),
    ]


def test_numbers_that_json_cannot_write_are_kept_as_words(read_source):
    content = line(UMT_Score=0).replace(b'"UMT_Score": 0', b'"UMT_Score": NaN, "big": 1e999')
    (row,) = read_source("internvid", {FILE: content})
    extra = json.loads(row["extra"], parse_constant=pytest.fail)
    assert (extra["UMT_Score"], extra["big"]) == ("NaN", "Infinity")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
lines = st.one_of(
    st.builds(
        lambda caption, name, ascii_only: json.dumps(
            OFFICIAL | {"Caption": caption, "note": name}, ensure_ascii=ascii_only
        ).encode(),
        text,
        text,
        st.booleans(),
    ),
    st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")),
)


@given(content=st.lists(lines, max_size=12), end=st.sampled_from([b"\n", b"\r\n"]),
       rows_per_shard=st.integers(1, 5))  # fmt: skip
def test_any_file_is_read_line_by_line_in_any_number_of_shards(parse, content, end, rows_per_shard):
    raw = end.join(content)
    expected = []
    for number, one in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if one.strip():
            expected.append((number, one.strip()))
    found = parse("internvid", raw, rows_per_shard)
    assert [(entry.row, entry.raw.strip()) for entry, _ in found] == expected
    for entry, parts in found:
        try:
            official = json.loads(entry.raw)
        except (ValueError, RecursionError):
            official = None
        if isinstance(official, dict) and official.get("YoutubeID") == "abcdefghijk":
            assert [part.captions for part in parts] == [(official["Caption"],)]
            assert parts[0].extra["note"] == official["note"]
        else:
            assert entry.problem or not any(hasattr(part, "captions") for part in parts)
