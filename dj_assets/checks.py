"""Asset checks: the library's findings about a stage's table, told to Dagster.

What is promised and how it is verified is `dj_ops_lib/checks.py`. Every stage
gets the same checks. They are part of the asset's own step (a check of its own
would be a step, and a process where runs use processes): the job reads the shard
back where it was made, so a table that cannot be read is noticed there. Blocking ones
stop the run before anyone reads a table that would mislead. How rows are made is
not known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import dagster as dg

from dj_assets.partitions import shards_of
from dj_ops_lib.checks import DESCRIPTIONS, KEEP_RATE, LAYOUT, Finding, Severity
from dj_ops_lib.jobs import JobReport

_SEVERITIES = {
    Severity.WARN: dg.AssetCheckSeverity.WARN,
    Severity.ERROR: dg.AssetCheckSeverity.ERROR,
}
_BLOCKING = frozenset(DESCRIPTIONS) - {KEEP_RATE, LAYOUT}
"""Checks that stop the run where what they found is an error; what is a warning never does."""


def specs(asset: dg.AssetKey, source: str) -> list[dg.AssetCheckSpec]:
    """The checks of a stage's asset, one a shard."""
    return [
        dg.AssetCheckSpec(
            name=name,
            asset=asset,
            description=text,
            blocking=name in _BLOCKING,
            partitions_def=shards_of(source),
        )
        for name, text in DESCRIPTIONS.items()
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found for one shard, and the version of its rows."""

    shard: str
    results: tuple[dg.AssetCheckResult, ...]
    version: dg.DataVersion


def verdict(asset: dg.AssetKey, made: JobReport) -> Verdict:
    """What a job found of the shard that it made, as Dagster takes it."""
    results = tuple(_result(asset, found) for found in made.findings)
    return Verdict(made.stage.shard, results, dg.DataVersion(made.data_version))


def _result(asset: dg.AssetKey, found: Finding) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=found.check,
        passed=found.passed,
        severity=_SEVERITIES[found.severity],
        description="; ".join(found.problems) or None,
        metadata=found.numbers,
    )


def publish(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, verdicts: Sequence[Verdict]
) -> dg.MaterializeResult:
    """The run's result: checks and data version of the shards that it made.

    Dagster 1.13 attributes a check's result to a partition only in a run of one partition, and
    takes one data version a run. In a run over a range, each shard's evaluations are therefore
    logged as events of their own, and the results are the worst ones; the data version is that
    of all shards together.
    """
    if len(verdicts) == 1 and context.has_partition_key:
        (only,) = verdicts
        return dg.MaterializeResult(
            asset_key=asset, check_results=only.results, data_version=only.version
        )
    for verdict in verdicts:
        for result in verdict.results:
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=asset,
                    check_name=result.check_name or "",
                    passed=result.passed,
                    severity=result.severity,
                    description=result.description,
                    metadata=result.metadata,
                    blocking=result.check_name in _BLOCKING,
                    partition=verdict.shard,
                )
            )
    versions = [v.version.value for v in verdicts]
    together = hashlib.blake2b("".join(versions).encode(), digest_size=16).hexdigest()
    return dg.MaterializeResult(
        asset_key=asset,
        check_results=[_worst(name, verdicts) for name in DESCRIPTIONS],
        data_version=dg.DataVersion(versions[0] if len(versions) == 1 else together),
    )


def _worst(name: str, verdicts: Sequence[Verdict]) -> dg.AssetCheckResult:
    """One evaluation of check `name` for several shards: failed where one of them failed."""
    results = {v.shard: r for v in verdicts for r in v.results if r.check_name == name}
    failed = {shard: r for shard, r in results.items() if not r.passed}
    first = next(iter(results.values()))
    blocking = any(r.severity == dg.AssetCheckSeverity.ERROR for r in failed.values())
    return dg.AssetCheckResult(
        asset_key=first.asset_key,
        check_name=name,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description="; ".join(f"shard {s}: {r.description}" for s, r in failed.items()) or None,
        metadata={"shards": len(results), "shards_failed": len(failed)},
    )
