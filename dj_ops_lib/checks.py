"""Checks: promises about a shard of a stage's table, held against its rows, as plain findings.

Pure: a shard as it was written goes in, what was found comes out. Not here: reading
a shard (`engine/checking.py`), telling Dagster (`dj_assets/checks.py`) or a
terminal (`cli/check.py`).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa

from dj_ops_lib.report import StageReport

SCHEMA = "schema"
UNIQUE = "unique_clip_id"
CONSERVED = "rows_conserved"
KEEP_RATE = "keep_rate"
ERROR_SHARE = "error_share"
LAYOUT = "layout"

ERRORS_EXPECTED = (0.05, 0.5)
"""Share of rows in error above which a shard is worth a warning, and above which nobody should
build on it: half of the videos missing is a wrong media root rather than a bad dataset."""

SOURCE_BOUNDS = (0.05, 1.0)
"""Share of a source's rows that should be usable; fewer is a warning, since the usual reason is a
media root that points elsewhere."""

DESCRIPTIONS = {
    SCHEMA: "The table has every column that the stage declares, with its type.",
    UNIQUE: "No clip_id occurs twice in the shard, and none is null.",
    CONSERVED: "Every row that entered is kept, rejected, in error or the parent of its pieces; "
    "no row comes from nowhere; the stage's own counts say the same.",
    KEEP_RATE: "The share of rows kept lies within the stage's bounds; else a warning.",
    ERROR_SHARE: "Few rows are in error: more than the first bound is a warning, more than the "
    "second stops the run.",
    LAYOUT: "The whole table is of the manifest's layout: no shard of an older one holds rows that "
    "wait for theirs to be made; else a warning.",
}
"""What each check promises, by name."""


class Severity(enum.StrEnum):
    """What a broken promise means: look at it, or build nothing on it."""

    WARN = "warn"
    ERROR = "error"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check found in one shard.

    Attributes:
        check: Name of the check.
        severity: What it means if it did not pass.
        problems: What is wrong; none if it passed.
        numbers: What was counted.
    """

    check: str
    severity: Severity
    problems: tuple[str, ...]
    numbers: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether the promise holds."""
        return not self.problems


@dataclasses.dataclass(frozen=True, slots=True)
class Promise:
    """What a stage promises of its table.

    Attributes:
        schema: Its columns.
        bounds: (lowest, highest) share of rows kept.
        errors: Shares of rows in error above which it is a warning, and an error.
    """

    schema: pa.Schema
    bounds: tuple[float, float] = (0.0, 1.0)
    errors: tuple[float, float] = ERRORS_EXPECTED


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How far a table follows the manifest, where that has retired shards of an older layout.

    Attributes:
        shards: Shards of the manifest's layout.
        made: Those of them that were made in the table.
        older: Rows that shards of an older layout hold still, by shard.
        retired: Names of all shards of older layouts.
    """

    shards: int
    made: int
    older: Mapping[str, int]
    retired: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a stage's table as it was written, and what it was made from.

    Attributes:
        report: The stage's own account.
        rows: All columns of the shard's rows.
        declared: The schema that the stage promises.
        entered: clip_ids of the rows that entered, in the version that was read; None where rows
            are made from annotations.
        bounds: (lowest, highest) acceptable share of rows kept.
        withheld: Rows that the warehouse did not write, because they were taken down.
        errors: Shares of rows in error above which it is a warning, and an error.
        input_known: Whether what entered can still be read; else it is not held against it.
        layout: How far the whole table follows the manifest, where that has retired shards.
    """

    report: StageReport
    rows: pa.Table
    declared: pa.Schema
    entered: Sequence[str] | None
    bounds: tuple[float, float] = (0.0, 1.0)
    withheld: int = 0
    errors: tuple[float, float] = ERRORS_EXPECTED
    input_known: bool = True
    layout: Layout | None = None


def findings(shard: Shard) -> tuple[Finding, ...]:
    """Hold one shard against all promises, one finding a check, in the order of `DESCRIPTIONS`."""
    share, severity = _error_share(shard)
    found = {
        SCHEMA: (_schema(shard), Severity.ERROR),
        UNIQUE: (_unique(shard), Severity.ERROR),
        CONSERVED: (_conserved(shard), Severity.ERROR),
        KEEP_RATE: (_keep_rate(shard), Severity.WARN),
        ERROR_SHARE: (share, severity),
        LAYOUT: (_layout(shard.layout), Severity.WARN),
    }
    return tuple(
        Finding(name, severity, tuple(problems), numbers)
        for name, ((problems, numbers), severity) in found.items()
    )


Found = tuple[list[str], Mapping[str, float]]


def _schema(shard: Shard) -> Found:
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


def _unique(shard: Shard) -> Found:
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


def _conserved(shard: Shard) -> Found:
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
    if not shard.input_known:
        return problems, numbers
    if shard.entered is None:
        named = pl.Series(rows["annotation_row"])
        # A file that was given without annotations is an entry of its own.
        entries = named.drop_nulls().n_unique() + named.null_count()
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


def _keep_rate(shard: Shard) -> Found:
    rows = shard.rows.num_rows
    if not rows:
        return [], {}
    rate = pl.Series(shard.rows["keep"]).sum() / rows
    lowest, highest = shard.bounds
    if lowest <= rate <= highest:
        return [], {"keep_rate": rate}
    return [f"{rate:.1%} of the rows kept, expected {lowest:.1%} to {highest:.1%}"], {
        "keep_rate": rate
    }


def _error_share(shard: Shard) -> tuple[Found, Severity]:
    rows = shard.rows.num_rows
    warn, block = shard.errors
    if not rows:
        return ([], {}), Severity.WARN
    failed = pl.Series(shard.rows["error"]).drop_nulls()
    share = len(failed) / rows
    numbers = {"error_share": share, "rows_error": len(failed)}
    if share <= min(warn, block):
        return ([], numbers), Severity.WARN
    classes = failed.struct.field("class").value_counts(sort=True, name="rows")
    listed = ", ".join(f"{n} {what}" for what, n in classes.iter_rows())
    problem = f"{len(failed)} of {rows} rows are in error ({listed}), expected at most {warn:.1%}"
    if share > block:
        return ([f"{problem}; above {block:.1%} nothing is built on it"], numbers), Severity.ERROR
    return ([problem], numbers), Severity.WARN


def _layout(layout: Layout | None) -> Found:
    if layout is None:
        return [], {}
    waiting = sum(layout.older.values())
    numbers = {"shards": layout.shards, "shards_made": layout.made, "rows_older": waiting}
    if not waiting:
        return [], numbers
    names = sorted(layout.older)
    older = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    if layout.made < layout.shards:
        rest = "make the other shards"
    else:
        rest = "these are in the annotation files no more: make the older shards again to drop them"
    return [
        f"{layout.made} of {layout.shards} shards remade in the manifest's layout; {waiting} rows "
        f"are in shards of an older one ({older}): {rest}"
    ], numbers
