"""JSONL: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from dj_ops_lib.sources.entry import Entry, OfficialEntry, Slice
from dj_ops_lib.sources.formats.json_text import dump_object, parse_object, salvage_text
from dj_ops_lib.sources.formats.layout import too_long_problem
from dj_ops_lib.sources.formats.physical_lines import Line, physical_lines


class JsonLines:
    """One entry a line; `row` is the line's number. Blank lines are no entries."""

    def index(self, file: BinaryIO, rows_per_shard: int) -> Iterator[Slice]:
        """Slices of `rows_per_shard` entries each, in one streaming pass."""
        first: Line | None = None
        rows = 0
        end = 0
        for line in physical_lines(file, 0, None, 1):
            if _is_blank(line):
                continue
            first = first or line
            rows += 1
            end = line.end
            if rows == rows_per_shard:
                yield Slice(first.start, end, first.number, first.number, rows)
                first, rows = None, 0
        if first:
            yield Slice(first.start, end, first.number, first.number, rows)

    def entries(self, file: BinaryIO, part: Slice) -> Iterator[Entry]:
        """The entries of one slice, in order; reads nothing outside it."""
        for line in physical_lines(file, part.start, part.end, part.first_line):
            if _is_blank(line):
                continue
            place = (line.number, line.number, line.start, line.end, line.raw)
            if line.too_long:
                yield Entry(*place, {}, too_long_problem(line.end - line.start))
                continue
            try:
                yield Entry(*place, parse_object(line.raw))
            except ValueError as error:
                yield Entry(*place, {}, str(error))

    def salvage(self, raw: bytes, field: str, header: str) -> str | None:
        """What a damaged object says in one field."""
        return salvage_text(raw, field)

    def write(self, file: BinaryIO, entries: Iterable[OfficialEntry], header: str) -> None:
        """One line an entry."""
        for entry in entries:
            raw = entry.raw if entry.fields is None else dump_object(entry.fields).encode()
            file.write(raw.rstrip(b"\r\n") + b"\n")


def _is_blank(line: Line) -> bool:
    return not line.too_long and not line.raw.strip()
