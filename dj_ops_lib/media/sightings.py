"""Whether a file is still the one that the `media` stage described.

What is known of a clip is kept under its content, so nothing may be measured or
rendered of other bytes that lie under the same name. Size and modification
time, or etag, are compared whenever a clip's file is opened: of a local file,
before and after it is read; of an object, before, and with each range that is
asked for (`object_store.py`). Times move without the bytes, as when a data set
is copied to another disk: then the content tells, hashed once a file, state and
process. Not here: naming content (`fetch.identify`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import Access


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """What a file looked like, without reading it.

    Attributes:
        size: Bytes.
        state: `mtime:` and nanoseconds, `etag:` and an object's etag, or `data:` and the names of
            the data files that hold a blob; None where nothing tells.
    """

    size: int
    state: str | None


def sight(media: str | BinaryIO) -> Sighting:
    """What an opened file looks like; `media` is what `fetch.open_media` gives."""
    if isinstance(media, str):
        status = Path(media).stat()
        return Sighting(status.st_size, f"mtime:{status.st_mtime_ns}")
    size: int = getattr(media, "size", None) or media.seek(0, os.SEEK_END)
    media.seek(0)
    return Sighting(size, getattr(media, "state", None))


def look(uri: str, access: Access) -> Sighting:
    """What a file looks like now.

    Raises:
        MediaError: As `fetch.open_media`.
    """
    media = fetch.open_media(uri, access)
    if isinstance(media, str):
        return sight(media)
    with media:
        return sight(media)


def check(clip: Clip, access: Access) -> None:
    """Refuse a file that is not what the clip's row tells of it.

    Raises:
        MediaError: `changed`, or as `fetch.open_media`.
    """
    _compare(clip, look(str(clip.video_uri), access), access)


@contextlib.contextmanager
def unchanged(media: str | BinaryIO, clip: Clip, access: Access) -> Iterator[None]:
    """Hold what is opened against the clip's row, and a local file again when it has been read.

    Raises:
        MediaError: `changed`, whatever else was found in it.
    """
    before = sight(media)
    _compare(clip, before, access)
    try:
        yield
    except Exception as error:
        if _moved(media, before):
            raise _changed(clip, "it was written while it was read") from error
        raise
    if _moved(media, before):
        raise _changed(clip, "it was written while it was read")


def _moved(media: str | BinaryIO, before: Sighting) -> bool:
    if not isinstance(media, str):
        return False
    try:
        return sight(media) != before
    except FileNotFoundError:  # what was open stays readable
        return False


def _compare(clip: Clip, now: Sighting, access: Access) -> None:
    if clip.media_bytes is None:  # nobody has looked at it before
        return
    if now.size != clip.media_bytes:
        raise _changed(clip, f"it had {clip.media_bytes} bytes, and has {now.size}")
    if clip.media_state in {None, now.state}:
        return
    if clip.media_id is None or _content(str(clip.video_uri), now, access) != clip.media_id:
        raise _changed(clip, f"{clip.media_state} then, {now.state} now, and other bytes")


@functools.lru_cache(maxsize=4096)
def _content(uri: str, now: Sighting, access: Access) -> str:
    """The identity of a file's content; `now` is a part of the cache's key."""
    return fetch.identify(uri, access)[0]


def _changed(clip: Clip, how: str) -> MediaError:
    message = f"{clip.video_uri}: changed since media: {how}; make the shard of `media` again"
    return MediaError(message, "changed")
