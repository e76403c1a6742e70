"""Local paths as text that any table holds, and back.

A file name is bytes; where they are not UTF-8, the path is written as a `file://` URI with those
bytes in percent signs, since no column and no terminal takes them as they are.
"""

from __future__ import annotations

import os
import urllib.parse

FILE_SCHEME = "file://"


def as_uri(path: str) -> str:
    """`path` itself, or the `file://` URI of its absolute form if it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        absolute = os.fsencode(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
        return FILE_SCHEME + urllib.parse.quote_from_bytes(absolute)
    return path


def as_path(uri: str) -> str:
    """The path that `as_uri` made text of, as the functions of `os` take it."""
    if not uri.startswith(FILE_SCHEME + "/"):
        return uri
    return os.fsdecode(urllib.parse.unquote_to_bytes(uri.removeprefix(FILE_SCHEME)))
