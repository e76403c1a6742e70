"""Whether stored results still come out when they are measured again.

Numbers change with what decodes: a new FFmpeg or OpenCV that gives other ones
would leave two kinds of numbers beside each other, under one name. A sample
that is measured again, with the same operators on the same clips, shows it. The
results stay as they are.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dj_ops_lib.checks import Finding, Severity
from dj_ops_lib.engine.known_results import encoded
from dj_ops_lib.engine.measured_before import Asked, Operators, clips_of, file_of
from dj_ops_lib.engine.measuring import Failure, Measurement, Outcome, Task, measure_task
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.pool import run_in_workers
from dj_ops_lib.engine.probing import MEDIA, Probe, probe_task
from dj_ops_lib.errors import PATH_CLASSES, MediaError, OptionError
from dj_ops_lib.media.access import Access
from dj_ops_lib.warehouse import Warehouse

CHECK = "results_hold"
"""Name of the check."""

CHANGED = "changed"
"""Error class, here only, of a file whose content is another one than was measured."""

_NOT_ABOUT_CONTENT = PATH_CLASSES | {CHANGED, "timeout", "out_of_memory"}


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """A number that comes out otherwise now.

    Attributes:
        operator: Who measured.
        clip_id: The clip; empty where a file's header was read.
        source_id: The dataset's id of its video.
        shard: The shard that it was measured for.
        column: The column; `result` for spans and edits, `error` where it cannot be measured now.
        stored: What was found then, as JSON holds it.
        new: What is found now.
    """

    operator: str
    clip_id: str
    source_id: str | None
    shard: str
    column: str
    stored: Any
    new: Any

    def __str__(self) -> str:
        where = f"clip {self.clip_id}" if self.clip_id else f"video {self.source_id}"
        return f"{self.operator}, {where}: {self.column} was {self.stored!r} and is {self.new!r}"


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What measuring a source's results again gave.

    Attributes:
        source: Name of the source.
        results: How many it has, without failures.
        sampled: How many were chosen.
        measured: How many of those could be measured again.
        drifted: How many of those came out otherwise.
        drifts: The numbers that did.
        skipped: Why the others were not measured, and how many.
    """

    source: str
    results: int
    sampled: int
    measured: int
    drifted: int
    drifts: tuple[Drift, ...]
    skipped: Mapping[str, int]

    @property
    def finding(self) -> Finding:
        """As a check says it: an error where a number drifted, or where none could be looked at."""
        problems = [str(d) for d in self.drifts]
        if self.sampled and not self.measured:
            problems = [f"none of {self.sampled} results could be measured again: {self.reasons}"]
        numbers = {n: float(getattr(self, n)) for n in ("sampled", "measured", "drifted")}
        return Finding(CHECK, Severity.ERROR, tuple(problems), numbers)

    @property
    def reasons(self) -> str:
        """Why results were not measured, in words."""
        return "; ".join(f"{count} because {reason}" for reason, count in self.skipped.items())


def audit(
    warehouse: Warehouse,
    *,
    source: str,
    options: EngineOptions,
    share: float = 0.005,
    seed: int = 0,
    tolerance: float = 0.0,
) -> Audit:
    """Measure some of a source's results again, and compare.

    Args:
        warehouse: Where the results are.
        source: Name of the source.
        options: Which files may be opened, how many workers.
        share: Part of the clips whose results are measured again, above 0, at most 1; at least one.
        seed: The same seed chooses the same clips.
        tolerance: How far two numbers may be from each other: as a part of the larger one, or by
            itself where both are below 1.

    Raises:
        OptionError: A share or tolerance that cannot be meant.
    """
    if not 0 < share <= 1:
        raise OptionError(f"share = {share}: give a part of the clips, above 0 and at most 1")
    if not 0 <= tolerance < math.inf:
        raise OptionError(f"tolerance = {tolerance}: give 0 or a small number")
    chosen, count = warehouse.sample_results(source, share=share, seed=seed)
    facts = chosen.to_pylist()
    skipped: collections.Counter[str] = collections.Counter()
    asked = list(_asked(warehouse, source, facts, options.access, skipped))
    measured, drifted, drifts = 0, 0, []
    for place, found in _measured(asked, options):
        failure = found.failure
        if failure is not None and failure.error_class in _NOT_ABOUT_CONTENT:
            skipped[_said(failure)] += 1
            continue
        measured += 1
        own = list(_drifts(asked[place], found, tolerance))
        drifted += bool(own)
        drifts += own
    drifts.sort(key=lambda d: (d.operator, d.shard, d.clip_id, d.source_id or "", d.column))
    return Audit(
        source,
        count,
        len(facts),
        measured,
        drifted,
        tuple(drifts),
        dict(sorted(skipped.items())),
    )


def _asked(
    warehouse: Warehouse,
    source: str,
    facts: Sequence[Mapping[str, Any]],
    access: Access,
    skipped: collections.Counter[str],
) -> Iterator[Asked]:
    """What was asked for each of the results; those that cannot be asked again are counted."""
    operators = Operators(warehouse.operator_uses(source))
    known = []
    for fact in facts:
        operator = operators.of(fact)
        if isinstance(operator, str):
            skipped[operator] += 1
        else:
            known.append((fact, operator))
    of_clips = [(f, o) for f, o in known if not isinstance(o, Probe)]
    ids = sorted({f["clip_id"] for f, _ in of_clips})
    signatures = sorted({f["subject"].hex() for f, _ in of_clips})
    clips = clips_of(of_clips, warehouse.clips_about(source, ids, signatures)) if ids else {}
    for fact, operator in of_clips:
        clip = clips.get((fact["digest"] + fact["subject"]).hex())
        if clip is None:
            skipped["no table holds the clip any more as it was measured"] += 1
        else:
            yield Asked(fact, operator, clip)
    of_files = [(f, o) for f, o in known if isinstance(o, Probe)]
    uris = _uris(warehouse, source, {f["source_id"] for f, _ in of_files})
    for fact, probe in of_files:
        file = file_of(fact, probe, uris.get(fact["source_id"]), access)
        if isinstance(file, str):
            skipped[file] += 1
        else:
            yield Asked(fact, probe, file)


def _uris(warehouse: Warehouse, source: str, ids: set[str | None]) -> dict[str, str]:
    """Where the files are, by the dataset's id of the video."""
    table = f"{source}/{MEDIA}"
    if not ids or not warehouse.exists(table):
        return {}
    return {
        row["source_id"]: row["video_uri"]
        for batch in warehouse.scan(table, columns=["source_id", "video_uri"])
        for row in batch.to_pylist()
        if row["source_id"] in ids and row["video_uri"]
    }


def _measured(asked: Sequence[Asked], options: EngineOptions) -> Iterator[tuple[int, Measurement]]:
    """What is found now, by position; what is asked of one clip is measured in one pass."""
    about: dict[tuple[str, str | None], list[dict[str, int]]] = {}
    for number, one in enumerate(asked):
        groups = about.setdefault((one.fact["subject"].hex(), one.clip.video_uri), [])
        group = next((g for g in groups if one.operator.name not in g), None)
        if group is None:
            groups.append(group := {})
        group[one.operator.name] = number
    passes = [group for groups in about.values() for group in groups]
    tasks = [
        Task(asked[min(g.values())].clip, tuple((n, asked[i].operator) for n, i in g.items()))
        for g in passes
    ]
    results = run_in_workers(
        _measure,
        [(task, options.access) for task in tasks],
        workers=options.workers,
        memory_mb=options.memory_mb,
        deadlines=[options.deadline(task.clip.duration_s) for task in tasks],
    )
    for position, result in results:
        task = tasks[position]
        outcome = Outcome.failed(task, result) if isinstance(result, Failure) else result
        for name, number in passes[position].items():
            yield number, outcome.measurements[name]


def _measure(task: Task, access: Access) -> Outcome:
    """Measure a clip again, if its file is still the one that was measured; runs in a worker."""
    from dj_ops_lib.media.fetch import identify

    ((_, operator), *_) = task.operators
    if isinstance(operator, Probe):
        return probe_task(task, dataclasses.replace(access, identity=operator.identity))
    clip = task.clip
    kind = (clip.media_id or "").partition(":")[0]
    if kind in {"sha256", "etag"}:
        by_kind = dataclasses.replace(access, identity="etag" if kind == "etag" else "sha256")
        try:
            media_id, _ = identify(clip.video_uri or "", by_kind)
        except MediaError as error:
            return Outcome.failed(task, Failure(error.error_class, str(error)))
        if media_id != clip.media_id:
            return Outcome.failed(task, Failure(CHANGED, f"{clip.video_uri} has other content"))
    return measure_task(task, access)


def _said(failure: Failure) -> str:
    if failure.error_class == CHANGED:
        return "the file's content is another one than was measured"
    if failure.error_class in PATH_CLASSES:
        return f"the file is {failure.error_class}"
    return f"measuring ended with {failure.error_class}"


def _drifts(asked: Asked, found: Measurement, tolerance: float) -> Iterator[Drift]:
    fact = asked.fact
    about = (fact["operator"], fact["clip_id"] or "", fact["source_id"], fact["shard"])
    if found.failure is not None:
        said = f"{found.failure.error_class}: {found.failure.message}"
        yield Drift(*about, "error", None, said)
        return
    stored = json.loads(fact["payload"] or "{}")
    new = json.loads(json.dumps({n: encoded(v) for n, v in found.columns.items()}))
    for name in sorted(stored.keys() | new.keys()):
        if not same(stored.get(name), new.get(name), tolerance):
            yield Drift(*about, name, stored.get(name), new.get(name))
    then, now = (None if r is None else json.loads(r) for r in (fact["result"], found.result))
    if not same(then, now, tolerance):
        yield Drift(*about, "result", then, now)


def same(stored: Any, new: Any, tolerance: float) -> bool:
    """Whether two JSON values are equal, numbers within the tolerance; NaN equals NaN."""
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in (stored, new)]
    if all(numbers):
        if math.isnan(stored) or math.isnan(new):
            return math.isnan(stored) and math.isnan(new)
        return bool(
            stored == new or abs(stored - new) <= tolerance * max(1.0, abs(stored), abs(new))
        )
    if isinstance(stored, list) and isinstance(new, list):
        return len(stored) == len(new) and all(
            same(a, b, tolerance) for a, b in zip(stored, new, strict=True)
        )
    if isinstance(stored, dict) and isinstance(new, dict):
        return stored.keys() == new.keys() and all(
            same(stored[k], new[k], tolerance) for k in stored
        )
    return bool(stored == new)
