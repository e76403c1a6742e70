"""Which video file belongs to which shard of a source without annotations: its `raw` table.

A file keeps the shard that it has for as long as it is there, since what was
measured is found shard by shard. Not here: what is made of the shards
(`files.py`).
"""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, clip_id
from dj_ops_lib.errors import SourceError
from dj_ops_lib.media.path_text import FILE_SCHEME, as_path, as_uri
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse

FILES_PER_SHARD = 1000


def absolute(uri: str) -> str:
    """A file as workers can open it, whose working directory is another one."""
    return uri if uri.startswith(FILE_SCHEME) else str(Path(uri).absolute())


def folders(warehouse: Warehouse, source: str) -> list[str]:
    """The folders of the files that a source without annotations holds, sorted.

    Whoever named the files allowed to read there; what an annotation file names did not.
    """
    table = f"{source}/media"
    if not warehouse.exists(table):
        return []
    where = "annotation_file IS NULL AND video_uri IS NOT NULL"
    uris = (
        row["video_uri"]
        for batch in warehouse.scan(table, columns=["video_uri"], where=where)
        for row in batch.to_pylist()
    )
    return sorted({str(Path(as_path(uri)).parent) for uri in uris if "s3://" not in uri})


def write_files(
    warehouse: Warehouse,
    source: str,
    paths: Sequence[str],
    *,
    text: str | None = None,
    replace: bool = False,
    run_id: str = "",
) -> list[str]:
    """Make `<source>/raw` hold one row a file, of these files and no others.

    Files that the table knows stay in their shards, new ones fill the last shard and then new
    ones, and files that are not there any more leave.

    Args:
        warehouse: Where the table is.
        source: Name of the source.
        paths: Video files; the same path may come twice.
        text: The text that belongs to each of them.
        replace: Let them take the place of other files that are still there.
        run_id: Id of the run, for the table's history.

    Returns:
        The names of all shards, of those that are empty now too.

    Raises:
        SourceError: The table is about an annotated dataset, or about other files.
    """
    files = _identified(source, [as_uri(p) for p in paths])
    table = f"{source}/raw"
    known = _known(warehouse, source) if warehouse.exists(table) else {}
    if not replace:
        _check_about(source, warehouse, known, files)
    names = warehouse.shards(table) if known or warehouse.exists(table) else {}
    shards = _placed(files, known, names)
    for shard, own in shards.items():
        rows = [
            Clip(identity, source, shard, source_id=files[identity], text=text).to_row()
            for identity in own
        ]
        batches = [pa.RecordBatch.from_pylist(rows, schema=CLIP_SCHEMA)] if rows else []
        provenance = Provenance(
            run_id=run_id,
            source=source,
            stage="raw",
            shard=shard,
            rows_in=len(rows),
            operators=(OperatorUse("files"),),
        )
        warehouse.replace_shard(table, shard, batches, schema=CLIP_SCHEMA, provenance=provenance)
    return list(shards)


def _identified(source: str, uris: Sequence[str]) -> dict[str, str]:
    """The files by the ids of their clips, in order; a file that comes twice has two."""
    seen: collections.Counter[str] = collections.Counter()
    found = {}
    for uri in uris:
        found[clip_id(source, uri, None, None, occurrence=seen[uri])] = uri
        seen[uri] += 1
    return found


def _known(warehouse: Warehouse, source: str) -> dict[str, tuple[str, str]]:
    """(shard, file) of every clip that the table knows.

    Raises:
        SourceError: Its clips come from annotation files.
    """
    columns = ["clip_id", "shard", "source_id", "annotation_file"]
    found = {}
    for batch in warehouse.scan(f"{source}/raw", columns=columns):
        for row in batch.to_pylist():
            if row["annotation_file"] is not None:
                raise SourceError(
                    f"the tables of '{source}' in {warehouse.uri} hold the clips of "
                    f"{row['annotation_file']}; give the videos a source of their own with "
                    "--source NAME"
                )
            found[row["clip_id"]] = (row["shard"], row["source_id"])
    return found


def _check_about(
    source: str,
    warehouse: Warehouse,
    known: Mapping[str, tuple[str, str]],
    files: Mapping[str, str],
) -> None:
    """Refuse to put files in the place of others, unless those are gone from their folders."""
    others = [uri for identity, (_, uri) in known.items() if identity not in files]
    there = [uri for uri in others if os.path.lexists(as_path(uri))]
    folders = {str(Path(as_path(uri)).parent) for _, uri in known.values()}
    elsewhere = folders.isdisjoint(str(Path(as_path(uri)).parent) for uri in files.values())
    if there or (known and elsewhere):
        example, count = min(there or others), len(there or others)
        raise SourceError(
            f"the tables of '{source}' in {warehouse.uri} are about other videos: {count} of them, "
            f"such as {example}, are not among the {len(files)} given; give these a source of "
            "their own with --source NAME, give all, or let these take their place with --replace"
        )


def _placed(
    files: Mapping[str, str], known: Mapping[str, tuple[str, str]], names: Mapping[str, int]
) -> dict[str, list[str]]:
    """The clips of every shard."""
    shards: dict[str, list[str]] = {name: [] for name in sorted(names)}
    new = []
    for identity in files:
        if identity in known:
            shards[known[identity][0]].append(identity)
        else:
            new.append(identity)
    last = max(shards, default=f"{0:05d}")
    for identity in new:
        if len(shards.setdefault(last, [])) == FILES_PER_SHARD:
            last = f"{len(shards):05d}"
            shards[last] = []
        shards[last].append(identity)
    return shards
