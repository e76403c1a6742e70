"""Videos kept in a blob column of a Lance table, read by range like files.

A blob's URI is `lance:TABLE?column=NAME&row=ID`: the table's path or `s3://` URI,
the column, and the row's id (`_rowid`).
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from urllib.parse import parse_qs

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.fetch import check_size

BLOB_SCHEME = "lance:"


def blob_uri(table: str, column: str, row: int) -> str:
    """The URI of a blob."""
    return f"{BLOB_SCHEME}{table}?column={column}&row={row}"


def resolve_blob(uri: str, access: Access) -> str:
    """The URI, if its table lies under a root.

    Raises:
        MediaError: `forbidden`, or `missing` for a URI that names no column and row.
    """
    table, _, _ = _parts(uri)
    if "://" in table:
        inside = any(table.startswith(r.rstrip("/") + "/") for r in access.roots if "://" in r)
    else:
        path = Path(os.path.realpath(table))
        roots = [os.path.realpath(root) for root in access.roots if "://" not in root]
        inside = any(path.is_relative_to(root) for root in roots)
    if not inside:
        where = ", ".join(access.roots) or "none configured"
        raise MediaError(f"{uri}: lies outside the media roots: {where}", "forbidden")
    return uri


class BlobReader(io.BufferedReader):
    """A blob as a file; `state` names the data files that hold it."""

    state: str | None = None


def open_blob(uri: str, access: Access) -> BlobReader:
    """A seekable binary reader of a blob.

    Raises:
        MediaError: `forbidden`, `missing`, `corrupt` (empty) or `too_large`.
    """
    import lance

    table, column, row = _parts(resolve_blob(uri, access))
    try:
        dataset = lance.dataset(table)
        blobs = dataset.take_blobs(column, ids=[row])
    except (OSError, ValueError) as error:
        raise MediaError(f"{uri}: no such blob: {error}", "missing") from None
    if len(blobs) != 1 or blobs[0] is None:
        raise MediaError(f"{uri}: the table has no such row", "missing")
    check_size(uri, blobs[0].size(), access)
    reader = BlobReader(blobs[0], 2**20)
    # No file of a table is ever written again, and no two have one name.
    holding = dataset.get_fragment(row >> 32)
    if holding is not None:
        reader.state = "data:" + " ".join(sorted(f.path for f in holding.metadata.files))
    return reader


def identify_blob(uri: str, access: Access) -> tuple[str, int]:
    """(media_id, size in bytes): sha256 of the content.

    Raises:
        MediaError: As for `open_blob`.
    """
    with open_blob(uri, access) as blob:
        digest = hashlib.file_digest(blob, "sha256").hexdigest()
        return f"sha256:{digest}", blob.tell()


def _parts(uri: str) -> tuple[str, str, int]:
    table, _, query = uri.removeprefix(BLOB_SCHEME).partition("?")
    named = parse_qs(query)
    try:
        return table, named["column"][0], int(named["row"][0])
    except (KeyError, ValueError):
        message = f"{uri}: a blob is named lance:TABLE?column=NAME&row=ID"
        raise MediaError(message, "missing") from None
