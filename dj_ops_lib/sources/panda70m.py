"""Panda-70M: one video a CSV record, its clips in list-valued columns."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from dj_ops_lib.clip import Clip
from dj_ops_lib.sources.entry import (
    AnnotatedClip,
    Entry,
    Malformed,
    MalformedEntryError,
    OfficialEntry,
)
from dj_ops_lib.sources.formats.csv_records import CsvRecords
from dj_ops_lib.sources.formats.json_text import is_storable
from dj_ops_lib.sources.formats.layout import Layout
from dj_ops_lib.sources.formats.list_literals import Unreadable, parse_list
from dj_ops_lib.sources.reader import SourceReader
from dj_ops_lib.sources.timestamps import parse_span, restore_timestamp

LITERAL_CHARACTERS = 4 << 20
"""Longest list-valued field that is parsed. Python's parser takes some fifty times the text in
memory, and a video with 3,000 clips has about 0.3 million characters of captions."""

_NAMES = ("timestamp", "caption")
_SPAN = ("the start of 'timestamp'", "the end of 'timestamp'")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_PARALLEL = (
    "timestamp",
    "caption",
    "matching_score",
    "desirable_filtering",
    "shot_boundary_detection",
)


class Panda70M(SourceReader):
    """Panda-70M, columns `videoID,url,timestamp,caption,matching_score` and those added later.

    A record becomes as many clips as it has timestamps. The list-valued columns are parallel, so
    each clip's `extra` holds its own element of each, with the timestamp as written, and the
    columns that are one value for the video. Where the lists differ in length nobody can say
    which element is missing, and a caption on the wrong clip is worse than none: the whole
    record becomes one error row that names the lengths and holds the record as written. A
    single unusable timestamp, caption or score costs its own clip only; a score that is no number
    (`nan`) is kept as the word that JSON readers know (`NaN`).

    Source: Chen et al., Panda-70M, CVPR 2024; files of snap-research/Panda-70M.
    """

    annotations: ClassVar[tuple[str, ...]] = (
        "panda70m_training_full.csv",
        "panda70m_training_10m.csv",
        "panda70m_training_2m.csv",
        "panda70m_validation.csv",
        "panda70m_testing.csv",
    )
    overlapping: ClassVar[tuple[str, ...]] = annotations[:3]  # each is a part of the one before
    license: ClassVar[str] = "Snap Panda-70M licence: non-commercial research"
    id_field: ClassVar[str] = "videoID"
    layout: ClassVar[Layout] = CsvRecords()
    one_clip_per_entry: ClassVar[bool] = False

    def clips(self, entry: Entry) -> Iterator[AnnotatedClip | Malformed]:
        """One clip for each timestamp."""
        video = self.text(entry, "videoID", empty=False)
        lists = {name: _list(entry, name) for name in _PARALLEL if name in entry.fields}
        for name in _NAMES:
            if name not in lists:
                raise MalformedEntryError(f"the column {name!r} is missing")
        lengths = {name: len(values) for name, values in lists.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise MalformedEntryError(f"the lists differ in length ({told}), so no clip is certain")
        shared = {k: v for k, v in entry.fields.items() if k not in {"videoID", *_PARALLEL}}
        for i in range(lengths["timestamp"]):
            own = {name: values[i] for name, values in lists.items()}
            try:
                yield _clip(video, own, shared)
            except ValueError as error:
                yield Malformed(f"clip {i + 1}: {error}", video, part=str(i))

    def repeat_keys(self, entry: Entry) -> Iterator[Hashable]:
        """The video: a repeated one is rare, and its lists are long."""
        yield self.text(entry, self.id_field, empty=False)

    def official(self, clips: Sequence[Clip]) -> OfficialEntry:
        """The record of these clips; timestamps as written unless a clip was cut since."""
        columns: dict[str, list[Any]] = {}
        shared: dict[str, Any] = {"videoID": clips[0].source_id}
        for clip in clips:
            own = json.loads(clip.extra or "{}")
            shared |= {k: v for k, v in own.items() if k not in _PARALLEL}
            start, end = own["timestamp"]
            own["timestamp"] = [
                restore_timestamp(start, clip.span.start_s),
                restore_timestamp(end, clip.span.end_s),
            ]
            (own["caption"],) = (c.text for c in clip.captions if c.kind == "given")
            if own.get("matching_score") in _NOT_FINITE:
                own["matching_score"] = float(own["matching_score"])
            for name in _PARALLEL:
                if name in own:
                    columns.setdefault(name, []).append(own[name])
        return OfficialEntry(shared | {name: repr(values) for name, values in columns.items()})


def _clip(video: str, own: Mapping[str, Any], shared: Mapping[str, Any]) -> AnnotatedClip:
    for name, value in own.items():
        if isinstance(value, Unreadable):
            raise ValueError(f"{name!r} holds {value.problem}")
    pair, caption = own["timestamp"], own["caption"]
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"'timestamp' {str(pair)[:60]!r} is not a pair of start and end")
    start_s, end_s = parse_span(pair[0], pair[1], _SPAN)
    if not isinstance(caption, str) or not is_storable(caption):
        raise ValueError(f"'caption' {ascii(caption)[:60]} is not text")
    extra = {**shared, **{k: v for k, v in own.items() if k != "caption"}}
    return AnnotatedClip(video, start_s, end_s, (caption,), extra)


def _list(entry: Entry, name: str) -> list[Any]:
    """The list that column `name` holds as a Python literal; nothing in it is executed."""
    text = entry.fields[name]
    if len(text) > LITERAL_CHARACTERS:
        limit = f"the limit is {LITERAL_CHARACTERS}"
        raise MalformedEntryError(f"the column {name!r} has {len(text)} characters, {limit}")
    try:
        return parse_list(text)
    except ValueError as error:
        raise MalformedEntryError(f"the column {name!r} {error}") from None
