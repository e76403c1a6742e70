"""InternVid: one clip of a YouTube video a line, as JSONL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from dj_ops_lib.sources.entry import AnnotatedClip, Entry, Malformed, MalformedEntryError
from dj_ops_lib.sources.formats.json_lines import JsonLines
from dj_ops_lib.sources.formats.layout import Layout
from dj_ops_lib.sources.reader import SourceReader
from dj_ops_lib.sources.timestamps import parse_span


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
    license: ClassVar[str] = "CC-BY-NC-SA-4.0"
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
