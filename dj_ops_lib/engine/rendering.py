"""The `rendered` stage: the kept clips of a recipe's last stage, each as a file of its own.

A file is named by what is in it, so the folder is the memory of what is done:
a clip whose file is there costs a look at the folder, and a killed run goes on
with the clips whose files are missing. A takedown sees the files that have
their names when it looks; those that get them later are removed here. Not
here: how one file is made (`media/render.py`).
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, digest
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.known_results import ERROR_TYPE, KnownResults
from dj_ops_lib.engine.making import Making
from dj_ops_lib.engine.measuring import NOT_THE_CLIPS_FAULT, Measurement, Outcome, Task, failure_at
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.passes import Passes
from dj_ops_lib.errors import PATH_CLASSES
from dj_ops_lib.media.access import ObjectStore
from dj_ops_lib.media.destination import Destination, destination
from dj_ops_lib.media.scratch import sweep
from dj_ops_lib.operator import Annotator, Column
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.rendering import RENDERED, RENDERED_COLUMNS, Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Warehouse

if TYPE_CHECKING:
    from dj_ops_lib.media.access import Access

GRACE_S = 60.0
"""What a worker gets beyond the time of its ffmpeg, so that it stops ffmpeg and not the pool it."""


class Render(Annotator):
    """The rendered stage as an operator, so that failed attempts are counted like any other's."""

    name: ClassVar[str] = RENDERED
    version: ClassVar[str] = "2"
    columns: ClassVar[tuple[Column, ...]] = RENDERED_COLUMNS
    folder: str
    rendering: Rendering

    @property
    def results_are_kept(self) -> bool:
        """Files are found by their names."""
        return False

    def measuring_parameters(self) -> dict[str, Any]:
        """What shows in a file; where it lies does not."""
        return self.rendering.changed()


def render_task(task: Task, access: Access) -> Outcome:
    """Make one clip's file; runs in a worker process. `result` says how it was made."""
    ((_, operator),) = task.operators
    assert isinstance(operator, Render)
    from dj_ops_lib.media.render import render

    started = time.process_time()
    try:
        made = render(task.clip, operator.folder, access, operator.rendering)
        columns = {"rendered_uri": made.uri, "rendered_bytes": made.size}
        outcome = Outcome({RENDERED: Measurement(columns, made.how)})
    except NOT_THE_CLIPS_FAULT:
        raise
    except Exception as error:  # a stranger's file may raise anything; it costs this clip only
        outcome = Outcome.failed(task, failure_at(task, access, error, "decode_error"))
    return dataclasses.replace(outcome, cpu_seconds=time.process_time() - started)


def render_shard(
    warehouse: Warehouse,
    recipe: Recipe,
    *,
    source: str,
    shard: str,
    options: EngineOptions,
    folder: str,
    rendering: Rendering,
    run_id: str = "",
    code_version: str = "",
) -> StageReport:
    """Render the kept clips of a recipe's last stage and write `<source>/<recipe>/rendered`.

    Args:
        warehouse: Where the tables are.
        recipe: The recipe.
        source: Name of the source.
        shard: Name of the shard.
        options: Settings of the run; a clip's deadline is that of `rendering` instead.
        folder: Where the files go, a folder or `s3://bucket/prefix`; made if missing. Where `s3://`
            leads is the environment's to say, as for the tables.
        rendering: How to cut and encode.
        run_id: For the commit's provenance.
        code_version: For the commit's provenance.

    Raises:
        WarehouseError: The input table is not there, or the output could not be written.
        OutageError: The files cannot be written there, or no video can be read.
        DjError: There is no ffmpeg program.
    """
    recipe_folder = f"{source}/{recipe.name}"
    making = Making(
        warehouse,
        f"{recipe_folder}/{RENDERED}",
        f"{recipe_folder}/{recipe.stages[-1].name}",
        shard,
        dataclasses.replace(options, deadline_s=rendering.deadline_s + GRACE_S),
        run_id=run_id,
        code_version=code_version,
    )
    rows = making.rows
    place_of_files = destination(folder, ObjectStore())
    sweep(place_of_files.scratch)
    operator = Render(folder=place_of_files.uri, rendering=rendering)
    making.record_files([f"{place_of_files.uri}/{rendering.name(s)}" for s in rows["signature"]])
    known = KnownResults(making.results, (RENDERED,))
    passes = making.passes(render_task)
    try:
        files = _render(rows, operator, place_of_files, options, known, passes)
    finally:
        place_of_files.remove(rendering.name(s) for s in warehouse.taken_down(rows.to_arrow()))
    touched = sum(files[s].tried for s in rows["signature"])
    if options.share is not None:
        return making.leave(touched=touched, tallies=[])
    frame = _with_files(rows, files)
    fingerprint = operator.fingerprint()
    use = OperatorUse(
        RENDERED, rendering.model_dump(mode="json"), operator.version, operator.digest()
    )
    recipe_hash = digest("recipe", fingerprint)
    origin = making.origin((use,), fingerprint=fingerprint, recipe_hash=recipe_hash)
    version = making.commit(frame, recipe.rendered_schema, origin)
    failed = len(frame) - len(frame.filter("keep"))
    tally = Tally(RENDERED, len(frame), 0, failed, len(frame) - failed)
    return dataclasses.replace(
        making.finish(version, frame, touched=touched, tallies=[tally]),
        files=collections.Counter(f.how for f in files.values() if f.how),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    """One clip's file or error; `how` is None for an error, `tried` tells of this run."""

    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    how: str | None = None
    error: dict[str, Any] | None = None
    tried: bool = False


def _render(
    rows: pl.DataFrame,
    operator: Render,
    place_of_files: Destination,
    options: EngineOptions,
    known: KnownResults,
    passes: Passes,
) -> dict[str, _File]:
    """The files of the clips, by signature; clips of equal content share one.

    It is made of the first of them whose video can be read.
    """
    apart = rows.unique(["signature", "video_uri"], keep="first", maintain_order=True)
    clips: dict[str, list[Clip]] = {}
    for row in apart.select(CLIP_SCHEMA.names).iter_rows(named=True):
        clips.setdefault(row["signature"], []).append(Clip.from_row(row))
    prints = {signature: operator.fingerprint(signature) for signature in clips}
    failures = known.failures(pl.Series(prints.values(), dtype=pl.String))
    stored = place_of_files.find([operator.rendering.name(signature) for signature in clips])
    files: dict[str, _File] = {}
    tasks: list[Task] = []
    for place, signature in enumerate(list(clips)):
        failure = failures.get(place)
        if there := stored.get(operator.rendering.name(signature)):
            columns = {"rendered_uri": there.uri, "rendered_bytes": there.size}
            files[signature] = _File(columns, "found")
        elif failure is not None and (
            failure.of_this_run
            or not options.may_try(failure.error["class"], failure.error["attempts"])
        ):
            files[signature] = _File(error=failure.error)
        else:
            tried = failure.error["attempts"] if failure is not None else 0
            clip = clips[signature].pop(0)
            tasks.append(Task(clip, ((RENDERED, operator),), (prints[signature],), tried))
    while tasks:
        again: list[Task] = []
        for position, outcome in passes(tasks):
            task, found = tasks[position], outcome.measurements[RENDERED]
            failed, signature = found.failure, task.clip.signature or ""
            error = failed.as_error(RENDERED, task.attempts + 1) if failed is not None else None
            files[signature] = _File(found.columns, found.result, error, tried=True)
            if failed is not None and failed.error_class in PATH_CLASSES and clips[signature]:
                again.append(dataclasses.replace(task, clip=clips[signature].pop(0)))
        tasks = again
    return files


def _with_files(rows: pl.DataFrame, files: Mapping[str, _File]) -> pl.DataFrame:
    """The rows of the rendered table. Nothing in them tells which run made a file."""
    of_row = [files[s] for s in rows["signature"]]
    return rows.with_columns(
        pl.Series("keep", [f.error is None for f in of_row], dtype=pl.Boolean),
        pl.Series("error", [f.error for f in of_row], dtype=ERROR_TYPE),
        pl.Series("rendered_uri", [f.columns.get("rendered_uri") for f in of_row], pl.String),
        pl.Series("rendered_bytes", [f.columns.get("rendered_bytes") for f in of_row], pl.Int64),
    )
