"""MSR-VTT: 10,000 clips with twenty sentences each, in the official two-table JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from typing import ClassVar

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import SourceError
from dj_ops_lib.sources.entry import (
    AnnotatedClip,
    Entry,
    Malformed,
    MalformedEntryError,
    OfficialEntry,
)
from dj_ops_lib.sources.formats.json_tables import JsonTables
from dj_ops_lib.sources.formats.layout import Layout
from dj_ops_lib.sources.reader import SourceReader


class MsrVtt(SourceReader):
    """MSR-VTT, `{"info": ..., "videos": [...], "sentences": [...]}`.

    An entry of `videos` is one clip and all sentences with its `video_id` are its captions, in
    file order. The video files are already cut to `start time` and `end time`, which refer to
    the original on YouTube, so the clip is the whole file and the times go to `extra`, like
    everything else; there `sentences` holds the other fields of the sentences, in the order of
    the captions. A sentence that cannot be read, or that names no video, is an error row.

    Source: Xu et al., MSR-VTT, CVPR 2016.
    """

    annotations: ClassVar[tuple[str, ...]] = (
        "train_val_videodatainfo.json",
        "test_videodatainfo.json",
    )
    license: ClassVar[str] = "MSR-VTT terms: non-commercial research"
    id_field: ClassVar[str] = "video_id"
    layout: ClassVar[Layout] = JsonTables("videos", "sentences", "video_id", order="sen_id")

    def clips(self, entry: Entry) -> Iterator[AnnotatedClip | Malformed]:
        """One clip with its sentences as captions."""
        video = self.text(entry, "video_id", empty=False)
        if "sentences" in entry.fields:
            raise MalformedEntryError("a video has no field 'sentences' in the official format")
        captions: list[str] = []
        others: list[dict[str, object]] = []
        for sentence in entry.companions:
            try:
                captions.append(self.text(sentence, "caption"))
            except MalformedEntryError as error:
                yield Malformed(str(error), video, sentence)
                continue
            used = {"caption", "video_id"}
            others.append({k: v for k, v in sentence.fields.items() if k not in used})
        extra = {k: v for k, v in entry.fields.items() if k != "video_id"}
        yield AnnotatedClip(video, None, None, tuple(captions), extra | {"sentences": others})

    def repeat_keys(self, entry: Entry) -> Iterator[Hashable]:
        """The video, which is the clip."""
        yield self.text(entry, self.id_field, empty=False)

    def official(self, clips: Sequence[Clip]) -> OfficialEntry:
        """The entry of `videos` and its sentences.

        Raises:
            SourceError: The clip is a piece of its file, which MSR-VTT's files cannot say.
        """
        (clip,) = clips
        if clip.parent_id or clip.start_s or (clip.end_s and clip.end_s != clip.duration_s):
            raise SourceError(
                f"clip {clip.clip_id} is a piece of {clip.source_id}; MSR-VTT's annotations are "
                "about whole files, so write back `raw` or `media`, or render the pieces first"
            )
        fields = json.loads(clip.extra or "{}")
        others = fields.pop("sentences")
        given = [caption.text for caption in clip.captions if caption.kind == "given"]
        sentences = [
            {"caption": text, "video_id": clip.source_id, **other}
            for text, other in zip(given, others, strict=True)
        ]
        video = {"video_id": clip.source_id, **fields}
        return OfficialEntry(video, companions=tuple(sentences))
