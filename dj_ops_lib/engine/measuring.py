"""Measures one clip with the operators of a wave; runs inside a worker process.

One task is one pass over one clip. Whatever fails becomes an outcome: of one
operator where it failed alone, of all where the clip could not be read. Not
here: processes (`pool.py`), what follows from the numbers (`runner.py`).
"""

from __future__ import annotations

import dataclasses
import errno
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dj_ops_lib.clip import Clip, Edit, Span
from dj_ops_lib.errors import PATH_CLASSES, MediaError, MissingExtraError, ModelError, OutageError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.needs import Frame, HeaderOnly, Need, Observer
from dj_ops_lib.operator import (
    Annotator,
    Columns,
    EditResult,
    Operator,
    Splitter,
    check_pieces,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dj_ops_lib.media.access import Access

OPERATOR_ERROR = "operator_error"
"""Error class of an operator that raised something of its own, on one clip."""

NOT_THE_CLIPS_FAULT = (ImportError, MissingExtraError, ModelError, OutageError)
"""What every clip would fail on: it ends the run with one message instead of a row each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a clip has no result: the `class` and `message` of its error."""

    error_class: str
    message: str

    def as_error(self, operator: str, attempts: int) -> dict[str, Any]:
        """This failure as a row's `error`, after `attempts` attempts."""
        return {
            "operator": operator,
            "class": self.error_class,
            # The name of a file may be no text; no column takes it as it is.
            "message": self.message.encode("utf-8", "backslashreplace").decode(),
            "attempts": attempts,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """What one operator found in one clip.

    Attributes:
        columns: Values of the operator's columns.
        result: Spans or edits as JSON, for splitters and editors.
        failure: Set where the operator failed; the rest is empty then.
        seconds: CPU seconds spent in the operator itself, without decoding.
    """

    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    result: str | None = None
    failure: Failure | None = None
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One pass over one clip.

    Attributes:
        clip: The clip.
        operators: (name, operator) of those that look at it.
        fingerprints: Names of their measurements, in the same order.
        attempts: How often the clip was tried before, and failed.
    """

    clip: Clip
    operators: tuple[tuple[str, Operator], ...]
    fingerprints: tuple[str, ...] = ()
    attempts: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass gave.

    Attributes:
        measurements: By operator name.
        cpu_seconds: CPU time of the pass, decoding included.
    """

    measurements: Mapping[str, Measurement]
    cpu_seconds: float = 0.0

    @classmethod
    def failed(cls, task: Task, failure: Failure) -> Outcome:
        """The outcome of a pass that failed as a whole."""
        return cls({name: Measurement(failure=failure) for name, _ in task.operators})


def measure_task(task: Task, access: Access) -> Outcome:
    """Run one pass over one clip.

    Args:
        task: The clip and the operators that look at it.
        access: Which files may be opened.

    Raises:
        ImportError: As the other `NOT_THE_CLIPS_FAULT`.
    """
    started = time.process_time()
    for name, operator in task.operators:
        type(operator).name = name  # set by the registry, which a worker does not run
    attempts = [_Attempt(o, task.clip) for _, o in task.operators]
    looking = [(a.need, a) for a in attempts if not isinstance(a.need, HeaderOnly)]
    try:
        if looking:
            from dj_ops_lib.media.frames import decode

            decode(task.clip, looking, access)
    except NOT_THE_CLIPS_FAULT:
        raise
    except Exception as error:  # a stranger's file may raise anything; it costs this clip only
        outcome = Outcome.failed(task, failure_at(task, access, error, "decode_error"))
        return dataclasses.replace(outcome, cpu_seconds=time.process_time() - started)
    measurements = {a.operator.name: a.finish() for a in attempts}
    return Outcome(measurements, time.process_time() - started)


def measure_row(operator: Operator, clip: Clip) -> Measurement:
    """Measure a clip whose row tells everything; opens nothing."""
    return _Attempt(operator, clip).finish()


def failure_of(error: BaseException, otherwise: str) -> Failure:
    """The error of a clip for an exception.

    Args:
        error: What was raised.
        otherwise: Error class where the exception tells none.

    Raises:
        OutageError: The exception tells of what is no clip's fault.
    """
    if (outage := outage_of(error)) is not None:
        raise outage
    if _is_memory(error) or _is_memory(error.__cause__):  # a codec's is the cause of a MediaError
        return Failure("out_of_memory", f"the memory limit of a worker was reached: {error}")
    if isinstance(error, MediaError):
        return Failure(error.error_class, str(error))
    return Failure(otherwise, f"{type(error).__name__}: {error}")


def failure_at(task: Task, access: Access, error: Exception, otherwise: str) -> Failure:
    """The failure of a pass: the path's where the file cannot be read any more, else the bytes'.

    Decoders say the same of damaged bytes and of a disk or a mount that fails under them.

    Raises:
        OutageError: What the file lies on is not there, or another fault of no clip.
    """
    from dj_ops_lib.media.fetch import check_readable

    failure = failure_of(error, otherwise)
    if failure.error_class in PATH_CLASSES or task.clip.video_uri is None:
        return failure
    try:
        check_readable(task.clip.video_uri, access)
    except MediaError as found:
        if found.error_class in PATH_CLASSES:
            return Failure(found.error_class, str(found))
    return failure


def _is_memory(error: BaseException | None) -> bool:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    # OpenCV reports a failed allocation as its own error, code -4 (StsNoMem).
    return type(error).__module__ == "cv2" and getattr(error, "code", None) == -4


class _Attempt(Observer):
    """One operator's look at one clip: times it, and keeps its failure to itself."""

    def __init__(self, operator: Operator, clip: Clip) -> None:
        self.operator = operator
        self.clip = clip
        self.need: Need = operator.needs()
        self.failure: Failure | None = None
        self.seconds = 0.0
        self.observer: Observer | None = None
        if not isinstance(self.need, HeaderOnly):
            self._guard(self._begin)

    def _begin(self) -> None:
        self.observer = self.operator.observe(self.clip)

    def _guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self.failure is not None:
            return None
        started = time.thread_time()
        try:
            return call(*arguments)
        except NOT_THE_CLIPS_FAULT:
            raise
        except Exception as error:  # recorded as this clip's error; other operators go on
            self.failure = failure_of(error, OPERATOR_ERROR)
            return None
        finally:
            self.seconds += time.thread_time() - started

    def packet(self, payload: bytes, pts_s: float | None, stream: int) -> None:
        if self.observer is not None:
            self._guard(self.observer.packet, payload, pts_s, stream)

    def frame(self, frame: Frame) -> None:
        if self.observer is not None:
            self._guard(self.observer.frame, frame)

    def vectors(self, vectors: npt.NDArray[np.void], picture_type: str) -> None:
        if self.observer is not None:
            self._guard(self.observer.vectors, vectors, picture_type)

    def end(self, time_s: float) -> None:
        if self.observer is not None:
            self._guard(self.observer.end, time_s)

    def audio(self, samples: npt.NDArray[np.float32]) -> None:
        if self.observer is not None:
            self._guard(self.observer.audio, samples)

    def finish(self) -> Measurement:
        """The operator's measurement, checked against what it declares."""
        found = self._guard(self._result)
        if self.failure is not None:
            return Measurement(failure=self.failure, seconds=self.seconds)
        columns, result = found
        return Measurement(columns, result, None, self.seconds)

    def _result(self) -> tuple[dict[str, Any], str | None]:
        measure = getattr(self.operator, "measure", None)
        if self.observer is not None:
            found = self.observer.result()
        elif measure is not None:
            found = measure(self.clip)
        else:
            raise TypeError(f"{self.operator.name} has no measure()")
        if isinstance(self.operator, Splitter):
            check_pieces(len(found), f"{self.operator.name} cuts too often with these parameters")
            return {}, encode_spans(found)
        if isinstance(found, EditResult):
            return _checked(self.operator, found.columns), encode_edit(found)
        if isinstance(self.operator, Annotator):
            (found,) = self.operator.annotate([self.clip], [found])
        return _checked(self.operator, found), None


def _checked(operator: Operator, found: Columns) -> dict[str, Any]:
    """The values in the declared types; a wrong one fails here, where the operator is known."""
    declared = {c.name: c.type for c in operator.columns}
    if set(found) != set(declared):
        raise TypeError(f"returned the columns {sorted(found)}, declares {sorted(declared)}")
    return {n: pa.scalar(found[n], type=t).as_py() for n, t in declared.items()}


def encode_spans(spans: Sequence[Span]) -> str:
    """Spans as they are stored in the column `result` of the results."""
    return json.dumps([[s.start_s, s.end_s] for s in spans])


def decode_spans(result: str) -> list[Span]:
    """Spans stored in the column `result` of the results."""
    return [Span(start, end) for start, end in json.loads(result)]


def encode_edit(edit: EditResult) -> str:
    """An edit as it is stored in the column `result`; the operator's columns are the payload."""
    nodes = [e.to_row() for e in edit.edits]
    return json.dumps({"edits": nodes, "width": edit.width, "height": edit.height})


def decode_edit(result: str) -> EditResult:
    """The edit stored in the column `result` of the results."""
    stored = json.loads(result)
    edits = tuple(Edit.from_row(node) for node in stored["edits"])
    return EditResult(edits, stored["width"], stored["height"])
