"""Entries that a source holds more than once: what tells equal clips of two shards apart.

A clip's id follows from its video and its span, so that it stays when lines are
added elsewhere; equal entries are numbered. Within a shard ingestion counts
them itself. What came before in other shards is counted here, once for all, when
the manifest is made.
"""

from __future__ import annotations

import array
import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dj_ops_lib.clip import clip_id, entry_id
from dj_ops_lib.sources.entry import (
    AnnotatedClip,
    Entry,
    Malformed,
    MalformedEntryError,
    Slice,
)
from dj_ops_lib.sources.reader import SourceReader

Hashes = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Where the entries of one shard are."""

    path: Path
    annotation_file: str
    slice: Slice


def clip_base(source: str, clip: AnnotatedClip) -> str:
    """The id of a clip that nothing like it comes before."""
    return clip_id(source, clip.source_id, clip.start_s, clip.end_s)


def error_base(source: str, annotation_file: str, entry: Entry, part: str) -> str:
    """The id of the error row of an entry, or of a part of one."""
    file = "#".join(p for p in (annotation_file, entry.table, part) if p)
    return entry_id(source, file, entry.row)


def earlier(
    source: str, reader: SourceReader, parts: Mapping[str, Part]
) -> dict[str, dict[str, int]]:
    """How often ids of a shard's rows occur in the shards before it, by shard.

    Reads every entry once and keeps eight bytes of each; only what then seems to be in several
    shards is read again and understood.

    Args:
        source: Name of the source.
        reader: The reader of its dataset.
        parts: The shards; before is what has a smaller name, so that shards that are added later
            rename nothing.
    """
    order = sorted(parts)
    hashes = [_hashes(reader, parts[shard]) for shard in order]
    several = _in_several(hashes)
    before: collections.Counter[str] = collections.Counter()
    found: dict[str, dict[str, int]] = {}
    for shard, own in zip(order, hashes, strict=True):
        if not np.isin(own, several).any():
            continue
        counts = collections.Counter(_bases(source, reader, parts[shard], several))
        found[shard] = {base: before[base] for base in counts if before[base]}
        before += counts
    return found


def _entries(reader: SourceReader, part: Part) -> Iterator[Entry]:
    with part.path.open("rb") as file:
        yield from reader.layout.entries(file, part.slice)


def _keys(reader: SourceReader, entry: Entry) -> list[int]:
    if entry.problem is not None:
        return []
    try:
        return [hash(key) for key in reader.repeat_keys(entry)]
    except MalformedEntryError:
        return []


def _hashes(reader: SourceReader, part: Part) -> Hashes:
    """Hashes of this process of what a shard's entries are about, each once."""
    found = array.array("q")
    for entry in _entries(reader, part):
        found.extend(_keys(reader, entry))
    return np.unique(np.asarray(found, dtype=np.int64))


def _in_several(hashes: Sequence[Hashes]) -> Hashes:
    """Those that more than one shard has."""
    together = np.sort(np.concatenate([*hashes, np.empty(0, np.int64)]))
    return np.unique(together[1:][together[1:] == together[:-1]])


def _bases(source: str, reader: SourceReader, part: Part, several: Hashes) -> Iterator[str]:
    """Ids of the rows of those entries of a shard that other shards seem to have too."""
    wanted = set(several.tolist())
    told: set[str] = set()
    for entry in _entries(reader, part):
        if wanted.isdisjoint(_keys(reader, entry)):
            continue
        for made in _made(reader, entry):
            if isinstance(made, AnnotatedClip):
                yield clip_base(source, made)
            elif made.entry is not None:
                base = error_base(source, part.annotation_file, made.entry, made.part)
                if base not in told:
                    told.add(base)
                    yield base


def _made(reader: SourceReader, entry: Entry) -> list[AnnotatedClip | Malformed]:
    try:
        return list(reader.clips(entry))
    except MalformedEntryError:
        return []
