"""One JSON object whose fields are tables: arrays of objects that refer to each other by id.

The file is walked with the standard library's own decoder, one array element
at a time over a sliding window, so that each element's bytes are known and an
element that is not JSON costs itself only. The window is decoded as Latin-1,
one character a byte, because JSON's structure is ASCII and offsets then agree;
the elements themselves are read as UTF-8.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from dj_ops_lib.sources.entry import Entry, OfficialEntry, Piece, Slice
from dj_ops_lib.sources.formats.json_text import dump_object, parse_object, salvage_text
from dj_ops_lib.sources.formats.physical_lines import BOM, ENTRY_BYTES

ELEMENT_BYTES = 1 << 20
"""Longest array element, in bytes; MSR-VTT's are a few hundred."""

_READ = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT_ELEMENT = re.compile(r"\}[ \t\r\n]*(?:,[ \t\r\n]*(?=\{)|(?=\]))")
_DECODER = json.JSONDecoder(strict=False)


@dataclasses.dataclass(frozen=True, slots=True)
class _Element:
    table: str
    piece: Piece
    raw: bytes


class JsonTables:
    """Entries are the elements of the array `main`, with those of `companion` that share `key`.

    Companion elements that are not JSON or that name no element of `main` are entries of their
    own, at the end of the last slice, so that they are not lost.

    Args:
        main: Name of the array whose elements are entries.
        companion: Name of the array whose elements belong to them.
        key: The field by which they do.
        order: The field of companion elements that numbers them.
    """

    def __init__(self, main: str, companion: str, key: str, order: str) -> None:
        self.order = order
        self.main = main
        self.companion = companion
        self.key = key

    def index(self, file: BinaryIO, rows_per_shard: int) -> Iterator[Slice]:
        """Slices of `rows_per_shard` elements of `main`; keeps ids and offsets in memory.

        Raises:
            ValueError: The file is not an object with these two arrays.
        """
        mains: list[Piece] = []
        holders: dict[str, set[int]] = {}
        companions: list[tuple[str | None, Piece]] = []
        header: dict[str, Any] = {}
        for element in _walk(file, (self.main, self.companion), header):
            key = self._key(element.raw)
            if element.table == self.companion:
                companions.append((key, element.piece))
                continue
            if key is not None:
                holders.setdefault(key, set()).add(len(mains) // rows_per_shard)
            mains.append(element.piece)
        count = -(-len(mains) // rows_per_shard) or int(bool(companions))
        members: list[list[Piece]] = [[] for _ in range(count)]
        for key, piece in companions:
            found = None if key is None else holders.get(key)
            for slice_number in found or {count - 1}:
                members[slice_number].append(piece)
        text = dump_object(header)
        for number, pieces in enumerate(members):
            own = mains[number * rows_per_shard : (number + 1) * rows_per_shard]
            first, last = (own[0], own[-1]) if own else (Piece(0, 0, 1, 1), Piece(0, 0, 1, 1))
            place = (first.start, last.end, first.row, first.line, len(own))
            yield Slice(*place, tuple(pieces), text)

    def entries(self, file: BinaryIO, part: Slice) -> Iterator[Entry]:
        """The elements of one slice with their companions; reads nothing outside it."""
        by_key: dict[str, list[Entry]] = {}
        homeless: list[Entry] = []
        for piece in part.companions:
            file.seek(piece.start)
            entry = _entry(_Element(self.companion, piece, file.read(piece.end - piece.start)))
            key = entry.fields.get(self.key)
            if entry.problem is None and isinstance(key, str):
                by_key.setdefault(key, []).append(entry)
            else:
                homeless.append(entry)
        seen: set[str] = set()
        for element in self._slice_elements(file, part):
            entry = _entry(element)
            key = entry.fields.get(self.key)
            own = by_key.get(key, []) if isinstance(key, str) else []
            seen |= {key} if isinstance(key, str) else set()
            yield dataclasses.replace(entry, companions=tuple(own))
        homeless += [e for key, found in by_key.items() if key not in seen for e in found]
        for entry in sorted(homeless, key=lambda e: e.row):
            names = f"its {self.key} is in no element of `{self.main}` that could be read"
            yield dataclasses.replace(entry, fields={}, problem=entry.problem or names)

    def salvage(self, raw: bytes, field: str, header: str) -> str | None:
        """What a damaged object says in one field."""
        return salvage_text(raw, field)

    def write(self, file: BinaryIO, entries: Iterable[OfficialEntry], header: str) -> None:
        """Both tables after the other top-level fields; companions by their `order` field."""
        tables: dict[str, list[tuple[float, bytes]]] = {self.main: [], self.companion: []}
        for entry in entries:
            table = tables[entry.table or self.main]
            table.append(self._ordered(entry.fields, entry.raw))
            tables[self.companion] += [self._ordered(c, b"") for c in entry.companions]
        tables[self.companion].sort(key=lambda element: element[0])
        parts = [
            f"{json.dumps(k)}: {json.dumps(v)}".encode() for k, v in json.loads(header).items()
        ]
        for name, elements in tables.items():
            body = b", ".join(raw for _, raw in elements)
            parts.append(json.dumps(name).encode() + b": [" + body + b"]")
        file.write(b"{" + b", ".join(parts) + b"}")

    def _ordered(self, fields: Mapping[str, Any] | None, raw: bytes) -> tuple[float, bytes]:
        if fields is None:
            with contextlib.suppress(ValueError):
                fields = parse_object(raw)
        place = (fields or {}).get(self.order)
        position = float(place) if isinstance(place, int | float) else math.inf
        return position, raw or dump_object(fields or {}).encode()

    def _slice_elements(self, file: BinaryIO, part: Slice) -> Iterator[_Element]:
        if not part.rows:
            return
        window = _Window(file, part.start, part.end, part.first_line)
        row = part.first_row
        while not window.at_end():
            yield window.element(self.main, row)
            row += 1
            window.skip(",")

    def _key(self, raw: bytes) -> str | None:
        try:
            key = parse_object(raw).get(self.key)
        except ValueError:
            return None
        return key if isinstance(key, str) else None


def _entry(element: _Element) -> Entry:
    piece = element.piece
    place = (piece.row, piece.line, piece.start, piece.end, element.raw)
    try:
        return Entry(*place, parse_object(element.raw), table=element.table)
    except ValueError as error:
        return Entry(*place, {}, str(error), table=element.table)


def _walk(file: BinaryIO, tables: Sequence[str], header: dict[str, Any]) -> Iterator[_Element]:
    """All elements of `tables`; every other top-level field goes into `header`."""
    file.seek(0)
    window = _Window(file, len(BOM) if file.read(len(BOM)) == BOM else 0, None, 1)
    window.expect("{", "the file must hold one JSON object")
    missing = set(tables)
    while not window.skip("}"):
        name = str(window.value("the name of a top-level field"))
        window.expect(":", f"a colon is missing after {name!r}")
        if name in tables:
            missing.discard(name)
            window.expect("[", f"`{name}` must be an array")
            row = 0
            while not window.skip("]"):
                if window.at_end():
                    raise ValueError(f"the array `{name}` does not end: the file is cut off")
                row += 1
                yield window.element(name, row)
                window.skip(",")
        else:
            header[name] = window.value(f"the value of `{name}`")
        window.skip(",")
    if missing:
        raise ValueError(f"it has no top-level array `{min(missing)}`")


class _Window:
    """A position in a stretch of JSON text, read as it is needed."""

    def __init__(self, file: BinaryIO, start: int, end: int | None, line: int) -> None:
        self._file = file
        self._unread = start
        self._end = end
        self._base = start
        self._text = ""
        self._at = 0
        self._line = line

    def at_end(self) -> bool:
        """Whether only white space is left."""
        self._skip_space()
        return self._at == len(self._text)

    def skip(self, character: str) -> bool:
        """Steps over `character` if it comes next; says whether it did."""
        self._skip_space()
        found = self._text.startswith(character, self._at)
        self._move(self._at + found)
        return found

    def expect(self, character: str, problem: str) -> None:
        """Steps over `character`, which must come next."""
        if not self.skip(character):
            raise ValueError(f"{problem} (line {self._line}, byte {self._base + self._at})")

    def value(self, what: str) -> Any:
        """The JSON value that comes next."""
        self._skip_space()
        start = self._at
        end = self._value_end(ENTRY_BYTES)
        if end is None:
            place = f"line {self._line}, byte {self._base + start}"
            raise ValueError(f"{what} is not JSON or is cut off ({place})")
        raw = self._text[self._at : end].encode("latin-1")
        self._move(end)
        return json.loads(raw.decode("utf-8", "backslashreplace"), strict=False)

    def element(self, table: str, row: int) -> _Element:
        """The array element that comes next; if it is not JSON, what stands before the next."""
        self._skip_space()
        line = self._line
        end = self._value_end(ELEMENT_BYTES)
        if end is None:
            limit = min(len(self._text), self._at + ELEMENT_BYTES)
            following = _NEXT_ELEMENT.search(self._text, self._at, limit)
            end = following.start() + 1 if following else limit
        start = self._base + self._at
        raw = self._text[self._at : end].encode("latin-1")
        piece = Piece(start, start + len(raw), row, line)
        self._move(end)
        return _Element(table, piece, raw)

    def _value_end(self, limit: int) -> int | None:
        """Where the value that begins here ends, None if it is not JSON or longer than `limit`."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                end = None
            # A number may go on after the window; strings, arrays and objects end themselves.
            held = len(self._text) - self._at
            if (end is not None and end < len(self._text)) or held > limit or not self._read():
                return end if end is not None and end - self._at <= limit else None

    def _skip_space(self) -> None:
        while True:
            match = _SPACE.match(self._text, self._at)
            self._move(match.end() if match else self._at)
            if self._at < len(self._text) or not self._read():
                return

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _read(self) -> bool:
        wanted = max(_READ, len(self._text) - self._at)  # doubling: retries stay linear in total
        room = wanted if self._end is None else min(wanted, self._end - self._unread)
        if room <= 0:
            return False
        self._file.seek(self._unread)
        chunk = self._file.read(room)
        self._unread += len(chunk)
        self._base += self._at
        self._text = self._text[self._at :] + chunk.decode("latin-1")
        self._at = 0
        return bool(chunk)
