"""The row: one clip, virtual until it is rendered.

Here: the columns that every stage table shares, the ids and the content
signature, and the typed view of a row that operators receive. Not here:
columns that single operators add (they declare those themselves) and
anything that opens a file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dj_ops_lib.histograms import FRAME_RATE, PIXELS, SECONDS, Edges, field_metadata

EDIT = pa.struct([("stream", pa.string()), ("filter", pa.string()), ("arguments", pa.string())])
CAPTION = pa.struct(
    [(k, pa.string()) for k in ("text", "kind", "model", "revision", "prompt", "operator")]
)
ERROR = pa.struct(
    [
        ("operator", pa.string()),
        ("class", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int32()),
    ]
)


def _column(
    name: str,
    kind: pa.DataType,
    description: str,
    *,
    nullable: bool = True,
    unit: str | None = None,
    plot: Edges | None = None,
) -> pa.Field:
    metadata = {"description": description, **field_metadata(plot, unit)}
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


CLIP_SCHEMA = pa.schema(
    [
        _column("clip_id", pa.string(), "stable id of the clip", nullable=False),
        _column("source", pa.string(), "dataset the clip comes from", nullable=False),
        _column("shard", pa.string(), "partition the clip belongs to", nullable=False),
        _column("source_id", pa.string(), "the dataset's own id of the video"),
        _column("parent_id", pa.string(), "clip_id of the clip that this one was cut from"),
        _column("annotation_file", pa.string(), "name of the official annotation file"),
        _column("annotation_row", pa.int64(), "1-based line, CSV record or JSON array entry in it"),
        _column("video_uri", pa.string(), "path or URI of the video file"),
        _column("media_id", pa.string(), "content identity of the file: sha256:... or etag:..."),
        _column("media_bytes", pa.int64(), "size of the file in bytes"),
        _column("media_state", pa.string(), "the file's mtime:... or etag:... when it was read"),
        _column(
            "availability",
            pa.string(),
            "ok, missing, forbidden, io_error, changed, corrupt, unsupported or too_large",
        ),
        _column("start_s", pa.float64(), "start in the file in seconds; null: its beginning"),
        _column("end_s", pa.float64(), "end in the file in seconds, exclusive; null: its end"),
        _column("edits", pa.list_(EDIT), "filter-graph nodes applied when decoding or rendering"),
        _column("signature", pa.string(), "hash of file content, span and edits"),
        _column(
            "width",
            pa.int32(),
            "display width in pixels after rotation, SAR and edits",
            unit="px",
            plot=PIXELS,
        ),
        _column(
            "height",
            pa.int32(),
            "display height in pixels after rotation, SAR and edits",
            unit="px",
            plot=PIXELS,
        ),
        _column(
            "fps",
            pa.float64(),
            "average frame rate in frames per second",
            unit="1/s",
            plot=FRAME_RATE,
        ),
        _column("num_frames", pa.int64(), "frames of a whole file, declared or counted; else null"),
        _column("estimated_frames", pa.int64(), "duration times average frame rate; at least 1"),
        _column(
            "duration_s",
            pa.float64(),
            "duration of the clip, of a file to the end of its last picture",
            unit="s",
            plot=SECONDS,
        ),
        _column("container", pa.string(), "demuxer that reads the file, as FFmpeg names it"),
        _column("video_codec", pa.string(), "video codec, as FFmpeg names it"),
        _column("pixel_format", pa.string(), "pixel format, as FFmpeg names it"),
        _column("bit_depth", pa.int32(), "bits of a colour component, by the pixel format"),
        _column(
            "field_order",
            pa.string(),
            "progressive, or fields coded and shown first: tt, bb, tb, bt",
        ),
        _column("color_transfer", pa.string(), "transfer function, as FFmpeg names it"),
        _column("color_primaries", pa.string(), "colour primaries, as FFmpeg names them"),
        _column("color_space", pa.string(), "matrix of luma and chroma, as FFmpeg names it"),
        _column("color_range", pa.string(), "tv (limited) or pc (full)"),
        _column("rotation", pa.int32(), "display rotation in degrees clockwise: 0, 90, 180, 270"),
        _column("sample_aspect_ratio", pa.string(), "sample aspect ratio, such as 1:1"),
        _column("bit_rate", pa.int64(), "bit rate of the file in bits per second"),
        _column("has_audio", pa.bool_(), "whether the file has an audio stream"),
        _column("audio_codec", pa.string(), "audio codec, as FFmpeg names it"),
        _column("sample_rate", pa.int32(), "audio sample rate in Hz"),
        _column("audio_channels", pa.int32(), "number of audio channels"),
        _column("text", pa.string(), "the dataset's text for the clip"),
        _column("captions", pa.list_(CAPTION), "all captions, given and generated"),
        _column("tags", pa.list_(pa.string()), "labels"),
        _column("license", pa.string(), "licence under which the dataset gives the clip"),
        _column("extra", pa.string(), "the dataset's other fields, untouched, as a JSON object"),
        _column("keep", pa.bool_(), "whether the clip goes on to the next stage", nullable=False),
        _column("rejected_by", pa.string(), "operator that rejected the clip"),
        _column("error", ERROR, "why the clip could not be processed"),
    ]
)
"""Columns of every stage table, in order. Operators append theirs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Part of a clip, in seconds from the beginning of the **file**, end exclusive."""

    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """One node of a filter graph.

    Attributes:
        filter: FFmpeg's name of the filter, such as `scale`.
        arguments: Its named options, values as FFmpeg reads them.
        stream: `video` or `audio`.
    """

    filter: str
    arguments: tuple[tuple[str, str], ...] = ()
    stream: str = "video"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Edit:
        """The edit stored as one element of an `edits` column."""
        return cls(row["filter"], tuple(json.loads(row["arguments"]).items()), row["stream"])

    def to_row(self) -> dict[str, str]:
        """This edit as one element of an `edits` column."""
        arguments = json.dumps(dict(self.arguments), ensure_ascii=False)
        return {"stream": self.stream, "filter": self.filter, "arguments": arguments}


@dataclasses.dataclass(frozen=True, slots=True)
class Caption:
    """One caption and where it comes from; `kind` is `given`, or what an operator says."""

    text: str
    kind: str = "given"
    model: str | None = None
    revision: str | None = None
    prompt: str | None = None
    operator: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """Typed view of one row. Attributes are the columns of `CLIP_SCHEMA`.

    `columns` holds the rest of the row: what earlier operators added.
    """

    clip_id: str
    source: str
    shard: str
    source_id: str | None = None
    parent_id: str | None = None
    annotation_file: str | None = None
    annotation_row: int | None = None
    video_uri: str | None = None
    media_id: str | None = None
    media_bytes: int | None = None
    media_state: str | None = None
    availability: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    edits: tuple[Edit, ...] = ()
    signature: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    num_frames: int | None = None
    estimated_frames: int | None = None
    duration_s: float | None = None
    container: str | None = None
    video_codec: str | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    field_order: str | None = None
    color_transfer: str | None = None
    color_primaries: str | None = None
    color_space: str | None = None
    color_range: str | None = None
    rotation: int | None = None
    sample_aspect_ratio: str | None = None
    bit_rate: int | None = None
    has_audio: bool | None = None
    audio_codec: str | None = None
    sample_rate: int | None = None
    audio_channels: int | None = None
    text: str | None = None
    captions: tuple[Caption, ...] = ()
    tags: tuple[str, ...] = ()
    license: str | None = None
    extra: str | None = None
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def span(self) -> Span:
        """The clip's place in its file; needs the header facts of the media stage."""
        start = self.start_s or 0.0
        if self.end_s is not None:
            return Span(start, self.end_s)
        if self.duration_s is None:
            raise ValueError(f"clip {self.clip_id}: the span is unknown before its file is probed")
        return Span(start, start + self.duration_s)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Clip:
        """The clip stored in a row of a stage table (a dict, as `to_pylist` gives)."""
        values: dict[str, Any] = {name: row.get(name) for name in _PLAIN}
        return cls(
            **values,
            edits=tuple(Edit.from_row(e) for e in row.get("edits") or ()),
            captions=tuple(Caption(**c) for c in row.get("captions") or ()),
            tags=tuple(row.get("tags") or ()),
            columns={k: v for k, v in row.items() if k not in _SHARED},
        )

    def to_row(self) -> dict[str, Any]:
        """The row for this clip: kept, not rejected, no error."""
        row: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        row["edits"] = [e.to_row() for e in self.edits]
        row["captions"] = [dataclasses.asdict(c) for c in self.captions]
        row["tags"] = list(self.tags)
        row |= {"keep": True, "rejected_by": None, "error": None}
        return row | dict(self.columns)


_SHARED = frozenset(CLIP_SCHEMA.names)
_PLAIN = tuple(
    f.name
    for f in dataclasses.fields(Clip)
    if f.name not in {"edits", "captions", "tags", "columns"}
)


def digest(*parts: object) -> str:
    """128-bit hash of a sequence of JSON values, as 32 hex digits; the same on every machine."""
    encoded = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(encoded.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)


def span_us(start_s: float | None, end_s: float | None) -> tuple[int | None, int | None]:
    """A span as ids tell it, in microseconds."""
    return _microseconds(start_s), _microseconds(end_s)


def clip_id(
    source: str, source_id: str, start_s: float | None, end_s: float | None, occurrence: int = 0
) -> str:
    """Id of an annotated clip.

    Args:
        source: Name of the dataset.
        source_id: The dataset's own id of the video.
        start_s: Start in the file in seconds, None for its beginning.
        end_s: End in the file in seconds, None for its end.
        occurrence: How many entries with the same id and span come before in the source.
    """
    span = span_us(start_s, end_s)
    return digest("clip", source, source_id, span, *([occurrence] if occurrence else []))


def entry_id(source: str, annotation_file: str, annotation_row: int) -> str:
    """Id of the error row for an annotation entry that names no clip."""
    return digest("entry", source, annotation_file, annotation_row)


def child_id(parent_id: str, span: Span) -> str:
    """Id of the clip cut from `parent_id` at `span`."""
    return digest("child", parent_id, _microseconds(span.start_s), _microseconds(span.end_s))


def signature(
    media_id: str, start_s: float | None, end_s: float | None, edits: Sequence[Edit]
) -> str:
    """Path signature: the same content and operations give the same name everywhere."""
    nodes = [[e.stream, e.filter, [list(a) for a in e.arguments]] for e in edits]
    return digest("signature", media_id, _microseconds(start_s), _microseconds(end_s), nodes)
