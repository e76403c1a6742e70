"""InternVid: one clip of a YouTube video a line, as JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import ClassVar

from dj_ops_lib.clip import Clip
from dj_ops_lib.sources.entry import (
    AnnotatedClip,
    Entry,
    Malformed,
    MalformedEntryError,
    OfficialEntry,
)
from dj_ops_lib.sources.formats.json_lines import JsonLines
from dj_ops_lib.sources.formats.layout import Layout
from dj_ops_lib.sources.reader import SourceReader
from dj_ops_lib.sources.timestamps import parse_span, restore_timestamp


class InternVid(SourceReader):
    """InternVid, `{"YoutubeID", "Start_timestamp", "End_timestamp", "Caption", ...}` a line.

    Timestamps are `HH:MM:SS.fff`; the fraction may be missing. Scores, and the timestamps as
    written, go to `extra`.

    Source: Wang et al., InternVid, ICLR 2024; files of OpenGVLab/InternVid on Hugging Face.
    """

    annotations: ClassVar[tuple[str, ...]] = (
        "InternVid-10M-flt.jsonl",
        "InternVid-10M-DIV.jsonl",
        "InternVid-18M-aes.jsonl",
    )
    overlapping: ClassVar[tuple[str, ...]] = annotations  # choices from the same 234 million clips
    license: ClassVar[str] = "CC-BY-NC-SA-4.0"
    id_field: ClassVar[str] = "YoutubeID"
    layout: ClassVar[Layout] = JsonLines()

    def clips(self, entry: Entry) -> Iterator[AnnotatedClip | Malformed]:
        """One clip."""
        names = ("Start_timestamp", "End_timestamp")
        video = self.text(entry, "YoutubeID", empty=False)
        try:
            start, end = (entry.fields.get(n) for n in names)
            start_s, end_s = parse_span(start, end, names)
        except ValueError as error:
            raise MalformedEntryError(str(error)) from None
        caption = self.text(entry, "Caption")
        extra = {k: v for k, v in entry.fields.items() if k not in {"YoutubeID", "Caption"}}
        yield AnnotatedClip(video, start_s, end_s, (caption,), extra)

    def official(self, clips: Sequence[Clip]) -> OfficialEntry:
        """The line; timestamps as they were written unless the clip was cut since."""
        (clip,) = clips
        others = json.loads(clip.extra or "{}")
        start = restore_timestamp(others.pop("Start_timestamp"), clip.span.start_s, digits=2)
        end = restore_timestamp(others.pop("End_timestamp"), clip.span.end_s, digits=2)
        (caption,) = (c.text for c in clip.captions if c.kind == "given")
        fields = {
            "YoutubeID": clip.source_id,
            "Start_timestamp": start,
            "End_timestamp": end,
            "Caption": caption,
        }
        return OfficialEntry(fields | others)
