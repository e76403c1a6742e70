"""Panda-70M's CSV: a record is a video, its lists are its clips, and a record is not a line."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = "panda70m_training_2m.csv"
COLUMNS = ["videoID", "url", "timestamp", "caption", "matching_score"]
LATER = [*COLUMNS, "desirable_filtering", "shot_boundary_detection"]


def record(video: str = "abcdefghijk", clips: int = 2, **fields: Any) -> dict[str, str]:
    whole = {
        "videoID": video,
        "url": f"https://www.youtube.com/watch?v={video}",
        "timestamp": [[f"0:00:{i:02d}.250", f"0:00:{i + 1:02d}.000"] for i in range(clips)],
        "caption": [f"caption {i}" for i in range(clips)],
        "matching_score": [i / 4 for i in range(clips)],
        "desirable_filtering": ["desirable"] * clips,
        "shot_boundary_detection": [[["0:00:00.000", "0:00:01.000"]]] * clips,
    }
    return {k: v if isinstance(v, str) else repr(v) for k, v in (whole | fields).items()}


def written(records: list[dict[str, str]], columns: list[str] = COLUMNS) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def test_a_record_becomes_as_many_clips_as_it_has_timestamps(read_source):
    rows = read_source("panda70m", {FILE: written([record(clips=3)], LATER)})
    assert [(r["start_s"], r["end_s"], r["text"]) for r in rows] == [
        (0.25, 1.0, "caption 0"),
        (1.25, 2.0, "caption 1"),
        (2.25, 3.0, "caption 2"),
    ]
    assert {r["source_id"] for r in rows} == {"abcdefghijk"}
    assert {r["annotation_row"] for r in rows} == {1}
    assert json.loads(rows[1]["extra"]) == {
        "url": "https://www.youtube.com/watch?v=abcdefghijk",
        "timestamp": ["0:00:01.250", "0:00:02.000"],
        "matching_score": 0.25,
        "desirable_filtering": "desirable",
        "shot_boundary_detection": [["0:00:00.000", "0:00:01.000"]],
    }


def test_the_columns_of_the_first_release_are_enough_and_unknown_ones_are_kept(read_source):
    content = written([record(clips=1, note="seen\ntwice")], [*COLUMNS, "note"])
    (row,) = read_source("panda70m", {FILE: content})
    extra = json.loads(row["extra"])
    assert extra["note"] == "seen\ntwice"
    assert "desirable_filtering" not in extra


def test_fields_far_above_128_kib_are_read(read_source):
    captions = [f"{i} " + "word " * 100 for i in range(3000)]
    stamps = [[str(i), f"{i}.5"] for i in range(3000)]
    one = record(caption=captions, timestamp=stamps, matching_score=[0.5] * 3000)
    assert len(one["caption"]) > 10 * 131_072
    rows = read_source("panda70m", {FILE: written([one])})
    assert [r["text"] for r in rows] == captions
    assert rows[-1]["end_s"] == 2999.5


def test_plain_seconds_are_timestamps_too(read_source):
    one = record(timestamp=[[0, 2.475133333333333], ["3", "4.25"]])
    rows = read_source("panda70m", {FILE: written([one])})
    assert [(r["start_s"], r["end_s"]) for r in rows] == [(0.0, 2.475133333333333), (3.0, 4.25)]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("caption", ["only one"], "timestamp 2, caption 1, matching_score 2"),
        ("matching_score", [], "timestamp 2, caption 2, matching_score 0"),
        ("timestamp", "__import__('os').system('true')", "'timestamp' is not a list literal"),
        ("timestamp", "[" * 5000, "'timestamp' is not a list literal"),
        ("timestamp", "-" * 200_000 + "1", "'timestamp' is not a list literal"),
        ("timestamp", "{'a': 1}", "not a list literal"),
        ("caption", "('a', 'b')", "'caption' is tuple, not a list"),
        ("caption", "x" * (5 << 20), "the limit is 4194304"),
        ("videoID", "", "'videoID' is empty"),
        ("timestamp", "[]", "differ in length"),
    ],
)
def test_a_record_that_cannot_be_understood_becomes_one_error_row(
    read_source, field, value, problem
):
    content = written([record("first"), record("wrong", **{field: value}), record("last")])
    rows = read_source("panda70m", {FILE: content})
    assert [r["source_id"] for r in rows if r["keep"]] == ["first", "first", "last", "last"]
    (row,) = [r for r in rows if not r["keep"]]
    assert row["error"]["class"] == "malformed_annotation"
    assert row["error"]["message"].startswith(f"{FILE}, line 3: ")
    assert problem in row["error"]["message"]
    assert row["annotation_row"] == 2
    assert json.loads(row["extra"])["raw"].startswith(("wrong,", ",https"))


def test_a_record_without_clips_is_told_of(read_source):
    empty = record(clips=0)
    (row,) = read_source("panda70m", {FILE: written([empty])})
    assert row["error"]["message"] == f"{FILE}, line 2: the entry describes no clip"


def test_an_unusable_clip_costs_itself_only(read_source):
    one = record(clips=4, timestamp=[["0:00:00.0", "0:00:01.0"], ["0:00:05.0", "0:00:02.0"], "x",
                                     ["0:00:03.0", "0:00:04.0"]],
                 caption=["a", "b", "c", None])  # fmt: skip
    rows = read_source("panda70m", {FILE: written([one])})
    assert [r["text"] for r in rows if r["keep"]] == ["a"]
    messages = [r["error"]["message"] for r in rows if not r["keep"]]
    assert [m.split(": ", 1)[1].split(":")[0] for m in messages] == ["clip 2", "clip 3", "clip 4"]
    assert {r["source_id"] for r in rows} == {"abcdefghijk"}
    assert len({r["clip_id"] for r in rows}) == 4


@pytest.mark.parametrize(
    ("field", "second", "problem"),
    [
        ("caption", "b'b'", "clip 2: 'caption' holds bytes in a list"),
        ("matching_score", "np.float64(0.5)", "clip 2: 'matching_score' holds call in a list"),
        ("matching_score", "null", "clip 2: 'matching_score' holds the name 'null' in a list"),
        ("matching_score", "{1, 2}", "clip 2: 'matching_score' holds set in a list"),
        ("timestamp", "[now, '0:00:02']", "clip 2: 'timestamp' holds the name 'now' in a list"),
    ],
)
def test_an_element_that_is_no_literal_costs_its_own_clip(read_source, field, second, problem):
    first = {"caption": "'a'", "matching_score": "0.5", "timestamp": "['0:00:00', '0:00:01']"}
    one = record("video", clips=2, **{field: f"[{first[field]}, {second}]"})
    rows = read_source("panda70m", {FILE: written([one])})
    good, bad = rows
    assert (good["keep"], good["start_s"]) == (True, 0.25 if field != "timestamp" else 0.0)
    assert bad["error"]["message"] == f"{FILE}, line 2: {problem}"
    assert bad["source_id"] == "video"
    again = read_source("panda70m", {FILE: written([one])})
    assert again == rows


@pytest.mark.parametrize(
    ("score", "word"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")]
)
def test_a_score_that_is_no_number_is_kept_as_a_word(read_source, score, word):
    one = record(clips=2, matching_score=f"[0.4, {score}]")
    rows = read_source("panda70m", {FILE: written([one])})
    assert [r["keep"] for r in rows] == [True, True]
    assert [json.loads(r["extra"])["matching_score"] for r in rows] == [0.4, word]


def test_a_stray_quotation_mark_costs_its_own_line_only(read_source):
    good = written([record(f"video{i}", url="a,b\nc") for i in range(4)])
    head, *others = good.split(b"\r\nvideo")
    records = [b"video" + other for other in others]
    stray = b'stray"quote,b,c\r\n'
    content = b"\r\n".join([head, records[0], records[1]]) + b"\r\n" + stray
    content += b"\r\n".join(records[2:])
    rows = read_source("panda70m", {FILE: content}, rows_per_shard=2)
    assert [r["source_id"] for r in rows if r["keep"]] == [f"video{i // 2}" for i in range(8)]
    (row,) = [r for r in rows if not r["keep"]]
    assert json.loads(row["extra"])["raw"].encode() == stray


def test_two_stray_quotation_marks_do_not_swallow_what_is_between_them(read_source):
    one = written([record()]).split(b"\r\n", 1)
    body = one[1]
    content = one[0] + b'\r\nx"y,1\r\n' + body * 3 + b'z"w,2\r\n' + body
    rows = read_source("panda70m", {FILE: content})
    assert sum(r["keep"] for r in rows) == 8
    assert [r["error"]["message"].split(":")[0] for r in rows if not r["keep"]] == [
        f"{FILE}, line 2",
        f"{FILE}, line 6",
    ]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
videos = st.builds(
    lambda name, url, captions: (f"v{name}", url, captions),
    st.integers(0, 9),
    st.one_of(text, st.sampled_from(['"', 'a"b', "x\ny", "\r", ",,", '""', "\r\n", '\n"\n'])),
    st.lists(text, min_size=1, max_size=3),
)
stray = st.sampled_from([b"nothing\n", b'a"b,c\n', b'"open\n', b",,,,\n", b'"",""x,1,2,3\n'])


@given(content=st.lists(videos, max_size=8), rows_per_shard=st.integers(1, 4))
def test_what_the_csv_module_writes_is_read_back_in_any_number_of_shards(
    parse, content, rows_per_shard
):
    records = [record(v, clips=len(c), url=url, caption=c) for v, url, c in content]
    found = parse("panda70m", written(records), rows_per_shard)
    assert [(e.fields["videoID"], e.fields["url"]) for e, _ in found] == [
        (video, url) for video, url, _ in content
    ]
    assert [[p.captions[0] for p in parts] for _, parts in found] == [c for _, _, c in content]


@given(
    content=st.lists(st.one_of(videos, stray), max_size=8),
    rows_per_shard=st.integers(1, 4),
)
def test_every_byte_of_a_damaged_file_belongs_to_one_entry_and_good_records_survive(
    parse, content, rows_per_shard
):
    raw = written([])
    good = []
    for one in content:
        if isinstance(one, bytes):
            raw += one
        else:
            # Without line breaks in fields: a stray quote right before such a record may pair up
            # with one of its own, which no reader can tell from a field that goes on.
            video, url, captions = one
            url = "".join(url.split()).replace('"', "")
            captions = ["".join(c.splitlines()) for c in captions]
            good.append((video, url, captions))
            raw += written([record(video, clips=len(captions), url=url, caption=captions)]).split(
                b"\r\n", 1
            )[1]
    found = parse("panda70m", raw, rows_per_shard)
    body = raw.split(b"\r\n", 1)[1]
    assert b"".join(e.raw for e, _ in found) == body
    read = [
        (e.fields["videoID"], e.fields["url"], [p.captions[0] for p in parts])
        for e, parts in found
        if parts and all(hasattr(p, "captions") for p in parts)
    ]
    assert read == good
