"""Results of an unfinished shard, on local disk, so that a killed run goes on where it was.

Arrow IPC files, one for each operator and write, put in place by a rename: a
file is there as a whole or not at all. They are removed after the shard's
commit. Not here: measurements in tables (`memo.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import ERROR, digest
from dj_ops_lib.engine.measuring import Measurement, Outcome, Task
from dj_ops_lib.engine.memo import FINGERPRINT, RESULT, Memo
from dj_ops_lib.operator import Operator

SUFFIX = ".arrow"


def spool_folder(root: Path, warehouse_uri: str, table: str, shard: str) -> Path:
    """Folder for the unfinished results of one shard of one stage.

    What is in it is found by fingerprint, so a parameter that was changed after the run was killed
    costs its own operator's results only.
    """
    return root / f"{table.replace('/', '-')}-{digest('spool', warehouse_uri, table, shard)}"


class Spool:
    """Measurements of one shard that no table holds yet.

    Args:
        folder: Where they are; belongs to one shard of one table.
        every_s: Seconds between two writes.
    """

    def __init__(self, folder: Path, every_s: float) -> None:
        self.folder = folder
        self._every_s = every_s
        self._written = time.monotonic()
        self._waiting: dict[str, tuple[Operator, list[_Result]]] = {}

    def add(self, task: Task, outcome: Outcome) -> None:
        """Take the results of one pass; write what is waiting when it is time."""
        for (name, operator), fingerprint in zip(task.operators, task.fingerprints, strict=True):
            measurement = outcome.measurements[name]
            _, results = self._waiting.setdefault(name, (operator, []))
            results.append(_Result(fingerprint, measurement, task.attempts + 1))
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write what is waiting if the last write is long enough ago."""
        if self._waiting and time.monotonic() - self._written >= self._every_s:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        for operator, results in self._waiting.values():
            self._write(operator, results)
        self._waiting.clear()
        self._written = time.monotonic()

    def _write(self, operator: Operator, results: Sequence[_Result]) -> None:
        table = pa.table(
            {
                FINGERPRINT: pa.array([r.fingerprint for r in results], pa.string()),
                RESULT: pa.array([r.measurement.result for r in results], pa.string()),
                "error": pa.array([_error(operator, r) for r in results], ERROR),
                **{
                    c.name: pa.array([r.measurement.columns.get(c.name) for r in results], c.type)
                    for c in operator.columns
                },
            }
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{operator.name}-{uuid.uuid4().hex}{SUFFIX}"
        partial = final.with_suffix(".partial")
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        partial.replace(final)

    def load(self, memo: Memo, operators: Sequence[Operator]) -> int:
        """Give earlier results to `memo`; returns how many there were."""
        count = 0
        for operator in operators:
            for table in self._tables(operator):
                found = pl.DataFrame(table)
                failed = found.filter(pl.col("error").is_not_null())
                memo.add(operator, found.filter(pl.col("error").is_null()).drop("error"))
                if len(failed):
                    memo.add_failures(failed, of_this_run=True)
                count += len(found)
        return count

    def _tables(self, operator: Operator) -> Iterator[pa.Table]:
        if not self.folder.is_dir():
            return
        expected = {c.name: c.type for c in operator.columns}
        for path in sorted(self.folder.glob(f"{operator.name}-*{SUFFIX}")):
            with pa.memory_map(str(path)) as file:
                table = pa.ipc.open_file(file).read_all()
            if {
                n: table.schema.field(n).type for n in expected if n in table.column_names
            } == expected:
                yield table

    def remove(self) -> None:
        """Forget everything; the shard's table holds it now."""
        self._waiting.clear()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    fingerprint: str
    measurement: Measurement
    attempts: int


def _error(operator: Operator, result: _Result) -> dict[str, object] | None:
    failure = result.measurement.failure
    if failure is None:
        return None
    return failure.as_error(operator.name, result.attempts)
