"""What comes home from a job: the stage's account, and what was found where the rows are."""

from __future__ import annotations

import dataclasses

from dj_ops_lib.checks import Finding
from dj_ops_lib.report import StageReport


@dataclasses.dataclass(frozen=True, slots=True)
class JobReport:
    """What a job did.

    Attributes:
        stage: The stage's own account; version 0 for a share, which commits nothing.
        findings: What the checks found in the shard, read back; none for a share.
        data_version: Changes when the shard's rows do, and only then; empty for a share.
        withheld: Rows that the warehouse did not write, because they were taken down.
    """

    stage: StageReport
    findings: tuple[Finding, ...] = ()
    data_version: str = ""
    withheld: int = 0
