"""What a stage measures now, on its way into the source's results.

Not here: where they are kept (`warehouse/results.py`), how they are found again
(`known_results.py`).
"""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import pyarrow as pa

from dj_ops_lib.engine.known_results import encoded
from dj_ops_lib.engine.measuring import Measurement, Outcome, Task
from dj_ops_lib.errors import PATH_CLASSES
from dj_ops_lib.operator import Operator
from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance, ShardResults


class RecordedResults:
    """Results of a shard that are not in the table of results yet.

    Args:
        results: The shard's results.
        every_s: Seconds between two writes of what was measured, so that a killed run goes on.
    """

    def __init__(self, results: ShardResults, every_s: float) -> None:
        self._results = results
        self._every_s = every_s
        self._written = time.monotonic()
        self._waiting: list[dict[str, Any]] = []

    def add(self, task: Task, outcome: Outcome) -> None:
        """Take the results of one pass; write what is waiting when it is time."""
        now = dt.datetime.now(dt.UTC)
        for (name, operator), fingerprint in zip(task.operators, task.fingerprints, strict=True):
            row = _row(task, operator, fingerprint, outcome.measurements[name], now)
            if row is not None:
                self._waiting.append(row)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write what is waiting if the last write is long enough ago."""
        if self._waiting and time.monotonic() - self._written >= self._every_s:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            self._results.add(self._taken())
        self._written = time.monotonic()

    def fold(self, provenance: Provenance) -> None:
        """Put all into the table of results: the stage's rows are about to rest on them."""
        self._results.fold(self._taken(), provenance)

    def _taken(self) -> pa.Table:
        rows, self._waiting = self._waiting, []
        return pa.Table.from_pylist(rows, RESULT_SCHEMA)


def _row(
    task: Task, operator: Operator, fingerprint: str, found: Measurement, now: dt.datetime
) -> dict[str, Any] | None:
    """One result, or None for what is none: not about content, or kept in another way."""
    failure = found.failure
    if failure is not None and failure.error_class in PATH_CLASSES:
        return None
    if failure is None and not operator.results_are_kept:
        return None
    clip = task.clip
    payload = {name: encoded(value) for name, value in found.columns.items()}
    error = None if failure is None else failure.as_error(operator.name, task.attempts + 1)
    return {
        "source": clip.source,
        "shard": clip.shard,
        "source_id": clip.source_id,
        "media_id": clip.media_id or found.columns.get("media_id"),
        "clip_id": clip.clip_id,
        "parent_id": clip.parent_id,
        "operator": operator.name,
        "digest": bytes.fromhex(fingerprint[:32]),
        "subject": bytes.fromhex(fingerprint[32:]),
        "payload": json.dumps(payload, ensure_ascii=False) if payload or failure is None else None,
        "result": found.result,
        "error": error,
        "at": now,
    }
