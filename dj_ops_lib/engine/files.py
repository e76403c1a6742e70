"""Plain video files without annotations, as a source of their own: what `dj run` works on."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from dj_ops_lib import settings
from dj_ops_lib.engine.file_shards import absolute, write_files
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.engine.sole_run import check_sole, name_of_run, sole_run
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.path_text import as_path
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Warehouse


def access_to(paths: Sequence[str], roots: Sequence[str] = ()) -> Access:
    """Access to the folders that hold `paths`, and to `roots`; to nothing else.

    A folder that is not there from the start is a slip in a path and no outage: then the nearest
    one above it counts.
    """
    parents = {Path(as_path(p)).absolute().parent for p in paths}
    folders = {str(next(f for f in (p, *p.parents) if f.exists())) for p in parents}
    return Access(roots=(*sorted(folders), *(str(Path(r).absolute()) for r in roots)))


def run_recipe_on_files(
    warehouse: Warehouse,
    recipe: Recipe,
    paths: Sequence[str],
    *,
    source: str = "files",
    text: str | None = None,
    options: EngineOptions | None = None,
    roots: Sequence[str] = (),
    replace: bool = False,
) -> list[StageReport]:
    """Run all stages of a recipe over video files, and render what is left if it says so.

    Args:
        warehouse: Where the tables go.
        recipe: What to do.
        paths: Video files.
        source: Name for their tables.
        text: The text that belongs to each of them.
        options: Settings of the run; their `access` is replaced by that to `paths`.
        roots: Folders and files beside theirs in which links among them may end.
        replace: Let them take the place of other files that the source's tables are about.

    Returns:
        One report a stage and shard, in the order in which they were made.

    Raises:
        SourceError: The source's tables are about other files.
        ConflictError: Another run works on the source.
    """
    access = access_to(paths, roots)
    options = dataclasses.replace(options, access=access) if options else EngineOptions(access)
    with sole_run(warehouse, source):
        return _run(warehouse, recipe, paths, source, text, options, replace)


def _run(
    warehouse: Warehouse,
    recipe: Recipe,
    paths: Sequence[str],
    source: str,
    text: str | None,
    options: EngineOptions,
    replace: bool,
) -> list[StageReport]:
    run_id, before = name_of_run(), warehouse.version(f"{source}/raw")
    shards = write_files(warehouse, source, paths, text=text, replace=replace, run_id=run_id)
    reports = [
        probe_shard(warehouse, source=source, shard=s, options=options, locate=absolute)
        for s in shards
    ]
    for stage, shard in itertools.product(recipe.stages, shards):
        check_sole(warehouse, source, run_id, before)
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
    check_sole(warehouse, source, run_id, before)
    return reports
