"""From the manifest to `raw`: one shard's annotation entries as clips, the first stage table.

Every entry is found again: as one or more clips, as a caption of one, or as an
error row that holds it as written. No video is looked for here.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, Caption, Clip, clip_id
from dj_ops_lib.errors import MALFORMED, SourceError
from dj_ops_lib.report import StageReport
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import AnnotatedClip, Entry, Malformed, MalformedEntryError
from dj_ops_lib.sources.formats.json_text import dump_object
from dj_ops_lib.sources.formats.layout import slice_digest
from dj_ops_lib.sources.manifest import (
    Manifest,
    ManifestRow,
    read_manifest,
    read_manifest_row,
    write_manifest,
)
from dj_ops_lib.sources.repeats import clip_base, error_base

if TYPE_CHECKING:
    from dj_ops_lib.warehouse import Warehouse

__all__ = ["Manifest", "ingest_shard", "write_manifest"]

VERSION = "1"
"""Raised when the same entries become other rows, whatever the dataset."""

RAW_BYTES = 64 << 10
"""Longest entry that an error row quotes in full; a longer one is quoted so far."""

_BATCH = 1000


def ingest_shard(
    warehouse: Warehouse,
    config: SourceConfig,
    shard: str,
    run_id: str = "",
    code_version: str = "",
) -> StageReport:
    """Writes one shard of `<source>/raw` from its slice of the annotation file.

    Args:
        warehouse: Where the tables are.
        config: The source.
        shard: Name of the shard, from the manifest.
        run_id: Id of the run, for the table's history.
        code_version: Version of the code, for the table's history.

    Raises:
        SourceError: There is no manifest or no such shard, or the file has changed since the
            manifest was made.
    """
    from dj_ops_lib.warehouse import OperatorUse, Provenance

    started, cpu = time.perf_counter(), time.process_time()
    line = read_manifest_row(warehouse, config, shard)
    path = config.folder / line.annotation_file
    if line.part.rows or line.part.companions:
        check_unchanged(path, line)
    counts = _Counts()
    provenance = Provenance(
        run_id=run_id,
        source=config.name,
        stage="raw",
        shard=shard,
        input_table=f"{config.name}/manifest",
        input_version=warehouse.version(f"{config.name}/manifest"),
        code_version=code_version,
        rows_in=line.part.rows,
        operators=(OperatorUse("ingest", {"dataset": config.reader.name, "file": path.name}),),
    )
    table = f"{config.name}/raw"
    if line.retired:
        rows = _of_older_layout(warehouse, config, table, shard)
    else:
        rows = rows_of(config, line, path)
    batches = _batches(counts.watch(rows))
    version = warehouse.replace_shard(
        table, shard, batches, schema=CLIP_SCHEMA, provenance=provenance
    )
    return StageReport(
        table=table,
        shard=shard,
        version=version,
        rows_in=line.part.rows,
        rows_out=counts.rows,
        kept=counts.kept,
        errors=dict(counts.errors),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
    )


def _of_older_layout(
    warehouse: Warehouse, config: SourceConfig, table: str, shard: str
) -> Iterator[dict[str, Any]]:
    """The rows of a retired shard that no shard of the manifest's layout has taken yet.

    None once all of those are made: what is left then is not in the annotation files any more.
    """
    if not warehouse.exists(table):
        return
    current = {row.shard for row in read_manifest(warehouse, config)}
    if not current <= warehouse.shards(table).keys():
        for batch in warehouse.read_shard(table, shard):
            yield from batch.to_pylist()


def check_unchanged(path: Path, line: ManifestRow) -> None:
    """Refuses a file that is not the one that was indexed; reads the shard's slice at most.

    A file that grew or shrank is refused by its size; one that only has another time stamp, say
    because it was copied, is accepted if the slice's bytes are the same.

    Raises:
        SourceError: The file is gone or has changed.
    """
    again = "materialize the manifest again, then the shards that it reports as changed"
    try:
        size = path.stat().st_size
    except OSError:
        raise SourceError(
            f"{path} is gone since the manifest was made; put it back or {again}"
        ) from None
    if size != line.file_bytes:
        raise SourceError(
            f"{path} has changed since the manifest was made: {size} bytes, then "
            f"{line.file_bytes}; {again}"
        )
    with path.open("rb") as file:
        if slice_digest(file, line.part) != line.digest:
            raise SourceError(
                f"{path} has changed since the manifest was made: bytes {line.part.start} to "
                f"{line.part.end}, which make shard {line.shard}, are not those that were "
                f"indexed; {again}"
            )


def rows_of(config: SourceConfig, line: ManifestRow, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one shard, clips and error rows, in the order of the file."""
    if not line.part.rows and not line.part.companions:
        return
    reader = config.reader
    maker = _RowMaker(config, line)
    with path.open("rb") as file:
        for entry in reader.layout.entries(file, line.part):
            yield from maker.rows(entry)


class _RowMaker:
    """Turns entries into rows; knows what came before in the source."""

    def __init__(self, config: SourceConfig, line: ManifestRow) -> None:
        self._reader = config.reader
        self._license = config.clip_license
        self._source = config.name
        self._shard = line.shard
        self._file = line.annotation_file
        self._header = line.part.header
        self._seen = collections.Counter(dict(line.earlier))
        self._told: set[str] = {base for base, _ in line.earlier}

    def rows(self, entry: Entry) -> Iterator[dict[str, Any]]:
        if entry.problem is not None:
            yield self._error(entry, Malformed(entry.problem))
            return
        try:
            parts = list(self._reader.clips(entry))
        except MalformedEntryError as error:
            parts = [Malformed(str(error))]
        for part in parts or [Malformed("the entry describes no clip")]:
            if isinstance(part, AnnotatedClip):
                yield self._clip(entry, part).to_row()
            elif part.entry is None or self._first_time(part.entry, part.part):
                yield self._error(entry, part)

    def _first_time(self, companion: Entry, part: str) -> bool:
        # Entries that are there twice share their companions, whose error is told once.
        base = error_base(self._source, self._file, companion, part)
        known = base in self._told
        self._told.add(base)
        return not known

    def _clip(self, entry: Entry, part: AnnotatedClip) -> Clip:
        key = (part.source_id, part.start_s, part.end_s)
        base = clip_base(self._source, part)
        occurrence = self._seen[base]
        self._seen[base] += 1
        return Clip(
            clip_id=clip_id(self._source, *key, occurrence=occurrence),
            source=self._source,
            shard=self._shard,
            source_id=part.source_id,
            annotation_file=self._file,
            annotation_row=entry.row,
            start_s=part.start_s,
            end_s=part.end_s,
            text=part.captions[0] if part.captions else None,
            captions=tuple(Caption(text) for text in part.captions),
            license=self._license,
            extra=dump_object(part.extra),
        )

    def _error(self, entry: Entry, part: Malformed) -> dict[str, Any]:
        wrong = part.entry or entry
        where = f"{self._file}, line {wrong.line}"
        what = f" ({wrong.table}, entry {wrong.row})" if wrong.table else ""
        clip = Clip(
            clip_id=error_base(self._source, self._file, wrong, part.part),
            source=self._source,
            shard=self._shard,
            source_id=part.source_id or self._reader.source_id(wrong, self._header),
            annotation_file=self._file,
            annotation_row=wrong.row,
            license=self._license,
            extra=dump_object(_quoted(wrong)),
        )
        error = {
            "operator": "raw",
            "class": MALFORMED,
            "message": f"{where}{what}: {part.problem}",
            "attempts": 1,
        }
        return clip.to_row() | {"keep": False, "error": error}


def _quoted(entry: Entry) -> dict[str, Any]:
    """The entry as written, for its error row: where it is and what it says."""
    place: dict[str, Any] = {"table": entry.table} if entry.table else {}
    place |= {"line": entry.line, "byte_start": entry.start, "byte_end": entry.end}
    head = entry.raw[:RAW_BYTES]
    with contextlib.suppress(UnicodeDecodeError):
        return {**place, "raw": head.decode("utf-8")}
    return {**place, "raw_base64": base64.b64encode(head).decode("ascii")}


class _Counts:
    """What went through, for the report."""

    def __init__(self) -> None:
        self.rows = 0
        self.kept = 0
        self.errors: collections.Counter[str] = collections.Counter()

    def watch(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self.rows += 1
            self.kept += row["keep"]
            if row["error"]:
                self.errors[row["error"]["class"]] += 1
            yield row


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _BATCH:
            yield pa.RecordBatch.from_pylist(waiting, schema=CLIP_SCHEMA)
            waiting = []
    if waiting:
        yield pa.RecordBatch.from_pylist(waiting, schema=CLIP_SCHEMA)
