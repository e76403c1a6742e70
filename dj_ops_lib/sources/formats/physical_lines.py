"""Lines of a file with their offsets, in bounded memory however long a line is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

ENTRY_BYTES = 32 << 20
"""Longest entry read, in bytes. Panda-70M's fields pass 128 KiB; a line without an end must not
fill the memory."""

_CHUNK = 1 << 20

BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line with its line end.

    Attributes:
        number: 1-based number in the file.
        start: Offset of its first byte.
        end: Offset after its last byte.
        raw: Its bytes without a byte order mark; empty if it is longer than the limit.
        too_long: Whether it is longer than the limit.
    """

    number: int
    start: int
    end: int
    raw: bytes
    too_long: bool = False


def physical_lines(
    file: BinaryIO, start: int, end: int | None, number: int, limit: int = ENTRY_BYTES
) -> Iterator[Line]:
    """Lines from offset `start`, which is where line `number` begins, up to offset `end`.

    Args:
        file: The file, seekable.
        start: Where the first line begins.
        end: Where to stop, None for the end of the file; always an end of a line.
        number: Number of the first line.
        limit: Longest line that is kept in memory, in bytes.
    """
    file.seek(start)
    position = start
    while end is None or position < end:
        room = limit + 1 if end is None else min(limit + 1, end - position)
        raw = file.readline(room)
        if not raw:
            return
        line_end = position + len(raw)
        too_long = len(raw) > limit
        rest = raw
        while not rest.endswith(b"\n") and (end is None or line_end < end):
            rest = file.readline(_CHUNK if end is None else min(_CHUNK, end - line_end))
            if not rest:
                break
            too_long = True
            line_end += len(rest)
        kept = b"" if too_long else raw.removeprefix(BOM) if position == 0 else raw
        yield Line(number, position, line_end, kept, too_long)
        position = line_end
        number += 1
