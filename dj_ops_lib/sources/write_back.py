"""Rows of a source's table back into its official annotation files, without loss.

What is written holds the same entries with the same values; entries that could
not be read are written as they stood. Which video files go with them is not
looked at.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import SourceError
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import OfficialEntry
from dj_ops_lib.sources.manifest import read_manifest
from dj_ops_lib.sources.reader import SourceReader

if TYPE_CHECKING:
    from dj_ops_lib.warehouse import Warehouse

Row = Mapping[str, Any]


def write_back(
    warehouse: Warehouse,
    config: SourceConfig,
    table: str,
    folder: Path,
    where: str | None = None,
    version: int | None = None,
) -> dict[str, Path]:
    """Writes the official files of a source from one of its tables.

    Args:
        warehouse: Where the table is.
        config: The source.
        table: Name of the table, such as `msr_vtt/raw` or `internvid/t2v/deduplicated`.
        folder: Where the files go, under their official names; made if needed.
        where: Condition on the rows, such as `keep`; None for all.
        version: Version of the table; None for the latest.

    Returns:
        The files by name.

    Raises:
        SourceError: The folder is the source's own, a row cannot be said in the official format,
            or an unreadable entry was too long to be held in its error row.
    """
    if folder.resolve() == config.folder.resolve():
        raise SourceError(f"{folder} holds the files that were read; write to another folder")
    folder.mkdir(parents=True, exist_ok=True)
    done = warehouse.shards(table)
    lines = [line for line in read_manifest(warehouse, config) if line.shard in done]
    lines.sort(key=lambda line: (line.annotation_file, line.part.first_row))
    written: dict[str, Path] = {}
    for name, of_file in itertools.groupby(lines, key=lambda line: line.annotation_file):
        parts = list(of_file)
        rows = (
            row
            for line in parts
            for batch in warehouse.read_shard(table, line.shard, where=where, version=version)
            for row in batch.to_pylist()
        )
        path = written[name] = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            entries = official_entries(config.reader, rows)
            config.reader.layout.write(file, entries, parts[-1].part.header)
    return written


def official_entries(reader: SourceReader, rows: Iterable[Row]) -> Iterator[OfficialEntry]:
    """The entries that rows of one annotation file, in the order of the file, came from."""
    for _, group in itertools.groupby(rows, key=_entry_of):
        own = list(group)
        unreadable = [row for row in own if _is_malformed(row)]
        if unreadable:
            yield _as_it_stood(unreadable[0])
        elif reader.one_clip_per_entry:
            yield from (reader.official([Clip.from_row(row)]) for row in own)
        else:
            yield reader.official([Clip.from_row(row) for row in own])


def _entry_of(row: Row) -> Sequence[object]:
    quoted = json.loads(row["extra"] or "{}") if _is_malformed(row) else {}
    return quoted.get("table", ""), row["annotation_row"]


def _is_malformed(row: Row) -> bool:
    return bool(row["error"]) and row["error"]["operator"] == "raw"


def _as_it_stood(row: Row) -> OfficialEntry:
    quoted = json.loads(row["extra"])
    raw = quoted["raw"].encode() if "raw" in quoted else base64.b64decode(quoted["raw_base64"])
    if len(raw) < quoted["byte_end"] - quoted["byte_start"]:
        raise SourceError(
            f"{row['annotation_file']}, line {quoted['line']}: the entry is unreadable and too "
            "long to be kept in its row; leave it out with where='keep', or copy bytes "
            f"{quoted['byte_start']} to {quoted['byte_end']} from the original"
        )
    return OfficialEntry(None, raw, quoted.get("table", ""))
