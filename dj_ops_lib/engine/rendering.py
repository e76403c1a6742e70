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
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, digest
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.known_results import ERROR_TYPE, KnownResults
from dj_ops_lib.engine.making import Making
from dj_ops_lib.engine.measuring import NOT_THE_CLIPS_FAULT, Measurement, Outcome, Task, failure_at
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.passes import Passes
from dj_ops_lib.engine.recorded_results import RecordedResults
from dj_ops_lib.errors import PATH_CLASSES
from dj_ops_lib.media.access import ObjectStore
from dj_ops_lib.media.destination import Destination, destination
from dj_ops_lib.media.scratch import sweep
from dj_ops_lib.operator import Annotator, Column
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.rendering import RENDERED, RENDERED_COLUMNS, Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse
from dj_ops_lib.warehouse.result_schema import RESULTS

if TYPE_CHECKING:
    from dj_ops_lib.media.access import Access

FILES = "files"
"""What clips that were rendered by hand are a stage of, in the commits that record them."""

GRACE_S = 60.0
"""What a worker gets beyond the time of its ffmpeg, so that it stops ffmpeg and not the pool it."""


class Render(Annotator):
    """The rendered stage as an operator, so that failed attempts are counted like any other's."""

    name: ClassVar[str] = RENDERED
    version: ClassVar[str] = "2"
    columns: ClassVar[tuple[Column, ...]] = RENDERED_COLUMNS
    folder: str
    rendering: Rendering
    store: ObjectStore = ObjectStore()

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
        made = render(task.clip, operator.folder, access, operator.rendering, operator.store)
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
    making.record_files(_uris(rows, operator))
    known = KnownResults(making.results, (RENDERED,))
    before = _sizes(warehouse, f"{recipe_folder}/{RENDERED}", shard)
    passes = making.passes(render_task)
    files = _made(warehouse, rows, operator, place_of_files, options, known, passes, before)
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
class RenderedClip:
    """What became of one row that was to be rendered.

    Attributes:
        clip_id: The clip.
        how: `found`, `copied` or `encoded`; None for an error.
        uri: Its file; None for an error.
        error: Why there is none, as in a row.
    """

    clip_id: str
    how: str | None
    uri: str | None
    error: Mapping[str, Any] | None


def render_rows(
    warehouse: Warehouse,
    table: str,
    rows: pa.Table,
    *,
    options: EngineOptions,
    folder: str,
    rendering: Rendering,
    store: ObjectStore,
) -> Iterator[RenderedClip]:
    """Render rows of any table, shard by shard; what fails is counted as in the stage.

    Args:
        warehouse: Where the table is; it has a record of the files and of failed attempts.
        table: Name of the table, for messages.
        rows: The rows, of any sources and shards.
        options: Settings of the run; a clip's deadline is that of `rendering` instead.
        folder: Where the files go, a folder or `s3://bucket/prefix`; made if missing.
        rendering: How to cut and encode.
        store: Where the `s3://` of `folder` leads.

    Raises:
        OutageError: The files cannot be written there, or no video can be read.
        DjError: There is no ffmpeg program.
    """
    options = dataclasses.replace(options, deadline_s=rendering.deadline_s + GRACE_S)
    place_of_files = destination(folder, store)
    sweep(place_of_files.scratch)
    operator = Render(folder=place_of_files.uri, rendering=rendering, store=store)
    frame = pl.DataFrame(rows)
    for (source, shard), own in frame.group_by("source", "shard", maintain_order=True):
        origin = Provenance(source=str(source), stage=FILES, shard=str(shard), input_table=table)
        warehouse.record_files(
            own.to_arrow(), _uris(own, operator), made_for=None, provenance=origin
        )
        results = warehouse.results(str(source), str(shard), FILES)
        recorded = RecordedResults(results, options.results_every_s)
        known = KnownResults(results, (RENDERED,))
        passes = Passes(options, recorded, table, str(shard), render_task)
        files = _made(warehouse, own, operator, place_of_files, options, known, passes)
        recorded.fold(dataclasses.replace(origin, stage=RESULTS))
        for clip_id, signature in own.select("clip_id", "signature").iter_rows():
            file = files[signature]
            yield RenderedClip(clip_id, file.how, file.columns.get("rendered_uri"), file.error)


@dataclasses.dataclass(frozen=True, slots=True)
class _File:
    """One clip's file or error; `how` is None for an error, `tried` tells of this run."""

    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    how: str | None = None
    error: dict[str, Any] | None = None
    tried: bool = False


def _uris(rows: pl.DataFrame, operator: Render) -> list[str]:
    """Where each row's file will be."""
    return [f"{operator.folder}/{operator.rendering.name(s)}" for s in rows["signature"]]


def _made(
    warehouse: Warehouse,
    rows: pl.DataFrame,
    operator: Render,
    place_of_files: Destination,
    options: EngineOptions,
    known: KnownResults,
    passes: Passes,
    before: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, _File]:
    """The files of the clips, by signature, without those that a takedown has named meanwhile."""
    try:
        return _render(rows, operator, place_of_files, options, known, passes, before)
    finally:
        gone = warehouse.taken_down(rows.to_arrow())
        place_of_files.remove(operator.rendering.name(s) for s in gone)


def _render(
    rows: pl.DataFrame,
    operator: Render,
    place_of_files: Destination,
    options: EngineOptions,
    known: KnownResults,
    passes: Passes,
    before: Mapping[str, int],
) -> dict[str, _File]:
    """The files of the clips, by signature; clips of equal content share one.

    It is made of the first of them whose video can be read. One that is there is trusted where the
    rows of the shard have its size (`before`, by URI); a worker looks into any other.
    """
    apart = rows.unique(["signature", "video_uri"], keep="first", maintain_order=True)
    clips: dict[str, list[Clip]] = {}
    there_then = [n for n in CLIP_SCHEMA.names if n in rows.columns]  # a table may be older
    for row in apart.select(there_then).iter_rows(named=True):
        clips.setdefault(row["signature"], []).append(Clip.from_row(row))
    prints = {signature: operator.fingerprint(signature) for signature in clips}
    failures = known.failures(pl.Series(prints.values(), dtype=pl.String))
    stored = place_of_files.find([operator.rendering.name(signature) for signature in clips])
    files: dict[str, _File] = {}
    tasks: list[Task] = []
    for place, signature in enumerate(list(clips)):
        failure = failures.get(place)
        there = stored.get(operator.rendering.name(signature))
        if there is not None and before.get(there.uri) == there.size:
            columns = {"rendered_uri": there.uri, "rendered_bytes": there.size}
            files[signature] = _File(columns, "found")
        elif (
            there is None
            and failure is not None
            and (
                failure.of_this_run
                or not options.may_try(failure.error["class"], failure.error["attempts"])
            )
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
            tried = found.result != "found"
            files[signature] = _File(found.columns, found.result, error, tried)
            if failed is not None and failed.error_class in PATH_CLASSES and clips[signature]:
                again.append(dataclasses.replace(task, clip=clips[signature].pop(0)))
        tasks = again
    return files


def _sizes(warehouse: Warehouse, table: str, shard: str) -> dict[str, int]:
    """Bytes of the files that the rows of a shard name, by URI."""
    if not warehouse.exists(table):
        return {}
    columns = [column.name for column in RENDERED_COLUMNS]
    batches = warehouse.read_shard(table, shard, columns=columns, where="rendered_uri IS NOT NULL")
    return {r["rendered_uri"]: r["rendered_bytes"] for b in batches for r in b.to_pylist()}


def _with_files(rows: pl.DataFrame, files: Mapping[str, _File]) -> pl.DataFrame:
    """The rows of the rendered table. Nothing in them tells which run made a file."""
    of_row = [files[s] for s in rows["signature"]]
    return rows.with_columns(
        pl.Series("keep", [f.error is None for f in of_row], dtype=pl.Boolean),
        pl.Series("error", [f.error for f in of_row], dtype=ERROR_TYPE),
        pl.Series("rendered_uri", [f.columns.get("rendered_uri") for f in of_row], pl.String),
        pl.Series("rendered_bytes", [f.columns.get("rendered_bytes") for f in of_row], pl.Int64),
    )
