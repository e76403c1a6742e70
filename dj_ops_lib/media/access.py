"""What may be read, and how much of it: roots, limits, identity, object store.

An `Access` travels to every worker process, so it holds plain values and no
secrets: credentials of object stores come from `AWS_*` variables.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

DEMUXERS = ("mov", "matroska", "webm", "avi", "flv", "mpegts", "mpeg", "asf", "ogg")
"""Demuxers that may read a file: none of them opens a second file that the first one names."""

VIDEO_EXTENSIONS = (
    *("mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "ts", "flv", "wmv", "3gp", "ogv"),
    *("f4v", "3g2", "asf", "m2ts", "mts", "m2t", "vob", "dvd", "ogg", "ogm", "divx", "mk3d"),
    *("mj2", "ismv", "psp"),
)
"""Extensions of the files that `DEMUXERS` read, the common ones first: those that FFmpeg gives to
these formats, without sound, pictures and manifests, and those of their other names (`divx`)."""

PROTOCOLS = ("file",)
"""Protocols that FFmpeg may use by itself; object stores are read by our own reader."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Largest video that is read at all, checked before anything is decoded.

    Attributes:
        max_bytes: Size of the file in bytes.
        max_width: Coded width in pixels.
        max_height: Coded height in pixels.
        max_duration_s: Declared duration in seconds.
        max_frames: Declared or estimated number of frames.
    """

    max_bytes: int = 64 * 2**30
    max_width: int = 8192
    max_height: int = 8192
    max_duration_s: float = 24 * 3600.0
    max_frames: int = 24 * 3600 * 60


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectStore:
    """Where `s3://` leads; None leaves it to the client's own configuration.

    Attributes:
        endpoint_url: URL of an S3-compatible server.
        region: Name of the region.
        unsigned: Read public buckets without credentials.
    """

    endpoint_url: str | None = None
    region: str | None = None
    unsigned: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """What one source's media may be read from.

    Attributes:
        roots: Folders, files and `s3://bucket/prefix` URIs that media must lie under or be.
        limits: Largest video that is read.
        identity: `sha256` reads the whole file to name it; `etag` takes the object
            store's etag and size, and still reads local files.
        object_store: Where `s3://` leads.
    """

    roots: tuple[str, ...]
    limits: Limits = Limits()
    identity: Literal["sha256", "etag"] = "sha256"
    object_store: ObjectStore = ObjectStore()
