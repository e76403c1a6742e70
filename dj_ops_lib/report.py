"""What one stage did to one shard: the numbers that logs, checks and charts are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from dj_ops_lib.histograms import Histogram


@dataclasses.dataclass(frozen=True, slots=True)
class FunnelStep:
    """What one operator, or the reading of the annotations, did to the rows that reached it."""

    operator: str
    rows_in: int
    rejected: int
    errors: int
    rows_out: int


@dataclasses.dataclass(frozen=True, slots=True)
class Redecided:
    """What one shard changed in another one of its table: which copies of a clip are kept.

    Attributes:
        shard: The other shard.
        version: Version of the table that holds its rows now.
        dropped: Clips that it kept, and that repeat a better one.
        restored: Clips that it keeps again, since what they repeated is not kept any more.
        kept: Clips that it keeps now.
    """

    shard: str
    version: int
    dropped: int = 0
    restored: int = 0
    kept: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class StageReport:
    """One stage over one shard.

    Attributes:
        table: Name of the table, such as `msr_vtt/t2v/cleaned`.
        shard: Name of the shard.
        version: Version of the table that holds the result.
        rows_in: Rows that entered: annotation entries for `raw`, kept input rows otherwise.
        rows_out: Rows written.
        kept: Rows written that go on.
        rejected: Rows rejected, by operator.
        errors: Error rows, by error class.
        split: Input rows that were replaced by the pieces they were cut into.
        video_seconds: Duration of the kept clips in seconds.
        wall_seconds: Elapsed time in seconds.
        cpu_seconds: CPU time of this process and its workers in seconds.
        measured: Rows for which something was measured now.
        reused: Rows that were wholly answered from stored measurements.
        files: Files of clips, by how they came to be: `found`, `copied` or `encoded`.
        funnel: Steps in the order in which they were applied.
        histograms: One for each statistic of the stage that has a value, as the commit records it.
        thresholds: (lowest, highest) value that is kept, by statistic; None for no limit.
        redecided: Other shards of the table in which other copies are kept because of this one.
    """

    table: str
    shard: str
    version: int
    rows_in: int
    rows_out: int
    kept: int
    rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)
    errors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    split: int = 0
    video_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    measured: int = 0
    reused: int = 0
    files: Mapping[str, int] = dataclasses.field(default_factory=dict)
    funnel: tuple[FunnelStep, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    thresholds: Mapping[str, tuple[float | None, float | None]] = dataclasses.field(
        default_factory=dict
    )
    redecided: tuple[Redecided, ...] = ()
