"""Annotation files read as the pipeline reads them: indexed, then slice by slice."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import AnnotatedClip, Entry, Malformed, MalformedEntryError
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.sources.reader import source_reader
from dj_ops_lib.warehouse import Warehouse

Row = dict[str, Any]
Parsed = tuple[Entry, list[AnnotatedClip | Malformed]]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "warehouse"))


@pytest.fixture
def read_source(tmp_path: Path, warehouse: Warehouse) -> Callable[..., list[Row]]:
    """Writes a source's files, ingests all shards and returns the rows of `raw` in order."""

    def read(name: str, files: dict[str, bytes], **settings: Any) -> list[Row]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        config = SourceConfig(name=name, root=str(folder), **settings)
        manifest = write_manifest(warehouse, config)
        return list(_rows(warehouse, config, manifest.shards))

    return read


def _rows(warehouse: Warehouse, config: SourceConfig, shards: list[str]) -> Iterator[Row]:
    for shard in shards:
        ingest_shard(warehouse, config, shard)
        for batch in warehouse.read_shard(f"{config.name}/raw", shard):
            yield from batch.to_pylist()


@pytest.fixture(scope="session")
def parse() -> Callable[[str, bytes, int], list[Parsed]]:
    """All entries of a dataset's file and what its reader makes of them, slice by slice."""

    def parse(name: str, content: bytes, rows_per_shard: int) -> list[Parsed]:
        reader = source_reader(name)
        found = []
        for part in list(reader.layout.index(io.BytesIO(content), rows_per_shard)):
            count = 0
            for entry in reader.layout.entries(io.BytesIO(content), part):
                parts: list[AnnotatedClip | Malformed] = []
                if entry.problem is None:
                    try:
                        parts = list(reader.clips(entry))
                    except MalformedEntryError as error:
                        parts = [Malformed(str(error))]
                found.append((entry, parts))
                count += entry.table != "sentences"
            assert count == part.rows
        return found

    return parse
