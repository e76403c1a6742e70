"""An entry without an end costs itself, not the memory and not its neighbours."""

from __future__ import annotations

from dj_ops_lib.sources.formats.physical_lines import ENTRY_BYTES

LINE = b'{"YoutubeID": "%b", "Start_timestamp": "0:00", "End_timestamp": "0:01", "Caption": "x"}\n'
HEADER = b"videoID,url,timestamp,caption,matching_score\n"
RECORD = b"%b,u,\"[['0:00:00', '0:00:01']]\",['x'],[1]\n"


def test_a_line_longer_than_any_entry_may_be_is_one_error(parse):
    endless = b'{"Caption": "' + b"x" * ENTRY_BYTES + b'"}\n'
    content = LINE % b"first" + endless + LINE % b"last"
    first, wrong, last = parse("internvid", content, 2)
    assert [parts[0].source_id for _, parts in (first, last)] == ["first", "last"]
    entry, parts = wrong
    assert parts == []
    assert entry.problem == f"the entry is {len(endless)} bytes long, the limit is {ENTRY_BYTES}"
    assert (entry.row, entry.end - entry.start, entry.raw) == (2, len(endless), b"")


def test_a_last_line_that_is_too_long_and_never_ends_is_one_error(parse):
    found = parse("internvid", LINE % b"first" + b"x" * (ENTRY_BYTES + 1), 10)
    assert [bool(entry.problem) for entry, _ in found] == [False, True]


def test_a_quotation_that_is_never_closed_costs_its_line_only(parse):
    good = RECORD % (b"v" * 11)
    count = ENTRY_BYTES // (64 * len(good))  # the search for its end stops at the end of the file
    found = parse("panda70m", HEADER + b'"open,u\n' + good * count, 10_000_000)
    assert found[0][0].problem
    assert len(found) == count + 1
    assert not any(entry.problem for entry, _ in found[1:])


def test_a_field_that_never_ends_is_given_up_at_the_limit(parse):
    lines = b"x" * 1_000_000 + b"\n"
    content = HEADER + RECORD % b"first" + b'"open\n' + lines * 40 + RECORD % b"last"
    found = parse("panda70m", content, 10)
    assert [p.source_id for _, parts in found for p in parts] == ["first", "last"]
    assert sum(bool(entry.problem) for entry, _ in found) == 41
