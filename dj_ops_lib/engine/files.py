"""Plain video files without annotations, as a source of their own: what `dj run` works on."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from dj_ops_lib import settings
from dj_ops_lib.clip import CLIP_SCHEMA, Clip, clip_id
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.media.access import Access
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse

FILES_PER_SHARD = 1000


def access_to(paths: Sequence[str]) -> Access:
    """Access to the folders that hold `paths`, and to nothing else."""
    folders = {str(Path(p).absolute().parent) for p in paths}
    return Access(roots=tuple(sorted(folders)))


def absolute(path: str) -> str:
    """`path` as workers can open it, whose working directory is another one."""
    return str(Path(path).absolute())


def write_files(
    warehouse: Warehouse, source: str, paths: Sequence[str], *, text: str | None = None
) -> list[str]:
    """Write `<source>/raw` with one row a file.

    Args:
        warehouse: Where the table goes.
        source: Name of the source.
        paths: Video files; the same path may come twice.
        text: The text that belongs to each of them.

    Returns:
        The names of the shards.
    """
    seen: collections.Counter[str] = collections.Counter()
    shards = []
    for number, paths_of_shard in enumerate(_chunks(paths)):
        shard = f"{number:05d}"
        rows = []
        for path in paths_of_shard:
            identity = clip_id(source, path, None, None, occurrence=seen[path])
            rows.append(Clip(identity, source, shard, source_id=path, text=text).to_row())
            seen[path] += 1
        batch = pa.RecordBatch.from_pylist(rows, schema=CLIP_SCHEMA)
        provenance = Provenance(
            source=source,
            stage="raw",
            shard=shard,
            rows_in=len(rows),
            operators=(OperatorUse("files"),),
        )
        table = f"{source}/raw"
        warehouse.replace_shard(table, shard, [batch], schema=CLIP_SCHEMA, provenance=provenance)
        shards.append(shard)
    return shards


def _chunks(paths: Sequence[str]) -> Iterator[tuple[str, ...]]:
    remaining = iter(paths)
    while chunk := tuple(itertools.islice(remaining, FILES_PER_SHARD)):
        yield chunk


def run_recipe_on_files(
    warehouse: Warehouse,
    recipe: Recipe,
    paths: Sequence[str],
    *,
    source: str = "files",
    text: str | None = None,
    options: EngineOptions | None = None,
) -> list[StageReport]:
    """Run all stages of a recipe over video files, and render what is left if it says so.

    Args:
        warehouse: Where the tables go.
        recipe: What to do.
        paths: Video files.
        source: Name for their tables.
        text: The text that belongs to each of them.
        options: Settings of the run; their `access` is replaced by that to `paths`.

    Returns:
        One report a stage and shard, in the order in which they were made.
    """
    access = access_to(paths)
    options = dataclasses.replace(options, access=access) if options else EngineOptions(access)
    shards = write_files(warehouse, source, paths, text=text)
    reports = [
        probe_shard(warehouse, source=source, shard=s, options=options, locate=absolute)
        for s in shards
    ]
    for stage, shard in itertools.product(recipe.stages, shards):
        report = process_shard(
            warehouse, recipe, stage.name, source=source, shard=shard, options=options
        )
        reports.append(report)
    if recipe.rendering is not None:
        folder = settings.rendered_folder(source, recipe.name)
        reports += [
            render_shard(
                warehouse,
                recipe,
                source=source,
                shard=shard,
                options=options,
                folder=folder,
                rendering=recipe.rendering,
            )
            for shard in shards
        ]
    return reports
