"""Rendered files as the warehouse sees them: which of them a table still has a use for.

Files are found by name, which is the signature of what is in them, in folders
and object stores alike. Not here: making them (`media/render.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.fs

from dj_ops_lib.rendering import SCRATCH, signature_in
from dj_ops_lib.warehouse import tombstones
from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.store import Store
from dj_ops_lib.warehouse.versions import tags

_NAME = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{8})?\.mp4")
URI = "rendered_uri"


@dataclasses.dataclass(frozen=True, slots=True)
class Pruning:
    """Rendered files that no table names.

    Attributes:
        folder: Where they were looked for, at any depth.
        files: Their paths, sorted.
        size: Their bytes.
        removed: Whether they were removed.
    """

    folder: str
    files: tuple[str, ...]
    size: int
    removed: bool


def remove(store: Store, folders: Sequence[str], signatures: set[str]) -> list[str]:
    """Remove the files of clips that are gone, made or in the making.

    A file stays where a clip that stays has the same one.

    Args:
        store: The warehouse.
        folders: Where files are, at any depth, local or `s3://`.
        signatures: Those of the clips that are gone.

    Returns:
        The paths of what was removed, sorted.
    """
    gone = signatures - _still_used(store, signatures)
    removed = []
    for folder in folders if gone else ():
        for filesystem, entry in _entries(store, folder):
            if signature_in(entry.base_name) not in gone:
                continue
            if entry.type == pyarrow.fs.FileType.File:
                _delete(filesystem, entry.path)
                removed.append(entry.path)
            elif PurePosixPath(entry.path).parent.name == SCRATCH:
                # A process that lives still writes there; it removes what this leaves.
                shutil.rmtree(entry.path, ignore_errors=True)
                removed.append(entry.path)
    return sorted(removed)


def taken_down(store: Store, clips: pa.Table) -> set[str]:
    """See `Warehouse.taken_down`."""
    mask = tombstones.load(store).matches(clips)
    if mask is None:
        return set()
    gone = set(clips.filter(mask).column("signature").drop_null().to_pylist())
    return gone - _still_used(store, gone)


def prune(store: Store, folder: str, *, older_than: dt.timedelta, delete: bool) -> Pruning:
    """See `Warehouse.prune_files`."""
    named = _named(store)
    latest = dt.datetime.now(dt.UTC) - older_than
    files, size = [], 0
    for filesystem, entry in list(_entries(store, folder)):
        if (
            entry.type == pyarrow.fs.FileType.File
            and _NAME.fullmatch(entry.base_name)
            and entry.base_name not in named
            and entry.mtime < latest
        ):
            files.append(entry.path)
            size += entry.size
            if delete:
                _delete(filesystem, entry.path)
    return Pruning(folder, tuple(sorted(files)), size, delete)


def _entries(store: Store, folder: str) -> Iterator[tuple[Any, Any]]:
    filesystem, root = Store(folder.rstrip("/"), store.options).filesystem()
    listing = pyarrow.fs.FileSelector(root, allow_not_found=True, recursive=True)
    for entry in filesystem.get_file_info(listing):
        yield filesystem, entry


def _delete(filesystem: Any, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        filesystem.delete_file(path)


def _named(store: Store) -> set[str]:
    """Names of the files that a table names, in its latest or a tagged version."""
    named: set[str] = set()
    for table in store.tables():
        for version in (None, *(t.version for t in tags(store, table))):
            dataset = store.open(table, version)
            if URI in dataset.schema.names:
                for batch in dataset.scanner(columns=[URI]).to_batches():
                    uris = batch.column(URI).drop_null().to_pylist()
                    named.update(uri.rpartition("/")[2] for uri in uris)
    return named


def _still_used(store: Store, signatures: set[str]) -> set[str]:
    used: set[str] = set()
    for table in store.tables():
        dataset = store.open(table)
        if signatures and "signature" in dataset.schema.names:
            where = f"signature IN ({', '.join(map(literal, sorted(signatures)))})"
            for batch in dataset.scanner(columns=["signature"], filter=where).to_batches():
                used.update(batch.column("signature").to_pylist())
    return used
