"""What an exception of the system, of Lance or of an object store means, in one line.

Which of them are the world's (a full disk, a mount that is gone, a store that
refuses), and what to do about each. Not here: what belongs to one clip
(`media/`), and how a line is shown (`cli/`).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from dj_ops_lib.errors import DjError, OutageError

_FULL = "free space there, or choose another place"
_MOUNT = "mount it again and start the run again; it goes on where it was"
_OUTAGES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`)",
    errno.EROFS: "mount it writable, or choose another place",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.ENFILE: "raise the system's limit on open files",
    errno.ESTALE: _MOUNT,
    errno.ENOTCONN: _MOUNT,
    errno.EHOSTDOWN: _MOUNT,
    errno.EHOSTUNREACH: _MOUNT,
    errno.ENETDOWN: _MOUNT,
    errno.ENETUNREACH: _MOUNT,
}
"""What the system says of a device, a mount or this process, never of one file; what to do."""

_ADVICE = {
    errno.EACCES: "give this user the right to it, or choose another place",
    errno.EPERM: "give this user the right to it, or choose another place",
    errno.EIO: "look at the disk or the mount; `dmesg` may say more",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file",
    errno.ENOENT: "give a path that exists",
    errno.EEXIST: "a file is in the way; move it, or choose another place",
    errno.ECONNREFUSED: "start the server, or correct its address",
}
_LANCE_STORE = (
    (
        "builder error",
        "the store is asked over plain http, which AWS_ALLOW_HTTP=true allows; else give an "
        "https:// endpoint (AWS_ENDPOINT)",
    ),
    ("NoSuchBucket", "create the bucket, or correct its name"),
    ("InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", "correct AWS_SECRET_ACCESS_KEY"),
    ("CredentialsNotLoaded", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    ("get AWS credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
    ("ExpiredToken", "renew the credentials"),
    ("AccessDenied", "give these credentials the right to it"),
    ("403 Forbidden", "give these credentials the right to it"),
    ("error sending request", "is the endpoint (AWS_ENDPOINT) right, and does the store answer?"),
    ("NETWORK_CONNECTION", "is the endpoint (AWS_ENDPOINT) right, and does the store answer?"),
    ("operation timed out", "is the endpoint (AWS_ENDPOINT) right, and does the store answer?"),
)
"""What Lance's and Arrow's texts hold, since they have no other mark; what to do."""

_TORN = (
    "failed to fill whole buffer",
    "range end index",
    "Not found: ",
    "magic",
    "unexpected end",
    "out of range",
    "file size is too small",
)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_RUST_PLACES = re.compile(r",? ?/[\w./\-]+\.rs:\d+:\d+")
_WRAPPERS = re.compile(r"(LanceError\(\w+\): |External error: |Generic \S+ error: )+")
_LONGEST = 600


def outage_of(error: BaseException, at: str = "") -> OutageError | None:
    """The outage that an exception, or what caused it, tells of; None if it tells of none.

    Args:
        error: What was raised.
        at: The path or URI that was worked on, for exceptions that name none.
    """
    for link in _chain(error):
        if isinstance(link, OutageError):
            return link
        number = errno_of(link)
        if number in _OUTAGES:
            return OutageError(f"{_named(link, at)}{os.strerror(number)}; {_OUTAGES[number]}")
        if _is_lances(link) and (advice := _store_advice(str(link))):
            return OutageError(f"{_named(link, at)}{_plain(link)}; {advice}")
    return None


def explain(error: BaseException, at: str = "") -> DjError | None:
    """An error of this project that says in a line what an exception means, and what to do.

    None for an exception that is neither the system's, nor a store's, nor Lance's: those are
    faults of this program.
    """
    if isinstance(error, DjError):
        return error
    if (outage := outage_of(error, at)) is not None:
        return outage
    number = errno_of(error)
    if number:
        advice = _ADVICE.get(number)
        return DjError(_named(error, at) + os.strerror(number) + (f"; {advice}" if advice else ""))
    if _is_lances(error):
        text = _plain(error)
        torn = any(mark in text for mark in _TORN)
        advice = (
            "; a file of it is damaged or gone: make an older version current (`dj table history` "
            "lists them, `dj table restore TABLE VERSION`), then run again"
        )
        return DjError(f"{_named(error, at)}cannot be read or written: {text}{advice * torn}")
    if isinstance(error, OSError):
        return DjError(f"{_named(error, at)}{_plain(error)}")
    return None


def errno_of(error: BaseException) -> int:
    """The system's number of an error, also of one that Lance tells in words; 0 if none."""
    if _is_ffmpegs(error):
        # FFmpeg's demuxers say EIO, and other small numbers, of damaged files, too.
        number = getattr(error, "errno", None) or 0
        return number if number in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG} else 0
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _OS_ERROR.search(str(error)) if _is_lances(error) else None
    return int(found[1]) if found else 0


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(10):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _is_ffmpegs(error: BaseException) -> bool:
    return type(error).__module__.startswith("av.")


def _is_lances(error: BaseException) -> bool:
    text = str(error)
    return "LanceError" in text or "AWS Error" in text or "lance-io" in text


def _store_advice(text: str) -> str:
    return next((advice for mark, advice in _LANCE_STORE if mark in text), "")


def _named(error: BaseException, at: str) -> str:
    name = getattr(error, "filename", None) or at
    return f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) and name else ""


def _plain(error: BaseException) -> str:
    """The text without the places in Lance's source code, on one line."""
    text = _RUST_PLACES.sub("", str(error))
    text = " ".join(_WRAPPERS.sub("", text).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
