"""Rendered files as the warehouse sees them: which of them a table still has a use for.

Files are found by name, which is the signature of what is in them, in folders
and object stores alike. Not here: making them (`media/render.py`), the record
of those that were made (`files_made.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.fs

from dj_ops_lib.rendering import SCRATCH, signature_in
from dj_ops_lib.warehouse import tombstones
from dj_ops_lib.warehouse.files_made import recorded
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
        strangers: Files with such names that this warehouse has no record of: they are left alone.
    """

    folder: str
    files: tuple[str, ...]
    size: int
    removed: bool
    strangers: int = 0


@dataclasses.dataclass(slots=True)
class Removal:
    """What a takedown did to files.

    Attributes:
        removed: Paths of files, and of folders in which one was being made.
        left: Likewise, with the reason why it is still there.
    """

    removed: list[str] = dataclasses.field(default_factory=list)
    left: list[str] = dataclasses.field(default_factory=list)


def remove(
    store: Store, folders: Iterable[str], signatures: set[str], uris: Iterable[str] = ()
) -> Removal:
    """Remove the files of clips that are gone, made or in the making.

    A file stays where a clip that stays has the same one.

    Args:
        store: The warehouse.
        folders: Where files are, at any depth, local or `s3://`.
        signatures: Those of the clips that are gone.
        uris: Files that are known to be theirs; other files beside them are looked at, too.
    """
    gone = signatures - _still_used(store, signatures)
    done = Removal()
    beside = {uri.rpartition("/")[0] for uri in uris if signature_in(_name(uri)) in gone}
    places = [(f, True) for f in dict.fromkeys(folders)] if gone else []
    for folder in sorted(beside):
        places += [(folder, False), (f"{folder}/{SCRATCH}", True)]
    seen: set[str] = set()
    for folder, recursive in places:
        try:
            entries = list(_entries(store, folder, recursive=recursive))
        except OSError as error:
            done.left.append(f"{folder} (cannot be listed: {error})")
            continue
        for filesystem, entry in entries:
            if entry.path not in seen and signature_in(entry.base_name) in gone:
                seen.add(entry.path)
                _remove(filesystem, entry, done)
    return Removal(sorted(done.removed), sorted(done.left))


def _remove(filesystem: Any, entry: Any, done: Removal) -> None:
    path = entry.path
    try:
        if entry.type == pyarrow.fs.FileType.File:
            _delete(filesystem, path)
        elif PurePosixPath(path).parent.name == SCRATCH:
            # A process that lives still writes there; it removes what this leaves.
            shutil.rmtree(path)
        else:
            return
    except FileNotFoundError:
        pass  # a file in it was renamed, or its maker removed it, meanwhile
    except OSError as error:
        done.left.append(f"{path} ({error.strerror or error})")
        return
    if PurePosixPath(path).parent.name == SCRATCH and Path(path).exists():
        done.left.append(f"{path} (a file is being made in it; its maker removes it)")
        return
    done.removed.append(path)


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def taken_down(store: Store, clips: pa.Table) -> set[str]:
    """See `Warehouse.taken_down`."""
    mask = tombstones.load(store).matches(clips)
    if mask is None:
        return set()
    gone = set(clips.filter(mask).column("signature").drop_null().to_pylist())
    return gone - _still_used(store, gone)


def prune(store: Store, folder: str, *, older_than: dt.timedelta, delete: bool) -> Pruning:
    """See `Warehouse.prune_files`."""
    named, ours = named_files(store), recorded(store)
    scheme = f"{folder.partition('://')[0]}://" if "://" in folder else ""
    if not scheme:
        folder = str(Path(folder).absolute())
    latest = dt.datetime.now(dt.UTC) - older_than
    files, size, strangers = [], 0, 0
    for filesystem, entry in list(_entries(store, folder)):
        if entry.type != pyarrow.fs.FileType.File or not _NAME.fullmatch(entry.base_name):
            continue
        uri = f"{scheme}{entry.path}"
        if uri in named or entry.mtime >= latest:
            continue
        if uri not in ours:
            strangers += 1
        else:
            files.append(entry.path)
            size += entry.size
            if delete:
                _delete(filesystem, entry.path)
    return Pruning(folder, tuple(sorted(files)), size, delete, strangers)


def _entries(store: Store, folder: str, *, recursive: bool = True) -> Iterator[tuple[Any, Any]]:
    filesystem, root = Store(folder.rstrip("/"), store.options).filesystem()
    listing = pyarrow.fs.FileSelector(root, allow_not_found=True, recursive=recursive)
    for entry in filesystem.get_file_info(listing):
        yield filesystem, entry


def _delete(filesystem: Any, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        filesystem.delete_file(path)


def named_files(store: Store, *, besides: str | None = None) -> set[str]:
    """URIs of the files that a table names, in its latest or a tagged version.

    Args:
        store: The warehouse.
        besides: A table that does not count.
    """
    named: set[str] = set()
    for table in store.tables():
        if table == besides:
            continue
        for version in (None, *(t.version for t in tags(store, table))):
            dataset = store.open(table, version)
            if URI in dataset.schema.names:
                for batch in dataset.scanner(columns=[URI]).to_batches():
                    uris = batch.column(URI).drop_null().to_pylist()
                    named.update(uris)
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
