"""From a URI to bytes: checked against the roots, sized, opened, identified.

Nothing here knows what a video is. A path is resolved (links and `..`) before
it is compared with the roots, and looked at with `stat` before it is opened: a
named pipe would block, a device would never end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from dj_ops_lib.errors import DjError, MediaError, OutageError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.path_text import as_path, as_uri

OBJECT_SCHEME = "s3://"
_BLOB_SCHEME = "lance:"


def resolve(uri: str, access: Access) -> str:
    """The checked absolute path, or URI of an object or a blob, that `uri` stands for.

    Raises:
        MediaError: `missing`, `forbidden` (another scheme, or outside the roots),
            `unsupported` (not a regular file), `corrupt` (empty) or `too_large`; `io_error`.
        OutageError: The root that it lies under is not there either, or the system fails.
    """
    if uri.startswith(OBJECT_SCHEME):
        from dj_ops_lib.media.object_store import resolve_object

        return resolve_object(uri, access)
    if uri.startswith(_BLOB_SCHEME):
        from dj_ops_lib.media.lance_blob import resolve_blob

        return resolve_blob(uri, access)
    return str(_local(uri, access))


def is_local(uri: str) -> bool:
    """Whether `uri` is a path, which other programs can open too."""
    return not uri.startswith((OBJECT_SCHEME, _BLOB_SCHEME))


def open_media(uri: str, access: Access) -> str | BinaryIO:
    """What `av.open` reads: a local path, or a seekable reader of an object's or a blob's ranges.

    Raises:
        MediaError: As for `resolve`.
    """
    if uri.startswith(OBJECT_SCHEME):
        from dj_ops_lib.media.object_store import open_object

        return open_object(uri, access)
    if uri.startswith(_BLOB_SCHEME):
        from dj_ops_lib.media.lance_blob import open_blob

        return open_blob(uri, access)
    return str(_local(uri, access))


def identify(uri: str, access: Access) -> tuple[str, int]:
    """(media_id, size in bytes) of a file: `sha256:...`, or `etag:...` of an object.

    Raises:
        MediaError: As for `resolve`.
    """
    if uri.startswith(OBJECT_SCHEME):
        from dj_ops_lib.media.object_store import identify_object

        return identify_object(uri, access)
    if uri.startswith(_BLOB_SCHEME):
        from dj_ops_lib.media.lance_blob import identify_blob

        return identify_blob(uri, access)
    path = _local(uri, access)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"sha256:{digest}", path.stat().st_size
    except OSError as error:
        raise _unreadable(uri, path, access, error) from error


def check_readable(uri: str, access: Access) -> None:
    """Look again at a file that could not be decoded, which may not be its bytes' fault.

    Raises:
        MediaError: `missing`, `forbidden` or `io_error`, and as for `resolve`.
        OutageError: As for `resolve`.
    """
    media = open_media(uri, access)
    if not isinstance(media, str):
        with media:
            media.read(1)
        return
    path = Path(media)
    try:
        with path.open("rb") as file:
            file.read(1)
            file.seek(-1, os.SEEK_END)
            file.read(1)
    except OSError as error:
        raise _unreadable(uri, path, access, error) from error


def check_roots(access: Access) -> None:
    """Look whether what media lie under is there, where one of them is not.

    Raises:
        OutageError: A root is not there, cannot be entered, or holds nothing, as the folder does
            on which nothing is mounted.
    """
    for root in access.roots:
        if root.startswith(OBJECT_SCHEME):
            from dj_ops_lib.media.object_store import check_prefix

            check_prefix(root, access)
        elif "://" not in root:
            _check_folder(Path(os.path.realpath(root)))


def _check_folder(root: Path) -> None:
    if root.is_file():  # a single file that may be read, or one that a link leads to
        return
    advice = "mount it, or correct where the media are; nothing was decided about the clips"
    try:
        with os.scandir(root) as entries:
            if any(True for _ in entries):
                return
    except OSError as error:
        message = f"the media root {as_uri(str(root))}: {error.strerror}; {advice}"
        raise OutageError(message) from None
    raise OutageError(f"the media root {as_uri(str(root))} is empty; {advice}")


def check_size(uri: str, size: int, access: Access) -> None:
    """Refuse a file that is empty or larger than the limits allow.

    Raises:
        MediaError: `corrupt` or `too_large`.
    """
    if size == 0:
        raise MediaError(f"{uri}: the file is empty", "corrupt")
    if size > access.limits.max_bytes:
        limit = access.limits.max_bytes
        raise MediaError(
            f"{uri}: {size} bytes, more than the limit of {limit} (max_bytes)", "too_large"
        )


def _local(uri: str, access: Access) -> Path:
    given = as_path(uri)
    if "\0" in given:
        raise MediaError(f"{uri!r}: a path cannot hold a zero byte", "forbidden")
    if "://" in given:
        raise MediaError(
            f"{uri}: only local paths and s3:// are read; fetch other schemes first", "forbidden"
        )
    path = Path(os.path.realpath(given))
    roots = [Path(os.path.realpath(r)) for r in access.roots if "://" not in r]
    if not any(path.is_relative_to(root) for root in roots):
        where = ", ".join(map(as_uri, access.roots)) or "none configured"
        leads = f" (leads to {as_uri(str(path))})" if str(path) != given else ""
        raise MediaError(f"{uri}{leads}: lies outside the media roots: {where}", "forbidden")
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(uri, path, access, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(
            f"{uri}: not a regular file; folders, pipes and devices are not read", "unsupported"
        )
    check_size(uri, status.st_size, access)
    return path


def _unreadable(uri: str, path: Path, access: Access, error: OSError) -> DjError:
    """What the system says of a path: a fact about it, unless its root is not there either."""
    if (outage := outage_of(error, uri)) is not None:
        return outage
    for root in access.roots:
        place = Path(os.path.realpath(root))
        if "://" not in root and place != path and path.is_relative_to(place):
            _check_folder(place)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MediaError(f"{uri}: no such file", "missing")
    refused = error.errno in {errno.EACCES, errno.EPERM}
    return MediaError(
        f"{uri}: cannot be read: {error.strerror}", "forbidden" if refused else "io_error"
    )
