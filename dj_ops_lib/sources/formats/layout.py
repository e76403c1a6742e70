"""The interface of a layout, and the digest by which a slice is known to be unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from dj_ops_lib.sources.entry import Entry, OfficialEntry, Slice
from dj_ops_lib.sources.formats.physical_lines import ENTRY_BYTES

_CHUNK = 1 << 20


class Layout(Protocol):
    """A way to lay out entries in a file."""

    def index(self, file: BinaryIO, rows_per_shard: int) -> Iterator[Slice]:
        """Slices of `rows_per_shard` entries each, in file order; streams the file once.

        Raises:
            ValueError: The file as a whole is not laid out like this.
        """
        ...

    def entries(self, file: BinaryIO, part: Slice) -> Iterator[Entry]:
        """The entries of one slice, in order; reads nothing outside it.

        Never raises for an entry that cannot be read: that entry says so in `problem`.
        """
        ...

    def salvage(self, raw: bytes, field: str, header: str) -> str | None:
        """What an entry that cannot be read says in one field, where that is beyond doubt.

        Args:
            raw: Its bytes.
            field: Name of the field.
            header: What its file says once for all entries, as `Slice.header` has it.
        """
        ...

    def write(self, file: BinaryIO, entries: Iterable[OfficialEntry], header: str) -> None:
        """Writes a file of these entries.

        Args:
            file: Where to.
            entries: The entries in order; those with `raw` are written as they were read.
            header: What the file says once for all entries, as `Slice.header` has it.
        """
        ...


def slice_digest(file: BinaryIO, part: Slice) -> str:
    """Hash of the bytes that make a slice; reads nothing else."""
    digest = hashlib.blake2b(digest_size=16)
    for start, end in ((part.start, part.end), *((p.start, p.end) for p in part.companions)):
        file.seek(start)
        left = end - start
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def too_long_problem(length: int) -> str:
    """What to say of an entry that is longer than any entry may be."""
    return f"the entry is {length} bytes long, the limit is {ENTRY_BYTES}"
