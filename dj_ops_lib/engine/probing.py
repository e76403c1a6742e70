"""The `media` stage: finds each clip's file, reads its header, names its content.

Probing is touching a stranger, so it happens in the worker processes, once for
each file however many clips it holds. A file that has not changed since it was
probed (size and modification time, or etag) is not opened again.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import CLIP_SCHEMA, Clip, digest, signature
from dj_ops_lib.engine import summary
from dj_ops_lib.engine.barriers import estimated_frames
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.known_results import RESULT, KnownResults
from dj_ops_lib.engine.making import Making
from dj_ops_lib.engine.measuring import (
    NOT_THE_CLIPS_FAULT,
    Failure,
    Measurement,
    Outcome,
    Task,
    failure_at,
)
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.passes import Passes
from dj_ops_lib.errors import PATH_CLASSES, MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.operator import Annotator, Column
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Warehouse

if TYPE_CHECKING:
    from dj_ops_lib.media.sightings import Sighting

MEDIA = "media"
AVAILABILITY = PATH_CLASSES | {"corrupt", "unsupported", "too_large"}
"""Error classes that are a file's `availability` too; others (a crash) make it `corrupt`."""

LOOKUPS = 16
"""Files whose state is asked for at a time; an object store takes 10 to 50 ms to answer."""

_IDENTITY = ("media_id", "media_bytes")
_FILE_COLUMNS = [
    "media_id",
    "media_bytes",
    "width",
    "height",
    "fps",
    "container",
    "video_codec",
    "pixel_format",
    "bit_depth",
    "field_order",
    "color_transfer",
    "color_primaries",
    "color_space",
    "color_range",
    "rotation",
    "sample_aspect_ratio",
    "bit_rate",
    "has_audio",
    "audio_codec",
    "sample_rate",
    "audio_channels",
]
_PLOTTED = ("duration_s", "width", "height", "fps")


class Probe(Annotator):
    """The media stage as an operator, so that its results are kept and found like any other's.

    `result` holds the file's duration and number of frames; the row's are the clip's.
    """

    name: ClassVar[str] = MEDIA
    version: ClassVar[str] = "3"
    columns: ClassVar[tuple[Column, ...]] = tuple(
        Column(n, CLIP_SCHEMA.field(n).type, n) for n in _FILE_COLUMNS
    )
    identity: Literal["sha256", "etag"] = "sha256"

    @property
    def opens_media(self) -> bool:
        """It does, although it is asked for files and not for clips."""
        return True


def probe_task(task: Task, access: Access) -> Outcome:
    """Identify and probe one file; runs in a worker process."""
    from dj_ops_lib.media.fetch import identify
    from dj_ops_lib.media.probe import probe
    from dj_ops_lib.media.sightings import check

    started = time.process_time()
    uri = task.clip.video_uri or ""
    named: dict[str, Any] = {}
    try:
        try:
            header = dataclasses.asdict(probe(uri, access))
        finally:  # a file that is not understood has content, too, which a takedown may name
            named = dict(zip(_IDENTITY, identify(uri, access), strict=True))
            check(task.clip, access)
    except NOT_THE_CLIPS_FAULT:
        raise
    except Exception as error:  # a stranger's file may raise anything; it costs this file only
        failure = failure_at(task, access, error, "corrupt")
        if failure.error_class in PATH_CLASSES:
            named = {}
        measurement = Measurement(named, failure=failure)
        return Outcome({MEDIA: measurement}, time.process_time() - started)
    found = header | named
    columns = {name: found[name] for name in _FILE_COLUMNS}
    result = json.dumps([header["duration_s"], header["num_frames"]])
    return Outcome({MEDIA: Measurement(columns, result)}, time.process_time() - started)


def probe_shard(
    warehouse: Warehouse,
    *,
    source: str,
    shard: str,
    options: EngineOptions,
    locate: Callable[[str], str | None],
    run_id: str = "",
    code_version: str = "",
) -> StageReport:
    """Make the shard of `<source>/media` from that of `<source>/raw`.

    Args:
        warehouse: Where the tables are.
        source: Name of the source.
        shard: Name of the shard.
        options: Settings of the run.
        locate: From the dataset's id of a video to its path or URI, None where there is no file.
        run_id: For the commit's provenance.
        code_version: For the commit's provenance.

    Raises:
        WarehouseError: The raw table is not there, or the output could not be written.
        OutageError: The media root is not there, or the store refuses; nothing was decided.
    """
    making = Making(
        warehouse,
        f"{source}/{MEDIA}",
        f"{source}/raw",
        shard,
        options,
        run_id=run_id,
        code_version=code_version,
    )
    operator = Probe(identity=options.access.identity)
    files = _Files(operator, options, making.known((operator,)), source, shard)
    ids = making.rows["source_id"].to_list()
    with ThreadPoolExecutor(LOOKUPS) as threads:
        located = {i: locate(i) if i is not None else None for i in dict.fromkeys(ids)}
        list(threads.map(files.find, located.keys(), located.values()))
    measured = files.probe(making.passes(probe_task))
    touched = sum(source_id in measured for source_id in ids)
    if options.share is not None:
        return making.leave(touched=touched, tallies=[])
    made = [_row(r, files.of[r["source_id"]]) for r in making.rows.to_dicts()]
    frame = pl.DataFrame(pa.Table.from_pylist(made, CLIP_SCHEMA))
    use = OperatorUse(MEDIA, operator.model_dump(mode="json"), operator.version, operator.digest())
    origin = making.origin((use,), fingerprint=operator.fingerprint())
    version = making.commit(frame, CLIP_SCHEMA, origin)
    kept = frame.filter("keep")
    tally = Tally(MEDIA, len(frame), 0, len(frame) - len(kept), len(kept))
    return dataclasses.replace(
        making.finish(version, frame, touched=touched, tallies=[tally]),
        histograms=summary.histograms(warehouse, f"{source}/{MEDIA}", shard, version, _PLOTTED),
    )


@dataclasses.dataclass(slots=True)
class _File:
    """What is known about one file: its facts, or its error and then its identity at most."""

    uri: str | None = None
    seen: Sighting | None = None
    fingerprint: str | None = None
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: dict[str, Any] | None = None

    def clip(self, source: str, shard: str, source_id: str | None) -> Clip:
        """The file as a task, with what was seen of it."""
        seen = (None, None) if self.seen is None else (self.seen.size, self.seen.state)
        size, state = seen
        return Clip(
            "", source, shard, source_id, video_uri=self.uri, media_bytes=size, media_state=state
        )


class _Files:
    """The files of a shard, by the dataset's id of the video."""

    def __init__(
        self, operator: Probe, options: EngineOptions, known: KnownResults, source: str, shard: str
    ) -> None:
        self.of: dict[str | None, _File] = {}
        self._operator = operator
        self._options = options
        self._known = known
        self._source, self._shard = source, shard

    def find(self, source_id: str | None, uri: str | None) -> None:
        """Note where a file is and which state it is in; opens nothing.

        Raises:
            OutageError: It is not there, and neither is what it should lie under.
        """
        from dj_ops_lib.media.fetch import check_roots
        from dj_ops_lib.media.sightings import look

        file = self.of[source_id] = _File(uri)
        try:
            if uri is None:
                check_roots(self._options.access)
                raise MediaError(f"no file for '{source_id}' under the media root", "missing")
            access = self._options.access
            file.seen = look(uri, access)
            file.fingerprint = self._operator.fingerprint(file_state(uri, access, file.seen))
        except MediaError as error:
            file.error = Failure(error.error_class, str(error)).as_error(MEDIA, 1)

    def probe(self, passes: Passes) -> set[str | None]:
        """Probe what is not known yet.

        Returns:
            The ids of the files that were probed now.
        """
        waiting = {k: f for k, f in self.of.items() if f.fingerprint is not None}
        prints = pl.Series([f.fingerprint for f in waiting.values()], dtype=pl.String)
        stored = self._known.lookup(self._operator, prints)
        if self._known.search_elsewhere(prints.filter(~stored["_found"])):
            stored = self._known.lookup(self._operator, prints)
        known = stored.to_dicts()
        failures = self._known.failures(prints)
        tasks: list[Task] = []
        ids: list[str | None] = []
        for position, (source_id, file) in enumerate(waiting.items()):
            failure = failures.get(position)
            if known[position]["_found"]:
                file.facts = known[position]
            elif failure is not None and (
                failure.of_this_run
                or not self._options.may_try(failure.error["class"], failure.error["attempts"])
            ):
                file.error, file.facts = failure.error, dict(failure.payload)
            else:
                clip = file.clip(self._source, self._shard, source_id)
                tried = failure.error["attempts"] if failure is not None else 0
                operators = ((MEDIA, self._operator),)
                tasks.append(Task(clip, operators, (file.fingerprint or "",), tried))
                ids.append(source_id)
        for position, outcome in passes(tasks):
            measurement = outcome.measurements[MEDIA]
            file = self.of[ids[position]]
            if measurement.failure is None:
                file.facts = {**measurement.columns, RESULT: measurement.result}
            else:
                found = measurement.failure
                attempts = tasks[position].attempts + 1
                file.error = found.as_error(MEDIA, attempts)
                file.facts = dict(measurement.columns)
        return set(ids)


def file_state(uri: str, access: Access, seen: Sighting | None = None) -> str:
    """Changes when the file does, as far as its directory or object store tells.

    Args:
        uri: The file.
        access: What may be read.
        seen: What it looks like, if that is known already.
    """
    from dj_ops_lib.media.fetch import resolve
    from dj_ops_lib.media.sightings import look

    seen = seen or look(uri, access)
    return digest(resolve(uri, access), seen.size, seen.state)


def _row(row: dict[str, Any], file: _File) -> dict[str, Any]:
    """The row of the media table for a row of the raw table."""
    row = row | {"video_uri": file.uri, "rejected_by": None, "error": file.error}
    if file.error is not None:
        word = file.error["class"]
        row |= {"availability": word if word in AVAILABILITY else "corrupt", "keep": False}
        return row | {name: file.facts.get(name) for name in _IDENTITY}
    duration, frames = json.loads(file.facts[RESULT])
    row |= {name: file.facts[name] for name in _FILE_COLUMNS} | {"availability": "ok"}
    row["media_state"] = None if file.seen is None else file.seen.state
    if row["start_s"] is None and row["end_s"] is None:
        row |= {"duration_s": duration, "num_frames": frames}
    else:
        start = max(0.0, row["start_s"] or 0.0)
        end = duration if row["end_s"] is None else min(row["end_s"], duration)
        if end <= start:
            message = (
                f"{file.uri}: the clip's {row['start_s']} s to {row['end_s']} s hold nothing of "
                f"the file's 0 s to {duration:g} s"
            )
            error = Failure("span_out_of_range", message).as_error(MEDIA, 1)
            return row | {"keep": False, "error": error}
        row["start_s"] = None if row["start_s"] is None else start
        row["end_s"] = None if row["end_s"] is None else end
        row |= {"duration_s": end - start, "num_frames": None}
    row["estimated_frames"] = estimated_frames(row["duration_s"], row["fps"])
    row["signature"] = signature(row["media_id"], row["start_s"], row["end_s"], ())
    return row
