"""A clip as a file: cut and edited once, at the end.

Copied where that is exact or asked for and the pictures are stored in the one form of
all files (`conventions`), else encoded once by the ffmpeg program, with the same
chain of filters that decoding applies. A file is named
by the clip's signature, written under another name and renamed, so what has a
clip's name is whole, and a clip that is there is not made again.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Literal

from dj_ops_lib.clip import Clip
from dj_ops_lib.clip import signature as signature_of
from dj_ops_lib.errors import PATH_CLASSES, MediaError, OutageError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.media.container import main_video, open_container
from dj_ops_lib.media.conventions import check_labels, stored
from dj_ops_lib.media.cutting import Place, copy, place
from dj_ops_lib.media.destination import destination
from dj_ops_lib.media.encoding import encode_command, is_plain, span
from dj_ops_lib.media.ffmpeg import die_with_parent
from dj_ops_lib.media.probe import frame_rate
from dj_ops_lib.media.scratch import scratch_folder
from dj_ops_lib.media.sightings import unchanged
from dj_ops_lib.media.window import fetch_window
from dj_ops_lib.rendering import Rendering


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A clip's file.

    Attributes:
        uri: Its path or `s3://` URI.
        size: Its bytes.
        how: What was done for it this time.
    """

    uri: str
    size: int
    how: Literal["found", "copied", "encoded"]


def render(
    clip: Clip,
    folder: Path | str,
    access: Access,
    options: Rendering | None = None,
    store: ObjectStore | None = None,
) -> Rendered:
    """Make a clip's file, unless it is there.

    One that is there is looked at first, since anybody may have put it there or cut it off: it must
    hold the clip's pictures, every one.

    Args:
        clip: The clip.
        folder: Where files go, a folder or `s3://bucket/prefix`; made if missing.
        access: What may be read.
        options: How to cut and encode.
        store: Where the `s3://` of `folder` leads; None: the environment says.

    Raises:
        MediaError: The clip cannot be read or encoded; nothing is left behind.
        OutageError: The place does not take the file, or no video can be read.
        DjError: There is no ffmpeg program.
    """
    if clip.video_uri is None:
        raise MediaError(f"clip {clip.clip_id}: no video file is known for it", "missing")
    options = options or Rendering()
    place_of_files = destination(str(folder), store or ObjectStore())
    signature = _signature(clip, access)
    name = options.name(signature)
    for found in place_of_files.find([name]).values():
        if _is_whole(found.uri, clip, access, options, store):
            return Rendered(found.uri, found.size, "found")
    with scratch_folder(place_of_files.scratch, signature) as scratch:
        try:
            made = scratch / "clip.mp4"
            how = _make(clip, made, access, options)
            stored = place_of_files.put(made, name)
        except (OSError, MediaError, OutageError):
            if scratch.exists() or not place_of_files.is_there():
                raise
            message = f"clip {clip.clip_id}: the folder in which it was made has been removed"
            raise MediaError(f"{message}, as a takedown does", "missing") from None
    return Rendered(stored.uri, stored.size, how)


def _make(
    clip: Clip, target: Path, access: Access, options: Rendering
) -> Literal["copied", "encoded"]:
    """Cut a clip of a file, or of what is fetched of an object, into an MP4."""
    uri, zero = str(clip.video_uri), None
    if fetch.is_local(uri):
        with unchanged(str(fetch.resolve(uri, access)), clip, access):
            return _cut(clip, uri, zero, target, access, options)
    local = target.with_name("media")
    try:
        zero = _local_copy(clip, access, local)
        # Time stamps make a part of a video look longer than it is.
        limits = dataclasses.replace(access.limits, max_duration_s=math.inf, max_frames=sys.maxsize)
        access = dataclasses.replace(access, roots=(str(local.parent),), limits=limits)
        return _cut(clip, str(local), zero, target, access, options)
    except MediaError as error:
        raise MediaError(str(error).replace(str(local), uri), error.error_class) from error


def _cut(
    clip: Clip,
    uri: str,
    zero: Fraction | None,
    target: Path,
    access: Access,
    options: Rendering,
) -> Literal["copied", "encoded"]:
    start_us, end_us = span(clip)
    where = place(uri, start_us, end_us, access, zero)
    pictures = stored(uri, access)
    as_they_are = pictures.is_plain or options.pictures == "as_stored"
    copied = where.copyable and as_they_are and not clip.edits
    if copied and (where.exact or options.cut == "copy"):
        copy(uri, target, start_us if where.exact else where.key_us, end_us, access, where)
        if not where.exact or _frames(target, access) == where.frames:
            return "copied"
    _encode(clip, uri, target, where, access, options)
    check_labels(target, uri, pictures, access, plain=is_plain(clip, options))
    return "encoded"


def _is_whole(
    made: str, clip: Clip, access: Access, options: Rendering, store: ObjectStore | None
) -> bool:
    """Whether a file of the clip's name that nobody told of holds the clip's pictures.

    How many those are a local video tells. Of one that is far, or gone, only the length is known,
    which may be a picture more or less.
    """
    rights = Access(
        (made.rpartition("/")[0],),
        dataclasses.replace(access.limits, max_duration_s=math.inf, max_frames=sys.maxsize),
        object_store=store or ObjectStore(),
    )
    try:
        pictures = place(made, 0, None, rights).frames
        with open_container(made, rights) as container:
            rate = float(frame_rate(main_video(container, made)))
    except MediaError as error:
        if error.error_class in PATH_CLASSES:
            raise
        return False
    wanted, slack = _pictures_of(clip, access), 0
    if wanted is None:
        length = clip.duration_s if clip.end_s is None else clip.end_s - (clip.start_s or 0.0)
        wanted, slack = (pictures, 0) if length is None else (round(length * rate), 1)
    if options.cut == "copy" and not clip.edits:  # it may begin at the key frame before
        return pictures >= wanted - slack
    return abs(pictures - wanted) <= slack


def _pictures_of(clip: Clip, access: Access) -> int | None:
    """How many pictures a clip of a local video has; None where that cannot be read cheaply."""
    uri = str(clip.video_uri)
    if not fetch.is_local(uri):
        return None
    try:
        return place(uri, *span(clip), access).frames
    except MediaError as error:
        if error.error_class in PATH_CLASSES:
            return None
        raise


def _signature(clip: Clip, access: Access) -> str:
    if clip.signature:
        return clip.signature
    assert clip.video_uri is not None
    media_id = clip.media_id or fetch.identify(clip.video_uri, access)[0]
    return signature_of(media_id, clip.start_s, clip.end_s, clip.edits)


def _local_copy(clip: Clip, access: Access, target: Path) -> Fraction | None:
    """Fetch what a clip needs of an object, or all of it where that is not exact.

    Returns:
        The time stamp of the video's beginning in the file, if that begins later.
    """
    uri = str(clip.video_uri)
    zero = fetch_window(uri, target, *span(clip), access, clip)
    if zero is None:
        media = fetch.open_media(uri, access)
        assert not isinstance(media, str)
        with media, unchanged(media, clip, access), target.open("wb") as file:
            shutil.copyfileobj(media, file, 2**20)
    return zero


def _encode(
    clip: Clip, uri: str, target: Path, where: Place, access: Access, options: Rendering
) -> None:
    command = encode_command(clip, uri, target, where, access, options)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=options.deadline_s,
            check=False,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        message = f"{uri}: encoding took more than {options.deadline_s} s"
        raise MediaError(message, "timeout") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    for number in _DISKS:
        if any(os.strerror(number) in line for line in said):
            error = OSError(number, os.strerror(number), str(target.parent.parent))
            raise outage_of(error) or error
    if done.returncode != 0:
        raise MediaError(f"{uri}: ffmpeg fails: {' | '.join(said[-3:])}", "decode_error")
    frames = _frames(target, access)
    if frames != where.frames:
        # ffmpeg calls it a success when it skips what it cannot decode.
        raise MediaError(
            f"{uri}: {frames} of the clip's {where.frames} pictures were encoded: "
            f"{' | '.join(said[-3:])}",
            "decode_error",
        )


_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""What ffmpeg says in the system's words only where it writes."""


def _frames(made: Path, access: Access) -> int:
    """Pictures of a file that was made."""
    rights = dataclasses.replace(access, roots=(str(made.parent),))
    return place(str(made), 0, None, rights).frames
