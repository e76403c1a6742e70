"""The manifest: which part of which annotation file makes which shard.

Indexing streams each file once. Shard names are never given to something
else: a file keeps its shards when it is indexed again, new slices get new
names at the end, and slices that are gone leave empty shards behind. Where
entries would come to lie in another shard, as with other `rows_per_shard`, all
shards get new names and the old ones are retired: see docs/adr/0022.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from dj_ops_lib.errors import SourceError
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import Piece, Slice
from dj_ops_lib.sources.formats.layout import slice_digest
from dj_ops_lib.sources.repeats import Part, earlier

if TYPE_CHECKING:
    from dj_ops_lib.warehouse import Warehouse

VERSION = "1"
"""Raised when the same files make other shards, whatever the dataset."""

_PIECE = pa.struct([(name, pa.int64()) for name in ("start", "end", "row", "line")])
_EARLIER = pa.struct([("clip_id", pa.string()), ("count", pa.int64())])

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False, metadata={"description": description})
        for name, kind, description in (
            ("shard", pa.string(), "partition that the slice makes"),
            ("annotation_file", pa.string(), "name of the official annotation file"),
            ("start", pa.int64(), "offset of the slice's first byte"),
            ("end", pa.int64(), "offset after the slice's last byte"),
            ("first_row", pa.int64(), "1-based line, CSV record or array element it begins with"),
            ("first_line", pa.int64(), "1-based line on which that begins"),
            ("rows", pa.int64(), "entries in the slice; 0: the slice is gone from the file"),
            ("companions", pa.list_(_PIECE), "where the companion table's entries are"),
            ("header", pa.string(), "what the file says once for all entries, as JSON"),
            ("digest", pa.string(), "hash of the slice's bytes"),
            ("file_bytes", pa.int64(), "size of the file when it was indexed"),
            ("file_mtime_ns", pa.int64(), "its modification time, nanoseconds since 1970"),
            ("file_sha256", pa.string(), "its SHA-256"),
            ("earlier", pa.list_(_EARLIER), "ids that shards before hold too, and how often"),
            ("retired", pa.bool_(), "of an older layout: others hold its entries, once made"),
        )
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestRow:
    """One shard's line of the manifest; attributes as in `MANIFEST_SCHEMA`."""

    shard: str
    annotation_file: str
    part: Slice
    digest: str
    file_bytes: int
    file_mtime_ns: int
    file_sha256: str
    earlier: tuple[tuple[str, int], ...] = ()
    retired: bool = False

    def to_row(self) -> dict[str, Any]:
        """The table row, as a dict."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "part"}
        row["earlier"] = [{"clip_id": base, "count": count} for base, count in self.earlier]
        return row | dataclasses.asdict(self.part)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> ManifestRow:
        """The line stored in a table row."""
        names = [f.name for f in dataclasses.fields(Slice)]
        part = {n: row[n] for n in names} | {
            "companions": tuple(Piece(**p) for p in row["companions"])
        }
        own = [
            f.name for f in dataclasses.fields(cls) if f.name not in {"part", "earlier", "retired"}
        ]
        earlier = tuple((e["clip_id"], e["count"]) for e in row.get("earlier") or ())
        retired = bool(row.get("retired"))  # a manifest from before it knew of layouts has none
        return cls(part=Slice(**part), earlier=earlier, retired=retired, **{n: row[n] for n in own})


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """What indexing found.

    Attributes:
        shards: Names of all shards, those of gone slices included.
        files: SHA-256 of each annotation file, by name.
        rows: Entries in each shard, by name.
        changed: Shards that are new, or whose bytes, or what comes before of the same clips, differ
            from the manifest before.
        version: Version of the manifest's table.
        retired: Shards of older layouts.
    """

    shards: list[str]
    files: dict[str, str]
    rows: dict[str, int]
    changed: list[str]
    version: int
    retired: list[str] = dataclasses.field(default_factory=list)

    @property
    def file_sha256(self) -> str:
        """SHA-256 of the annotation file; of the names and hashes of all, if there are several."""
        if len(self.files) == 1:
            return next(iter(self.files.values()))
        listing = "".join(f"{sha256}  {name}\n" for name, sha256 in self.files.items())
        return hashlib.sha256(listing.encode()).hexdigest()


class _Hashed:
    """The part of a binary file that layouts use, hashing what is read in sequence."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self._hashed = 0
        self._sha256 = hashlib.sha256()

    def seek(self, offset: int) -> int:
        self._at = offset
        return self._file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        return self._count(self._file.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._count(self._file.readline(size))

    def _count(self, chunk: bytes) -> bytes:
        new = self._at + len(chunk) - self._hashed
        if self._at <= self._hashed and new > 0:
            self._sha256.update(chunk[-new:])
            self._hashed += new
        self._at += len(chunk)
        return chunk

    def sha256(self) -> str:
        """SHA-256 of the whole file; reads what nobody has read yet."""
        self.seek(self._hashed)
        while self.read(1 << 20):
            pass
        return self._sha256.hexdigest()


def index_file(path: Path, name: str, config: SourceConfig) -> tuple[list[ManifestRow], str]:
    """The slices of one annotation file, without shard names, and its SHA-256; one pass.

    Raises:
        SourceError: The file is not in the dataset's format at all.
    """
    status = path.stat()
    with path.open("rb") as file, path.open("rb") as again:
        hashed = _Hashed(file)
        try:
            slices = config.reader.layout.index(hashed, config.rows_per_shard)  # type: ignore[arg-type]
            digests = [(part, slice_digest(again, part)) for part in slices]
        except ValueError as error:
            raise SourceError(
                f"{path}: {error}; it must be the official file of {config.reader.name}, complete"
            ) from None
        sha256 = hashed.sha256()
    facts = (status.st_size, status.st_mtime_ns, sha256)
    return [ManifestRow("", name, part, digest, *facts) for part, digest in digests], sha256


def number_shards(old: Iterable[ManifestRow], new: Iterable[ManifestRow]) -> list[ManifestRow]:
    """`new` with shard names: the old ones, file by file and in order, then new ones at the end.

    Old shards without a slice any more follow as empty ones. If an entry of any of them would come
    to lie in another shard, all names are new and the old ones retired.
    """
    before, slices = sorted(old, key=lambda r: r.shard), list(new)
    numbered = _numbered(before, slices)
    if _entries_move(before, numbered):
        retired = [dataclasses.replace(row, retired=True) for row in before]
        numbered = _numbered(retired, slices)
    return numbered


def _numbered(old: Sequence[ManifestRow], new: Iterable[ManifestRow]) -> list[ManifestRow]:
    names: dict[str, list[str]] = {}
    gone: dict[str, ManifestRow] = {}
    for row in old:
        if not row.retired:
            names.setdefault(row.annotation_file, []).append(row.shard)
        gone[row.shard] = row
    following = len(gone)
    numbered: list[ManifestRow] = []
    for row in new:
        kept = names.get(row.annotation_file)
        if kept:
            shard = kept.pop(0)
            del gone[shard]
        else:
            shard, following = f"{following:05d}", following + 1
        numbered.append(dataclasses.replace(row, shard=shard))
    empty = Slice(0, 0, 1, 1, 0)
    numbered += [
        dataclasses.replace(row, part=empty, digest="", earlier=()) for row in gone.values()
    ]
    return sorted(numbered, key=lambda r: r.shard)


def _entries_move(old: Sequence[ManifestRow], new: Sequence[ManifestRow]) -> bool:
    """Whether a shard has entries, by their number in the file, that another one held before."""
    slices: dict[str, list[tuple[int, int, str]]] = {}
    for row in new:
        if row.part.rows:
            begin = row.part.first_row
            slices.setdefault(row.annotation_file, []).append(
                (begin, begin + row.part.rows, row.shard)
            )
    for of_file in slices.values():
        of_file.sort()
    for row in old:
        begin, end = row.part.first_row, row.part.first_row + row.part.rows
        of_file = slices.get(row.annotation_file, [])
        first = max(0, bisect.bisect_right(of_file, begin, key=lambda s: s[0]) - 1)
        last = bisect.bisect_left(of_file, end, key=lambda s: s[0])
        if any(s[1] > begin and s[2] != row.shard for s in of_file[first:last]):
            return True
    return False


def write_manifest(warehouse: Warehouse, config: SourceConfig, run_id: str = "") -> Manifest:
    """Indexes the source's annotation files into `<source>/manifest`.

    Args:
        warehouse: Where the table is.
        config: The source.
        run_id: Id of the run, for the table's history.

    Raises:
        SourceError: An annotation file is missing or is not in its official format.
    """
    from dj_ops_lib.warehouse import Provenance

    table = f"{config.name}/manifest"
    old = list(_rows(warehouse, table)) if warehouse.exists(table) else []
    paths = config.annotation_paths()
    indexed = {name: index_file(path, name, config) for name, path in paths.items()}
    rows = number_shards(old, [row for found, _ in indexed.values() for row in found])
    rows = _with_earlier(config, rows, paths)
    known = {row.shard: (row.digest, row.earlier) for row in old}
    batch = pa.RecordBatch.from_pylist([row.to_row() for row in rows], schema=MANIFEST_SCHEMA)
    provenance = Provenance(
        run_id=run_id,
        source=config.name,
        stage="manifest",
        rows_in=sum(row.part.rows for row in rows),
        rows_out=len(rows),
    )
    version = warehouse.overwrite(table, [batch], schema=MANIFEST_SCHEMA, provenance=provenance)
    return Manifest(
        shards=[row.shard for row in rows],
        files={name: sha256 for name, (_, sha256) in indexed.items()},
        rows={row.shard: row.part.rows for row in rows},
        changed=[
            row.shard
            for row in rows
            if known.get(row.shard) != (row.digest, row.earlier) and not row.retired
        ],
        version=version,
        retired=[row.shard for row in rows if row.retired],
    )


def _with_earlier(
    config: SourceConfig, rows: Sequence[ManifestRow], paths: Mapping[str, Path]
) -> list[ManifestRow]:
    """The lines, with what shards before theirs hold of the same clips."""
    parts = {
        row.shard: Part(paths[row.annotation_file], row.annotation_file, row.part)
        for row in rows
        if row.part.rows or row.part.companions
    }
    found = earlier(config.name, config.reader, parts)
    return [
        dataclasses.replace(row, earlier=tuple(sorted(found.get(row.shard, {}).items())))
        for row in rows
    ]


def read_manifest(warehouse: Warehouse, config: SourceConfig) -> list[ManifestRow]:
    """All lines of the manifest, without those of slices that are gone.

    Raises:
        SourceError: There is no manifest.
    """
    table = _table(warehouse, config)
    rows = _rows(warehouse, table)
    return [row for row in rows if row.part.rows or row.part.companions]


def read_manifest_row(warehouse: Warehouse, config: SourceConfig, shard: str) -> ManifestRow:
    """The shard's line of the manifest.

    Raises:
        SourceError: There is no manifest, or no such shard in it.
    """
    table = _table(warehouse, config)
    for row in _rows(warehouse, table, shard):
        return row
    raise SourceError(f"the manifest of '{config.name}' has no shard {shard!r}; see {table}")


def _table(warehouse: Warehouse, config: SourceConfig) -> str:
    table = f"{config.name}/manifest"
    if not warehouse.exists(table):
        raise SourceError(f"source '{config.name}' has no manifest yet; materialize {table} first")
    return table


def _rows(warehouse: Warehouse, table: str, shard: str | None = None) -> Iterator[ManifestRow]:
    read = warehouse.scan(table) if shard is None else warehouse.read_shard(table, shard)
    for batch in read:
        yield from (ManifestRow.from_row(row) for row in batch.to_pylist())
