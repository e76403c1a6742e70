"""CSV with a header line, quoted fields of any length and line breaks inside them.

A record is not a line, so its bytes are found by counting quotation marks: a
record ends with the first line after which their number is even. A stray
quotation mark would so swallow all that follows; therefore a record of several
lines must parse, with as many fields as the header has, and otherwise only its
first line is given up and reading resumes at the next.
"""

from __future__ import annotations

import collections
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from dj_ops_lib.sources.entry import Entry, OfficialEntry, Slice
from dj_ops_lib.sources.formats.layout import too_long_problem
from dj_ops_lib.sources.formats.physical_lines import ENTRY_BYTES, Line, physical_lines


class CsvRecords:
    """One entry a record; the record after the header is row 1. Blank lines are no entries."""

    def index(self, file: BinaryIO, rows_per_shard: int) -> Iterator[Slice]:
        """Slices of `rows_per_shard` records each, in one streaming pass.

        Raises:
            ValueError: There is no header line, or it names a column twice.
        """
        columns, body, line_number = _header(file)
        header = json.dumps(columns, ensure_ascii=False)
        first: Line | None = None
        first_row = row = 0
        end = body
        for record in _records(physical_lines(file, body, None, line_number), len(columns)):
            row += 1
            if first is None:
                first, first_row = record, row
            end = record.end
            if row - first_row + 1 == rows_per_shard:
                yield Slice(first.start, end, first_row, first.number, rows_per_shard, (), header)
                first = None
        if first:
            rows = row - first_row + 1
            yield Slice(first.start, end, first_row, first.number, rows, (), header)

    def entries(self, file: BinaryIO, part: Slice) -> Iterator[Entry]:
        """The records of one slice, in order; reads nothing outside it."""
        columns = json.loads(part.header)
        lines = physical_lines(file, part.start, part.end, part.first_line)
        for row, record in enumerate(_records(lines, len(columns)), start=part.first_row):
            place = (row, record.number, record.start, record.end, record.raw)
            if record.too_long:
                yield Entry(*place, {}, too_long_problem(record.end - record.start))
                continue
            try:
                yield Entry(*place, _fields(record.raw, columns))
            except ValueError as error:
                yield Entry(*place, {}, str(error))

    def salvage(self, raw: bytes, field: str, header: str) -> str | None:
        """What a damaged record says in one column: fields before the damage are in their place."""
        columns = json.loads(header)
        text = io.StringIO(raw.decode("utf-8", "replace"), newline="")
        try:
            values = next(csv.reader(text), [])
        except csv.Error:
            return None
        at = columns.index(field) if field in columns else len(values)
        return values[at] if at < len(values) else None

    def write(self, file: BinaryIO, entries: Iterable[OfficialEntry], header: str) -> None:
        """A header line, then one record an entry."""
        columns = json.loads(header)
        file.write(_format(columns))
        for entry in entries:
            if entry.fields is None:
                file.write(entry.raw.rstrip(b"\r\n") + b"\n")
            else:
                file.write(_format([entry.fields[column] for column in columns]))


def _format(values: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(values)  # so that a lone \r is quoted, too
    return text.getvalue().removesuffix("\r\n").encode() + b"\n"


def _header(file: BinaryIO) -> tuple[list[str], int, int]:
    """Column names, offset of the first record, number of the line on which it begins."""
    for line in physical_lines(file, 0, None, 1):
        if line.raw.strip() or line.too_long:
            columns = _parse(line.raw)
            if len(set(columns)) < len(columns):
                raise ValueError(f"the header names a column twice: {', '.join(columns)}")
            return columns, line.end, line.number + 1
    raise ValueError("it has no header line")


def _records(lines: Iterator[Line], width: int) -> Iterator[Line]:
    """Lines joined into records of `width` fields; see the module for what happens to bad ones."""
    waiting: collections.deque[Line] = collections.deque()
    while True:
        line = waiting.popleft() if waiting else next(lines, None)
        if line is None:
            return
        if line.too_long or line.raw.count(b'"') % 2 == 0:
            if line.too_long or line.raw.strip():
                yield line
            continue
        taken = _until_even(line, waiting, lines)
        joined = b"".join(t.raw for t in taken)
        if _is_record(joined, width):
            yield Line(line.number, line.start, taken[-1].end, joined)
        else:
            yield line
            waiting.extendleft(reversed(taken[1:]))


def _until_even(line: Line, waiting: collections.deque[Line], lines: Iterator[Line]) -> list[Line]:
    """`line` and those after it up to the one that closes its open quotation, if any does."""
    taken, quotes, length = [line], 1, len(line.raw)
    while quotes % 2:
        following = waiting.popleft() if waiting else next(lines, None)
        if following is None:
            break
        taken.append(following)
        quotes += following.raw.count(b'"')
        length += len(following.raw)
        if following.too_long or length > ENTRY_BYTES:
            break
    return taken


def _is_record(raw: bytes, width: int) -> bool:
    try:
        return len(_parse(raw)) == width
    except ValueError:
        return False


def _parse(raw: bytes) -> list[str]:
    """The fields of one record.

    Raises:
        ValueError: Not UTF-8, not CSV, or not one record.
    """
    csv.field_size_limit(max(csv.field_size_limit(), ENTRY_BYTES))
    try:
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} of the record is not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"not CSV ({error})") from None
    if len(rows) != 1:
        raise ValueError(f"one CSV record is expected, there are {len(rows)}")
    return rows[0]


def _fields(raw: bytes, columns: Sequence[str]) -> dict[str, str]:
    values = _parse(raw)
    if len(values) != len(columns):
        expected = f"the header has {len(columns)} columns ({', '.join(columns)})"
        raise ValueError(f"the record has {len(values)} fields, {expected}")
    return dict(zip(columns, values, strict=True))
