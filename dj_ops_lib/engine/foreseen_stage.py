"""One stage foreseen, shard by shard: what it would measure, keep and lose.

The engine's own runner over what is stored, with a function in the place of
the workers that notes what it would have to measure: what is decided without
it is decided as a run would. Not here: a recipe's stages after each other
(`forecast.py`), copies among shards (`foreseen_copies.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import polars as pl

from dj_ops_lib.engine.expected_time import ExpectedTime
from dj_ops_lib.engine.foreseen_copies import ForeseenCopies
from dj_ops_lib.engine.known_results import KnownResults
from dj_ops_lib.engine.making import add_own_columns
from dj_ops_lib.engine.measuring import Failure, Outcome, Task
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.planner import plan_operators
from dj_ops_lib.engine.runner import run_operators
from dj_ops_lib.engine.segment import fingerprints
from dj_ops_lib.engine.tables import read_frame
from dj_ops_lib.operator import Deduplicator, Filter, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.warehouse import Warehouse

UNMEASURED = "unmeasured"
"""Error class that stands, while a forecast is made, for what is not measured yet."""

_KEPT, _OPEN, _UNCUT, _OUT = "kept", "open", "uncut", "out"


@dataclasses.dataclass(frozen=True, slots=True)
class StageForecast:
    """What one stage would do.

    Attributes:
        table: Name of its table.
        shards: Shards that were looked at.
        clips: Clips that reach it for sure.
        measured: Of those, the ones of which something would be measured.
        reused: The others.
        perhaps: Further clips that would be measured if they pass what has to be measured first.
        cpu_seconds: What `measured` costs, workers together.
        perhaps_seconds: What it costs more if all pass all that is measured.
        unknown_cost: Operators of which no cost is known; the seconds are without them.
        kept_before: Clips that the table keeps now.
        enter: Clips that it would keep, and does not now.
        leave: Clips that it keeps, and would not.
        open: Clips that what is measured decides about.
        uncut: Clips of which an operator that cuts or edits has to be measured first, here or in an
            earlier stage: what becomes of them is not known.
    """

    table: str
    shards: int = 0
    clips: int = 0
    measured: int = 0
    reused: int = 0
    perhaps: int = 0
    cpu_seconds: float = 0.0
    perhaps_seconds: float = 0.0
    unknown_cost: tuple[str, ...] = ()
    kept_before: int = 0
    enter: int = 0
    leave: int = 0
    open: int = 0
    uncut: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Reaching:
    """The clips that reach a stage.

    Attributes:
        rows: With all columns.
        perhaps: Ids of those among them that may be rejected before, which is not known yet.
        uncut: How many clips of an earlier stage are not among them, since it is not known into
            what they are cut.
        theirs: Ids of those, and of what the tables have of them now.
    """

    rows: pl.DataFrame
    perhaps: frozenset[str] = frozenset()
    uncut: int = 0
    theirs: frozenset[str] = frozenset()

    def is_unsure(self, clip_id: pl.Expr, parent_id: pl.Expr) -> pl.Expr:
        """Whether a clip is, or was cut in this stage from, one that may be rejected before."""
        ids, entered = list(self.perhaps), self.rows["clip_id"].implode()
        of_parent = ~clip_id.is_in(entered) & parent_id.is_in(ids).fill_null(False)
        return clip_id.is_in(ids) | of_parent


class _Noted:
    """Takes the place of the workers: notes the passes, and measures nothing."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        self.tasks += tasks
        nothing = Failure(UNMEASURED, "")
        for place, task in enumerate(tasks):
            yield place, Outcome.failed(task, nothing)


class ForeseenStage:
    """One stage of the recipe, and the sums over the shards that it was foreseen for."""

    def __init__(
        self,
        warehouse: Warehouse,
        recipe: Recipe,
        stage: Stage,
        source: str,
        options: EngineOptions,
    ) -> None:
        self._warehouse = warehouse
        self._source = source
        self._name = stage.name
        self._operators = stage.operators
        self._options = options
        self._table = f"{source}/{recipe.name}/{stage.name}"
        self._version = warehouse.version(self._table)
        self._shards = warehouse.shards(self._table) if self._version else {}
        self._time = ExpectedTime(warehouse, self._table)
        self._sums = StageForecast(self._table)
        last = stage.operators[-1]
        self._copies = (
            ForeseenCopies(warehouse, self._table, last, self._version)
            if isinstance(last, Deduplicator)
            else None
        )

    def told(self) -> StageForecast:
        """What was foreseen over all shards."""
        told = dataclasses.replace(self._sums, unknown_cost=tuple(self._time.unknown))
        if self._copies is None:
            return told
        enter, leave = self._copies.changed()
        return dataclasses.replace(told, enter=enter, leave=leave)

    def foresee(self, shard: str, reaching: Reaching) -> Reaching:
        """Add a shard; what reaches the stage after this one."""
        known = KnownResults(
            self._warehouse.results(self._source, shard, self._name),
            [o.name for o in self._operators],
        )
        add_own_columns(known, self._warehouse, self._operators, self._table, shard)
        noted = _Noted()
        run = run_operators(
            reaching.rows, self._operators, known=known, measure=noted, options=self._options
        )
        sure = ~reaching.rows["clip_id"].is_in(list(reaching.perhaps))
        touched = sum(sure[row] for row in run.touched)
        rows = self._with_fates(run.rows, reaching)
        now, later = self._seconds(noted.tasks, reaching)
        later += self._seconds_after(rows, known)
        if self._copies is not None:
            certain = rows.with_columns(keep=pl.col("fate") == _KEPT)
            copies = self._copies.copies(certain, shard)
            rows = rows.with_columns(fate=pl.when(copies).then(pl.lit(_OUT)).otherwise("fate"))
        before = self._before(shard)
        theirs = _theirs(rows, before, reaching.theirs)
        enter, leave = self._changes(shard, rows, before.filter("keep")["clip_id"], theirs)
        uncut = reaching.uncut + _count(rows, _UNCUT)
        sums = self._sums
        self._sums = dataclasses.replace(
            sums,
            shards=sums.shards + 1,
            clips=sums.clips + int(sure.sum()),
            measured=sums.measured + touched,
            reused=sums.reused + int(sure.sum()) - touched,
            perhaps=sums.perhaps + len(run.touched) - touched,
            cpu_seconds=sums.cpu_seconds + now,
            perhaps_seconds=sums.perhaps_seconds + later,
            kept_before=sums.kept_before + int(before["keep"].sum()),
            enter=sums.enter + enter,
            leave=sums.leave + leave,
            open=sums.open + _count(rows, _OPEN),
            uncut=sums.uncut + uncut,
        )
        on = rows.filter(pl.col("fate").is_in([_KEPT, _OPEN]))
        perhaps = frozenset(on.filter(fate=_OPEN)["clip_id"])
        return Reaching(on.drop("fate"), perhaps, uncut, theirs)

    def _with_fates(self, rows: pl.DataFrame, reaching: Reaching) -> pl.DataFrame:
        """The rows with what becomes of each, `fate`.

        Open is what something is to be measured of first, unless a filter whose statistic is known
        rejects it anyway.
        """
        waiting = pl.col("error").struct.field("class").eq_missing(UNMEASURED)
        cutting = [
            o.name
            for segment in plan_operators(self._operators)
            if segment.barrier is not None
            for o in segment.operators
        ]
        rejected = pl.lit(False)
        for operator in self._operators:
            if isinstance(operator, Filter) and _has(rows, operator):
                some = pl.any_horizontal(pl.col(c.name).is_not_null() for c in operator.columns)
                rejected |= some & ~operator.keep().fill_null(False)
        unsure = reaching.is_unsure(pl.col("clip_id"), pl.col("parent_id"))
        before_a_cut = pl.col("error").struct.field("operator").is_in(cutting)
        fate = (
            pl.when("keep")
            .then(pl.when(unsure).then(pl.lit(_OPEN)).otherwise(pl.lit(_KEPT)))
            .when(~waiting | rejected)
            .then(pl.lit(_OUT))
            .when(before_a_cut)
            .then(pl.lit(_UNCUT))
            .otherwise(pl.lit(_OPEN))
        )
        return rows.with_columns(fate.alias("fate"))

    def _seconds(self, tasks: Sequence[Task], reaching: Reaching) -> tuple[float, float]:
        """CPU seconds of what is measured for sure, and of what is if it gets there."""
        clips = pl.DataFrame(
            [(t.clip.clip_id, t.clip.parent_id) for t in tasks],
            schema={"clip_id": pl.String, "parent_id": pl.String},
            orient="row",
        )
        unsure = clips.select(reaching.is_unsure(pl.col("clip_id"), pl.col("parent_id")))
        seconds = [
            self._time.seconds([o for _, o in t.operators], t.clip.duration_s) for t in tasks
        ]
        later = sum(s for s, wait in zip(seconds, unsure.to_series(), strict=True) if wait)
        return sum(seconds) - later, later

    def _seconds_after(self, rows: pl.DataFrame, known: KnownResults) -> float:
        """CPU seconds of the waves that clips come to once they have passed what they wait for."""
        waiting = rows.filter(pl.col("error").struct.field("class").eq_missing(UNMEASURED))
        seconds = 0.0
        for segment in plan_operators(self._operators):
            before: list[str] = []
            for wave in segment.waves:
                here = waiting.filter(
                    pl.col("error").struct.field("operator").is_in(before),
                    pl.col("fate") != _OUT,
                )
                before += [o.name for o in wave.operators]
                if here.is_empty() or not wave.opens_media:
                    continue
                lacking = {o.name: _lacking(o, here, known) for o in wave.operators}
                for row, duration in enumerate(here["duration_s"]):
                    todo = [o for o in wave.operators if lacking[o.name][row]]
                    seconds += self._time.seconds(todo, duration) if todo else 0.0
        return seconds

    def _before(self, shard: str) -> pl.DataFrame:
        """What the table holds of the shard now."""
        columns = ["clip_id", "parent_id", "keep"]
        if shard not in self._shards:
            types = {"clip_id": pl.String, "parent_id": pl.String, "keep": pl.Boolean}
            return pl.DataFrame(schema=types)
        return read_frame(
            self._warehouse, self._table, shard, columns=columns, version=self._version
        )

    def _changes(
        self, shard: str, rows: pl.DataFrame, before: pl.Series, theirs: frozenset[str]
    ) -> tuple[int, int]:
        """How many clips enter and leave; where copies are told, that is known at the end only."""
        after = rows.filter(fate=_KEPT)["clip_id"]
        undecided = theirs | set(rows.filter(fate=_OPEN)["clip_id"])
        if self._copies is not None:
            self._copies.note(shard, after, before, list(undecided))
            return 0, 0
        kept, left = set(after), set(before)
        return len(kept - left), len(left - kept - undecided)


def _count(rows: pl.DataFrame, fate: str) -> int:
    return int((rows["fate"] == fate).sum())


def _theirs(rows: pl.DataFrame, before: pl.DataFrame, earlier: frozenset[str]) -> frozenset[str]:
    """Ids of the clips that are not cut yet, and of what the table has of them."""
    told = rows.filter(pl.col("fate") != _UNCUT)["clip_id"]
    roots = earlier | set(rows.filter(fate=_UNCUT)["clip_id"])
    ids = list(roots)
    named = pl.col("clip_id").is_in(ids) | pl.col("parent_id").is_in(ids)
    return roots | set(before.filter(named & ~pl.col("clip_id").is_in(told.implode()))["clip_id"])


def _has(rows: pl.DataFrame, operator: Filter) -> bool:
    """Whether the rows have what the filter decides by."""
    needed = {c.name for c in operator.columns} | set(operator.keep().meta.root_names())
    return bool(operator.columns) and needed <= set(rows.columns)


def _lacking(operator: Operator, rows: pl.DataFrame, known: KnownResults) -> list[bool]:
    """Which of the rows `operator` would be asked about."""
    if not set(operator.reads) <= set(rows.columns):
        return [True] * len(rows)
    prints = fingerprints(operator, rows)
    found = known.lookup(operator, prints)["_found"]
    if known.search_elsewhere(prints.filter(~found)):
        found = known.lookup(operator, prints)["_found"]
    return (~found).to_list()
