"""Results that no table holds yet, so that a killed run goes on, on this machine or another.

Arrow files under `_results_spool/<source>/<shard>/`, one a flush, there as a
whole or not at all. A run folds them into the table of results at its end
(`results.py`); what a killed run left, the next one of the shard takes along.
They are read without what was taken down, and a takedown rewrites them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import urllib.parse
import uuid
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.fs

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import plain_files, tombstones
from dj_ops_lib.warehouse.layout import SPOOL
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA
from dj_ops_lib.warehouse.store import Store
from dj_ops_lib.warehouse.tombstones import Tombstones

SUFFIX = ".arrow"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class SpoolFile:
    """One file: its path as the warehouse's file system takes it, and the results in it."""

    path: str
    results: pa.Table


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """Files of a shard that no table holds yet: of a run that goes on, or that was killed.

    Attributes:
        source: Name of the source.
        shard: Name of the shard.
        files: How many.
        bytes: Their size.
        newest: When the last of them was written.
    """

    source: str
    shard: str
    files: int
    bytes: int
    newest: dt.datetime


def write(store: Store, source: str, shard: str, stage: str, results: pa.Table) -> str | None:
    """Put results into a file of their own.

    Returns:
        Its path; None where all of them were taken down, and there is no file.

    Raises:
        WarehouseError: It cannot be written.
    """
    gone = tombstones.load(store)
    path = _written(store, source, shard, stage, _kept(results, gone))
    # A takedown records what it is about before it looks for files: either it finds this one, or
    # this finds its record.
    latest = tombstones.load(store, gone)
    if path is None or latest.version == gone.version:
        return path
    remove(store, [path])
    return _written(store, source, shard, stage, _kept(results, latest))


def files(store: Store, source: str, shard: str) -> list[SpoolFile]:
    """What runs of a shard left, without what was taken down; unreadable files are passed over."""
    gone = tombstones.load(store)
    found = []
    for path, _ in _listed(store, f"{_quoted(source)}/{_quoted(shard)}"):
        results = _read(store, path)
        if results is not None:
            found.append(SpoolFile(path, _kept(results, gone)))
    return found


def remove(store: Store, paths: list[str]) -> None:
    """Delete files; one that is gone already is no error."""
    filesystem, _ = store.filesystem()
    for path in paths:
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WarehouseError(f"{path} cannot be removed: {error}") from None


def knows(store: Store, stones: Tombstones) -> bool:
    """Whether a file holds a result about one of these."""
    for path, _ in _listed(store, ""):
        results = _read(store, path)
        if results is not None and stones.matches(results) is not None:
            return True
    return False


def take_down(store: Store, stones: Tombstones) -> int:
    """Remove what was taken down from all files; returns how many results went.

    A file that cannot be read goes as a whole: it cannot be shown to be free of them, and what it
    held can be measured again.
    """
    count = 0
    for path, place in list(_listed(store, "")):
        results = _read(store, path)
        kept = None if results is None else _kept(results, stones)
        if results is not None and kept is not None:
            if kept.num_rows == results.num_rows:
                continue
            count += results.num_rows - kept.num_rows
            source, shard, name = place.split("/")
            stage = name.rpartition("-")[0]
            _written(store, source, shard, stage, kept, quoted=True)
        remove(store, [path])
    return count


def waiting(store: Store) -> list[Waiting]:
    """The files that no table holds yet, by source and shard."""
    filesystem, _ = store.filesystem()
    found: dict[tuple[str, str], list[pyarrow.fs.FileInfo]] = {}
    for path, place in _listed(store, ""):
        entry = filesystem.get_file_info(path)
        if entry.type == pyarrow.fs.FileType.File:  # else folded meanwhile
            source, shard = (urllib.parse.unquote(p) for p in place.split("/")[:2])
            found.setdefault((source, shard), []).append(entry)
    return [
        Waiting(
            source,
            shard,
            files=len(entries),
            bytes=sum(e.size for e in entries),
            newest=max(e.mtime for e in entries),
        )
        for (source, shard), entries in sorted(found.items())
    ]


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _kept(results: pa.Table, gone: Tombstones) -> pa.Table:
    batches = [gone.keep(b) for b in results.to_batches()]
    return pa.Table.from_batches(batches, results.schema)


def _written(
    store: Store, source: str, shard: str, stage: str, results: pa.Table, *, quoted: bool = False
) -> str | None:
    if not results.num_rows:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, results.schema) as writer:
        writer.write_table(results)
    names = (source, shard) if quoted else (_quoted(source), _quoted(shard))
    place = "/".join((SPOOL, *names, f"{stage}-{uuid.uuid4().hex}{SUFFIX}"))
    return plain_files.write(store, place, sink.getvalue().to_pybytes())


def _listed(store: Store, folder: str) -> Iterator[tuple[str, str]]:
    """(path, `<source>/<shard>/<file>` with both quoted) of the files under a folder, sorted."""
    filesystem, root = store.filesystem()
    base = f"{root}/{SPOOL}"
    try:
        entries = filesystem.get_file_info(
            pyarrow.fs.FileSelector(
                f"{base}/{folder}".rstrip("/"), allow_not_found=True, recursive=True
            )
        )
    except OSError as error:
        raise WarehouseError(f"the results in {base} cannot be listed: {error}") from None
    for path in sorted(e.path for e in entries if e.path.endswith(SUFFIX)):
        yield path, path.removeprefix(f"{base}/")


def _read(store: Store, path: str) -> pa.Table | None:
    """The results in a file; None, and a word in the log, where it is torn or not ours."""
    filesystem, _ = store.filesystem()
    try:
        with filesystem.open_input_file(path) as file:
            found = pa.ipc.open_file(file).read_all()
    except FileNotFoundError:  # folded meanwhile by another run of the shard
        return None
    except (OSError, pa.ArrowInvalid) as error:
        _log.warning("%s is no file of results and is passed over: %s", path, error)
        return None
    if not found.schema.equals(RESULT_SCHEMA):
        _log.warning("%s holds other columns than results have and is passed over", path)
        return None
    return found
