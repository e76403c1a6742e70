"""What a dataset reader is, and how readers are found.

A reader names the official files, says how they are laid out and turns one
entry into clips. To add a dataset, add one module with one subclass to this
package; its file name is the dataset's name and nothing else needs to know.
"""

from __future__ import annotations

import functools
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import ClassVar

from dj_ops_lib.clip import Clip, span_us
from dj_ops_lib.errors import SourceError
from dj_ops_lib.registry import load_class, module_names, nearest
from dj_ops_lib.sources.entry import (
    AnnotatedClip,
    Entry,
    Malformed,
    MalformedEntryError,
    OfficialEntry,
)
from dj_ops_lib.sources.formats.json_text import is_storable
from dj_ops_lib.sources.formats.layout import Layout

PACKAGE = "dj_ops_lib.sources"

_ID = re.compile(r"[^\s\"'\[\](){},\ufffd]{1,200}")
"""What a damaged entry says is its id: a piece of a caption, as where a record broke, is none."""


class SourceReader(ABC):
    """Reads the official annotation files of one dataset.

    Attributes:
        name: Name of the dataset: the file name of the module.
        annotations: Official names of its annotation files; those that exist are read.
        overlapping: Those of them that describe the same clips; only one of these is read unless a
            source's configuration names more.
        license: Licence under which its authors give the clips.
        layout: How the files are laid out.
        id_field: Field that holds the dataset's own id of the video; empty if none does.
        one_clip_per_entry: Whether an entry never describes several clips.
        version: Raised when the same file would be read otherwise; shards are then made again.
    """

    name: ClassVar[str]
    annotations: ClassVar[tuple[str, ...]]
    overlapping: ClassVar[tuple[str, ...]] = ()
    license: ClassVar[str]
    layout: ClassVar[Layout]
    id_field: ClassVar[str] = ""
    one_clip_per_entry: ClassVar[bool] = True
    version: ClassVar[str] = "1"

    @abstractmethod
    def clips(self, entry: Entry) -> Iterator[AnnotatedClip | Malformed]:
        """The clips that a readable entry describes, and what of it cannot be used.

        Raises:
            MalformedEntryError: The entry is wrong as a whole.
        """

    def repeat_keys(self, entry: Entry) -> Iterator[Hashable]:
        """What entries that describe the same clip have in common; a reader may know a cheap way.

        Raises:
            MalformedEntryError: The entry is wrong as a whole.
        """
        for clip in self.clips(entry):
            if isinstance(clip, AnnotatedClip):
                yield clip.source_id, span_us(clip.start_s, clip.end_s)

    def official(self, clips: Sequence[Clip]) -> OfficialEntry:
        """The entry that describes these clips: `clips` backwards.

        Args:
            clips: The clips of one entry, or what is left of them, in order.

        Raises:
            SourceError: The dataset's files cannot say it, or the reader cannot write.
        """
        raise SourceError(f"files of the dataset '{self.name}' cannot be written back")

    def source_id(self, entry: Entry, header: str) -> str | None:
        """The id of the video that a malformed entry is about, where it can be told.

        Args:
            entry: The entry, unreadable or not.
            header: What its file says once for all entries, as `Slice.header` has it.
        """
        if not self.id_field:
            return None
        value = entry.fields.get(self.id_field)
        if value is None and entry.problem is not None:
            value = self.layout.salvage(entry.raw, self.id_field, header)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not is_storable(value) or not _ID.fullmatch(value):
            return None
        return value

    @staticmethod
    def text(entry: Entry, field: str, *, empty: bool = True) -> str:
        """The text in `field`, byte for byte.

        Raises:
            MalformedEntryError: It is missing, no text, not Unicode, or empty where it may not be.
        """
        value = entry.fields.get(field)
        if not isinstance(value, str):
            missing = "is missing" if field not in entry.fields else f"is {value!r}, not text"
            raise MalformedEntryError(f"the field {field!r} {missing}")
        if not is_storable(value):
            raise MalformedEntryError(f"the field {field!r} holds half a surrogate pair")
        if not empty and not value.strip():
            raise MalformedEntryError(f"the field {field!r} is empty")
        return value


@functools.cache
def reader_names() -> tuple[str, ...]:
    """Names of all datasets that can be read, sorted."""
    return tuple(n for n, module in module_names(PACKAGE).items() if _defines_reader(module))


def _defines_reader(module: str) -> bool:
    members = vars(importlib.import_module(module)).values()
    classes = [c for c in members if isinstance(c, type) and c.__module__ == module]
    return any(issubclass(c, SourceReader) and c is not SourceReader for c in classes)


@functools.cache
def source_reader(name: str) -> SourceReader:
    """The reader of the dataset `name`.

    Raises:
        SourceError: There is none; the message names the nearest one.
    """
    if name not in reader_names():
        known = ", ".join(reader_names())
        close = nearest(name, reader_names())
        raise SourceError(f"there is no dataset '{name}'{close}; those that can be read: {known}")
    found = load_class(module_names(PACKAGE)[name], SourceReader)  # type: ignore[type-abstract]
    found.name = name
    return found()
