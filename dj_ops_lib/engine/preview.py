"""What a moved threshold would keep and lose, told from stored statistics.

Nothing is measured and nothing is written. `foresee` is pure: a stage's rows and
its operators with the new thresholds, to what would become of each row. Not
here: what an operator measures (`runner.py`), how people are told (`cli/preview.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from dj_ops_lib.engine.planner import plan_operators
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import DUPLICATE_COLUMNS, Filter, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rejection import why
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.history import shard_commits

FATE = "fate"
STAYS, LEAVES, ENTERS, OPEN, OUT = "stays", "leaves", "enters", "open", "out"
"""What becomes of a row: kept as before; not kept any more; kept now; to be measured further
before it can be told; not kept as before."""

_SHARED = ("clip_id", "parent_id", "source_id", "shard", "duration_s", "keep", "rejected_by")


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """Some rows of a table, by number and by what they last."""

    clips: int
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One row, and why it is not kept any more, where that is so."""

    clip_id: str
    source_id: str | None
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class StagePreview:
    """What a stage would do with the rows that its table holds.

    Attributes:
        table: Name of the table.
        version: Version whose statistics were read.
        before: Rows that are kept.
        after: Rows that would be, without those that are open.
        leave: Rows that are kept and would not be.
        enter: Rows that are not kept and would be.
        open: Rows that no threshold rejects any more, and that the stage has to measure, cut or
            compare before it can tell.
        examples: Some rows of `leave`, `enter` and `open`, by that name.
        downstream: What of the kept rows of later tables comes from rows that leave, by table.
    """

    table: str
    version: int
    before: Share
    after: Share
    leave: Share
    enter: Share
    open: Share
    examples: dict[str, tuple[Example, ...]]
    downstream: dict[str, Share]


def foresee(rows: pl.DataFrame, operators: Sequence[Operator]) -> pl.Series:
    """What would become of each row, one of `stays`, `leaves`, `enters`, `open`, `out`.

    A row is kept where every filter keeps it, whatever their order. A filter that never saw a row,
    since another one had rejected it, has no statistics there; nor has a row that was rejected
    before a splitter its pieces.

    Args:
        rows: With `keep`, `rejected_by` and `error`, and the operators' columns.
        operators: The stage's, with the thresholds to try.
    """
    rejected = pl.lit(False)
    unseen = _before_a_barrier(operators)
    for operator in operators:
        if not operator.columns:
            continue
        empty = pl.all_horizontal(pl.col(c.name).is_null() for c in operator.columns)
        unknown = empty & pl.col("rejected_by").ne_missing(operator.name)
        unseen |= unknown
        if isinstance(operator, Filter):
            rejected |= ~unknown & ~operator.keep().fill_null(False)
    # Whoever rejected the row without a threshold, as a copy of another, still does.
    filters = [o.name for o in operators if isinstance(o, Filter)]
    settled = pl.col("rejected_by").is_not_null() & ~pl.col("rejected_by").is_in(filters)
    fate = (
        pl.when(pl.col("keep"))
        .then(pl.when(rejected).then(pl.lit(LEAVES)).otherwise(pl.lit(STAYS)))
        .when(rejected | settled | pl.col("error").is_not_null())
        .then(pl.lit(OUT))
        .when(unseen)
        .then(pl.lit(OPEN))
        .otherwise(pl.lit(ENTERS))
    )
    decided = rows.select("clip_id", *_columns_if(rows, "duplicate_of"), fate.alias(FATE))
    return _freed_copies(decided)[FATE]


def _before_a_barrier(operators: Sequence[Operator]) -> pl.Expr:
    """Whether a row was rejected before a splitter or an editor, which then never saw it."""
    passed: list[str] = []
    for segment in plan_operators(operators):
        if segment.barrier is not None:
            passed += [o.name for o in operators if o in segment.operators]
    return pl.col("rejected_by").is_in(passed).fill_null(False)


def _columns_if(rows: pl.DataFrame, name: str) -> list[str]:
    return [name] if name in rows.columns else []


def _freed_copies(decided: pl.DataFrame) -> pl.DataFrame:
    """A copy of a clip that leaves may be kept in its place: that is for the stage to tell."""
    if "duplicate_of" not in decided.columns:
        return decided
    gone = decided.filter(pl.col(FATE) == LEAVES)["clip_id"]
    freed = (pl.col(FATE) == OUT) & pl.col("duplicate_of").is_in(gone.implode())
    return decided.with_columns(
        pl.when(freed).then(pl.lit(OPEN)).otherwise(pl.col(FATE)).alias(FATE)
    )


def preview_stage(
    warehouse: Warehouse, recipe: Recipe, stage: Stage, *, source: str, examples: int = 5
) -> StagePreview:
    """What `stage` would do with the rows of its own table.

    Args:
        warehouse: Where the tables are.
        recipe: The recipe with the thresholds to try.
        stage: One of its stages.
        source: Name of the source.
        examples: Rows to name of each kind, those that last longest first.

    Raises:
        RecipeError: The table's statistics were measured otherwise than the recipe measures.
        WarehouseError: The stage has no table.
    """
    table = f"{source}/{recipe.name}/{stage.name}"
    version = warehouse.lance(table).version
    _check_measured_alike(warehouse, table, stage)
    added = [c.name for o in stage.operators for c in o.columns]
    if stage.deduplicates:
        added += [c.name for c in DUPLICATE_COLUMNS]
    columns = [*_SHARED, "error", *added]
    batches = warehouse.scan(table, columns=list(dict.fromkeys(columns)), version=version)
    rows = pl.concat([pl.DataFrame(batch) for batch in batches])
    rows = rows.with_columns(foresee(rows, stage.operators))
    parts = {
        name: rows.filter(pl.col(FATE) == name).sort("duration_s", descending=True, nulls_last=True)
        for name in (STAYS, LEAVES, ENTERS, OPEN)
    }
    leaving = parts[LEAVES]
    return StagePreview(
        table,
        version,
        before=_share(rows.filter("keep")),
        after=_share(pl.concat([parts[STAYS], parts[ENTERS]])),
        leave=_share(leaving),
        enter=_share(parts[ENTERS]),
        open=_share(parts[OPEN]),
        examples={
            "leave": _examples(leaving, stage.operators, examples),
            "enter": _examples(parts[ENTERS], (), examples),
            "open": _examples(parts[OPEN], (), examples),
        },
        downstream=_downstream(warehouse, recipe, stage, source, leaving),
    )


def _share(rows: pl.DataFrame) -> Share:
    return Share(len(rows), float(rows["duration_s"].sum()))


def _examples(
    rows: pl.DataFrame, operators: Sequence[Operator], number: int
) -> tuple[Example, ...]:
    found = []
    for row in rows.head(number).to_dicts():
        reasons = (_rejects(o, row) for o in operators)
        reason = next((r for r in reasons if r), "")
        found.append(Example(row["clip_id"], row["source_id"], reason))
    return tuple(found)


def _rejects(operator: Operator, row: dict[str, object]) -> str:
    """Why this operator would reject the row; empty where it would not."""
    if not isinstance(operator, Filter):
        return ""
    values = pl.DataFrame([{c.name: row[c.name] for c in operator.columns}])
    kept = values.select(operator.keep().fill_null(False).alias("keep"))["keep"].item()
    return "" if kept else why(operator, row)


def _downstream(
    warehouse: Warehouse, recipe: Recipe, stage: Stage, source: str, leaving: pl.DataFrame
) -> dict[str, Share]:
    """Kept rows of later tables that are, or were cut from, rows that leave."""
    gone = leaving["clip_id"]
    found: dict[str, Share] = {}
    for later in recipe.stages[recipe.stages.index(stage) + 1 :]:
        table = f"{source}/{recipe.name}/{later.name}"
        if not warehouse.exists(table) or gone.is_empty():
            break
        batches = warehouse.scan(table, columns=["clip_id", "parent_id", "keep", "duration_s"])
        rows = pl.concat([pl.DataFrame(batch) for batch in batches])
        ids = gone.implode()
        lost = rows.filter(pl.col("clip_id").is_in(ids) | pl.col("parent_id").is_in(ids))
        found[table] = _share(lost.filter("keep"))
        gone = gone.append(lost["clip_id"]).unique()
    return found


def _check_measured_alike(warehouse: Warehouse, table: str, stage: Stage) -> None:
    """Stored statistics tell about a filter only if it would measure the same.

    Raises:
        RecipeError: A shard's were measured with other parameters, by another version, or not.
    """
    for shard, commit in shard_commits(warehouse.history(table)).items():
        uses = commit.provenance.operators if commit.provenance else ()
        stored = {use.operator: use for use in uses}
        for operator in stage.operators:
            use = stored.get(operator.name)
            advice = f"run stage '{stage.name}' first, a preview measures nothing"
            where = f"table '{table}', shard '{shard}'"
            if use is None:
                raise RecipeError(f"{where}: {operator.name} has not measured it yet; {advice}")
            measuring = operator.measuring_parameters()
            other = {
                name: use.parameters.get(name)
                for name, value in measuring.items()
                if use.parameters.get(name) != value
            }
            if other or use.version != operator.version:
                said = ", ".join(f"{n} {v}" for n, v in other.items()) or f"version {use.version}"
                raise RecipeError(
                    f"{where}: {operator.name} has measured it with {said}, not as the recipe "
                    f"says; {advice}"
                )
