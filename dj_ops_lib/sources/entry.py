"""What passes between an annotation file and a row: slices, entries, annotated clips.

Plain values only; finding entries is `formats/`, understanding them is the
readers, and turning them into rows is `ingest.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """One entry of a companion table that belongs to a slice, such as a sentence of MSR-VTT.

    Attributes:
        start: Offset of its first byte in the file.
        end: Offset after its last byte.
        row: 1-based position in its table.
        line: 1-based line of the file on which it begins.
    """

    start: int
    end: int
    row: int
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """The part of an annotation file that makes one shard.

    Attributes:
        start: Offset of the first byte of its entries.
        end: Offset after their last byte.
        first_row: 1-based number of its first entry (line, CSV record or array element).
        first_line: 1-based line of the file on which that entry begins.
        rows: How many entries it holds.
        companions: Entries of a companion table that belong to these entries.
        header: What the file says once for all entries, as JSON text: column names of a CSV,
            the other top-level fields of a JSON file.
    """

    start: int
    end: int
    first_row: int
    first_line: int
    rows: int
    companions: tuple[Piece, ...] = ()
    header: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an annotation file.

    Attributes:
        row: 1-based line, CSV record or array element.
        line: 1-based line on which it begins.
        start: Offset of its first byte in the file.
        end: Offset after its last byte.
        raw: Its bytes; empty where it is longer than any entry may be.
        fields: Its fields by official name; empty where `problem` says why.
        problem: What makes it unreadable, None if nothing does.
        table: Name of its table in a file that has several.
        companions: Entries of the companion table that belong to it.
    """

    row: int
    line: int
    start: int
    end: int
    raw: bytes
    fields: Mapping[str, Any]
    problem: str | None = None
    table: str = ""
    companions: tuple[Entry, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotatedClip:
    """A clip as a dataset describes it.

    Attributes:
        source_id: The dataset's own id of the video.
        start_s: Start in the video file in seconds, None for its beginning.
        end_s: End in the video file in seconds, None for its end.
        captions: Its captions, byte for byte; the first becomes the clip's text.
        extra: All fields that are not wholly held by the other attributes.
    """

    source_id: str
    start_s: float | None
    end_s: float | None
    captions: tuple[str, ...]
    extra: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class OfficialEntry:
    """One entry on its way back into an annotation file.

    Attributes:
        fields: Its fields by official name; None if it is written as it was read.
        raw: Its bytes, for an entry that could not be read.
        table: Name of its table in a file that has several, empty for the main one.
        companions: Fields of its entries in the companion table.
    """

    fields: Mapping[str, Any] | None
    raw: bytes = b""
    table: str = ""
    companions: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Malformed:
    """A part of an entry that is not as the dataset's format says; it becomes an error row.

    Attributes:
        problem: What is wrong, naming the field.
        source_id: The video that it is about, where that can be told.
        entry: The companion entry that is wrong, None if it is the entry itself.
        part: Which part of the entry; tells several error rows of one entry apart.
    """

    problem: str
    source_id: str | None = None
    entry: Entry | None = None
    part: str = ""


class MalformedEntryError(ValueError):
    """Raised by readers for an entry that is wrong as a whole; it becomes one error row."""
