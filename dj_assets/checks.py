"""Asset checks: promises about a stage's table, verified on the rows as they were written.

Every stage gets the same checks. They are part of the asset's own step (a check
of its own would be a step, and a process where runs use processes), and read
back the shard, so a table that cannot be read is noticed where it was made.
Blocking ones stop the run before anyone reads a table that would mislead. How
rows are made is not known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl
import pyarrow as pa

from dj_assets.partitions import shards_of
from dj_ops_lib.report import StageReport

SCHEMA = "schema"
UNIQUE = "unique_clip_id"
CONSERVED = "rows_conserved"
KEEP_RATE = "keep_rate"

_DESCRIPTIONS = {
    SCHEMA: "The table has every column that the stage declares, with its type.",
    UNIQUE: "No clip_id occurs twice in the shard, and none is null.",
    CONSERVED: "Every row that entered is kept, rejected, in error or the parent of its pieces; "
    "no row comes from nowhere; the stage's own counts say the same.",
    KEEP_RATE: "The share of rows kept lies within the stage's bounds; else a warning.",
}
_BLOCKING = frozenset({SCHEMA, UNIQUE, CONSERVED})


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a stage's table as it was written, and what it was made from.

    Attributes:
        report: The stage's own account.
        rows: All columns of the shard's rows.
        declared: The schema that the stage promises.
        entered: clip_ids of the rows that entered; None where rows are made from annotations.
        bounds: (lowest, highest) acceptable share of rows kept.
        withheld: Rows that the warehouse did not write, because they were taken down.
    """

    report: StageReport
    rows: pa.Table
    declared: pa.Schema
    entered: Sequence[str] | None
    bounds: tuple[float, float] = (0.0, 1.0)
    withheld: int = 0


def content_version(rows: pa.Table) -> dg.DataVersion:
    """Hash of a shard's rows: a rewrite that changes nothing makes nothing downstream stale."""
    sink = _HashSink()
    table = rows.sort_by("clip_id").combine_chunks()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return dg.DataVersion(sink.hexdigest())


class _HashSink:
    """A file that keeps nothing but the hash of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def write(self, chunk: bytes) -> int:
        self._hash.update(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is open."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


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
        for name, text in _DESCRIPTIONS.items()
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks found for one shard, and the version of its rows."""

    shard: str
    results: tuple[dg.AssetCheckResult, ...]
    version: dg.DataVersion


def judge(asset: dg.AssetKey, shard: Shard) -> Verdict:
    """Hold one shard against all promises."""
    found = {
        SCHEMA: _schema(shard),
        UNIQUE: _unique(shard),
        CONSERVED: _conserved(shard),
        KEEP_RATE: _keep_rate(shard),
    }
    results = tuple(
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=name,
            passed=not problems,
            severity=dg.AssetCheckSeverity.ERROR
            if name in _BLOCKING
            else dg.AssetCheckSeverity.WARN,
            description="; ".join(problems) or None,
            metadata=numbers,
        )
        for name, (problems, numbers) in found.items()
    )
    return Verdict(shard.report.shard, results, content_version(shard.rows))


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
        check_results=[_worst(name, verdicts) for name in _DESCRIPTIONS],
        data_version=dg.DataVersion(versions[0] if len(versions) == 1 else together),
    )


def _worst(name: str, verdicts: Sequence[Verdict]) -> dg.AssetCheckResult:
    """One evaluation of check `name` for several shards: failed where one of them failed."""
    results = {v.shard: r for v in verdicts for r in v.results if r.check_name == name}
    failed = {shard: r for shard, r in results.items() if not r.passed}
    first = next(iter(results.values()))
    return dg.AssetCheckResult(
        asset_key=first.asset_key,
        check_name=name,
        passed=not failed,
        severity=first.severity,
        description="; ".join(f"shard {s}: {r.description}" for s, r in failed.items()) or None,
        metadata={"shards": len(results), "shards_failed": len(failed)},
    )


Finding = tuple[list[str], Mapping[str, float]]


def _schema(shard: Shard) -> Finding:
    written = shard.rows.schema
    problems = []
    for field in shard.declared:
        position = written.get_field_index(field.name)
        if position < 0:
            problems.append(f"the column {field.name} is missing")
        elif not written.field(position).type.equals(field.type):
            problems.append(
                f"{field.name} is {written.field(position).type}, declared as {field.type}"
            )
    return problems, {"columns": len(written)}


def _unique(shard: Shard) -> Finding:
    ids = pl.Series(shard.rows["clip_id"])
    missing, repeated = (
        ids.null_count(),
        ids.filter(ids.is_duplicated()).unique(maintain_order=True),
    )
    problems = []
    if missing:
        problems.append(f"{missing} rows have no clip_id")
    if len(repeated):
        problems.append(f"{len(repeated)} ids occur more than once, such as {repeated[0]}")
    return problems, {"rows": len(ids), "distinct": ids.n_unique()}


def _conserved(shard: Shard) -> Finding:
    report, rows = shard.report, shard.rows
    rejected, errors = sum(report.rejected.values()), sum(report.errors.values())
    problems = []
    if rows.num_rows + shard.withheld != report.rows_out:
        problems.append(
            f"{report.rows_out} rows reported, {rows.num_rows} in the table and {shard.withheld} "
            "taken down"
        )
    if report.kept + rejected + errors != report.rows_out:
        problems.append(
            f"{report.rows_out} rows are not {report.kept} kept + {rejected} rejected + "
            f"{errors} errors"
        )
    numbers = {
        "rows_in": report.rows_in,
        "rows_out": rows.num_rows,
        "rows_taken_down": shard.withheld,
    }
    if shard.entered is None:
        entries = pl.Series(rows["annotation_row"]).drop_nulls().n_unique()
        if entries + shard.withheld < report.rows_in:
            problems.append(f"{report.rows_in} entries read, {entries} of them found in the table")
        return problems, numbers
    if len(shard.entered) != report.rows_in:
        problems.append(f"{report.rows_in} rows in reported, the input holds {len(shard.entered)}")
    entered = pl.Series("clip_id", shard.entered, dtype=pl.String)
    ids, parents = pl.Series(rows["clip_id"]), pl.Series(rows["parent_id"])
    found = ids.append(parents)
    lost = entered.filter(~entered.is_in(found.implode()))
    if len(lost) > shard.withheld:
        problems.append(f"{len(lost)} rows of the input are not accounted for, such as {lost[0]}")
    made = pl.DataFrame({"clip_id": pl.Series(rows["clip_id"]), "parent_id": parents})
    known = entered.implode()
    strange = made.filter(
        ~pl.col("clip_id").is_in(known) & ~pl.col("parent_id").is_in(known).fill_null(value=False)
    )
    if len(strange):
        problems.append(f"{len(strange)} rows come from nowhere, such as {strange['clip_id'][0]}")
    return problems, numbers


def _keep_rate(shard: Shard) -> Finding:
    rows = shard.rows.num_rows
    if not rows:
        return [], {}
    rate = shard.report.kept / rows
    lowest, highest = shard.bounds
    if lowest <= rate <= highest:
        return [], {"keep_rate": rate}
    return [f"{rate:.1%} of the rows kept, expected {lowest:.1%} to {highest:.1%}"], {
        "keep_rate": rate
    }
