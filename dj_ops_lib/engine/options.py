"""How a stage is run on this machine; nothing here changes a result."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from dj_ops_lib.errors import ERROR_CLASSES, OptionError
from dj_ops_lib.registry import nearest

if TYPE_CHECKING:
    from dj_ops_lib.media.access import Access

ALL_ERRORS = "all"
"""As an element of `retry_errors`: try every quarantined clip again, whatever its error."""


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far the measuring of one wave is.

    Attributes:
        table: Table that is being made.
        shard: Shard that is being made.
        operators: Names of the operators that look at the clips now.
        clips: Clips done in this wave.
        total: Clips to do in this wave.
        video_seconds: Duration of the clips done, in seconds.
        errors: Clips that failed in this wave.
    """

    table: str
    shard: str
    operators: tuple[str, ...]
    clips: int
    total: int
    video_seconds: float
    errors: int


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """One of several equal parts of a shard's rows, for machines that measure it together.

    A share's results are kept and nothing is committed; the shard's own run finds them.

    Attributes:
        number: From 0.
        of: How many there are.
    """

    number: int
    of: int


@dataclasses.dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of a run.

    Attributes:
        access: Which files may be opened, and how large they may be.
        workers: Processes that decode at the same time.
        deadline_s: Wall-clock seconds that one pass over one clip may take, at least.
        deadline_ratio: Seconds that it may take for each second of video, where that is more.
        deadline_most_s: The most that it may take, whatever duration a file claims.
        memory_mb: Memory that one worker may allocate on top of its libraries, in MiB.
        attempts: Failed attempts after which a clip is skipped, until `retry_errors` names
            its error class.
        retry_errors: Error classes to try again although the attempts are used up; `all` for all.
        measure_all: Measure every operator on every clip, rejected or not.
        results_every_s: Seconds between two writes of what was measured, before the stage is done.
        progress: Called in this process whenever a clip is done.
        share: Measure a part of the shard only, and commit nothing.
        input_version: Version of the input table that is read, None for the latest.
    """

    access: Access
    workers: int = dataclasses.field(default_factory=available_cores)
    deadline_s: float = 600.0
    deadline_ratio: float = 5.0
    deadline_most_s: float = 6 * 3600.0
    memory_mb: int = 4096
    attempts: int = 3
    retry_errors: tuple[str, ...] = ()
    measure_all: bool = False
    results_every_s: float = 3.0
    progress: Callable[[Progress], None] | None = None
    share: Share | None = None
    input_version: int | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            OptionError: No worker, no memory, no attempt, or an error class that there is not.
        """
        for name in ("workers", "memory_mb", "attempts"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} = {getattr(self, name)}: give a number of at least 1")
        known = {*ERROR_CLASSES, ALL_ERRORS}
        for word in self.retry_errors:
            if word not in known:
                raise OptionError(
                    f"retry_errors: there is no error class '{word}'{nearest(word, known)}; "
                    f"there are {', '.join(sorted(known))}"
                )

    def deadline(self, duration_s: float | None) -> float:
        """Wall-clock seconds that one pass over a clip of `duration_s` may take."""
        by_length = min(self.deadline_most_s, self.deadline_ratio * (duration_s or 0.0))
        return max(self.deadline_s, by_length)

    def may_try(self, error_class: str, attempts: int) -> bool:
        """Whether a clip that failed `attempts` times with `error_class` is tried again."""
        asked = error_class in self.retry_errors or ALL_ERRORS in self.retry_errors
        return attempts < self.attempts or asked
