"""One shard of one table while it is made: what every stage does before and after its own work.

Reads the input, finds what is known of its clips, keeps what is measured, and
says afterwards where the rows come from and what was done. Not here: the work itself (`shard.py`,
`probing.py`, `rendering.py`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import polars as pl
import pyarrow as pa

from dj_ops_lib.engine import summary
from dj_ops_lib.engine.decisions import Tally
from dj_ops_lib.engine.known_results import KnownResults
from dj_ops_lib.engine.measuring import Outcome, Task, measure_task
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.passes import Passes
from dj_ops_lib.engine.planner import plan_operators
from dj_ops_lib.engine.recorded_results import RecordedResults
from dj_ops_lib.engine.segment import fingerprints
from dj_ops_lib.engine.tables import read_frame, to_batches
from dj_ops_lib.media.access import Access
from dj_ops_lib.operator import Operator
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse
from dj_ops_lib.warehouse.result_schema import RESULTS


class Making:
    """A shard that is being made.

    Args:
        warehouse: Where the tables are.
        table: Name of the table, `<source>/<stage>` or `<source>/<recipe>/<stage>`.
        input_table: Name of the table that it is made from.
        shard: Name of the shard.
        options: Settings of the run.
        run_id: For the commit's provenance.
        code_version: For the commit's provenance.

    Attributes:
        rows: The rows of the input that are kept, or the share of them.
        results: What was measured of the shard's clips.

    Raises:
        WarehouseError: The input table is not there.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        table: str,
        input_table: str,
        shard: str,
        options: EngineOptions,
        *,
        run_id: str,
        code_version: str,
    ) -> None:
        self._started, self._cpu_started = time.monotonic(), time.process_time()
        self._warehouse = warehouse
        self._table = table
        self._shard = shard
        self._options = options
        self._passes: list[Passes] = []
        input_version = options.input_version or warehouse.version(input_table)
        self.rows = read_frame(
            warehouse, input_table, shard, where="keep = true", version=input_version
        )
        if options.share is not None:
            self.rows = self.rows.gather_every(options.share.of, options.share.number)
        source, *recipe, stage = table.split("/")
        self.results = warehouse.results(source, shard, stage)
        self._recorded = RecordedResults(self.results, options.results_every_s)
        self._origin = Provenance(
            run_id=run_id,
            source=source,
            stage=stage,
            shard=shard,
            recipe="/".join(recipe),
            input_table=input_table,
            input_version=input_version,
            code_version=code_version,
            rows_in=len(self.rows),
        )

    def known(self, operators: Sequence[Operator]) -> KnownResults:
        """What is known of the shard's clips, as far as these operators would measure it."""
        known = KnownResults(self.results, [o.name for o in operators])
        add_own_columns(known, self._warehouse, operators, self._table, self._shard)
        return known

    def passes(self, function: Callable[[Task, Access], Outcome] = measure_task) -> Passes:
        """What runs `function` over clips in worker processes, for this shard."""
        made = Passes(self._options, self._recorded, self._table, self._shard, function)
        self._passes.append(made)
        return made

    def origin(
        self, operators: tuple[OperatorUse, ...], *, fingerprint: str, recipe_hash: str = ""
    ) -> Provenance:
        """Where the rows come from.

        Args:
            operators: What was applied, in order.
            fingerprint: Of all that is measured.
            recipe_hash: Of all that is decided.
        """
        return dataclasses.replace(
            self._origin,
            operators=operators,
            measuring_fingerprint=fingerprint,
            recipe_hash=recipe_hash,
        )

    def commit(self, rows: pl.DataFrame, schema: pa.Schema, origin: Provenance) -> int:
        """Make `rows` the shard, once what they rest on is kept; returns their version."""
        self.keep_results(origin)
        return self._warehouse.replace_shard(
            self._table, self._shard, to_batches(rows, schema), schema=schema, provenance=origin
        )

    def record_files(self, uris: Sequence[str]) -> None:
        """Record the file that is about to be made of each row, before it is made."""
        self._warehouse.record_files(
            self.rows.to_arrow(), uris, made_for=self._table, provenance=self._origin
        )

    def leave(self, *, touched: int, tallies: Sequence[Tally]) -> StageReport:
        """Keep what a share measured for the shard's own run; its report has version 0."""
        self._recorded.flush()
        return self.finish(0, self.rows.clear(), touched=touched, tallies=tallies)

    def keep_results(self, origin: Provenance) -> None:
        """Put what was measured into the source's results."""
        self._recorded.fold(
            dataclasses.replace(
                origin, stage=RESULTS, operators=(), recipe_hash="", measuring_fingerprint=""
            )
        )

    def finish(
        self, version: int, rows: pl.DataFrame, *, touched: int, tallies: Sequence[Tally]
    ) -> StageReport:
        """Tell what was done.

        Args:
            version: The version that holds the rows.
            rows: The rows as they were committed.
            touched: Input rows for which something was measured now.
            tallies: What each operator did.
        """
        kept = rows.filter("keep")
        workers = sum(p.cpu_seconds for p in self._passes)
        return StageReport(
            table=self._table,
            shard=self._shard,
            version=version,
            rows_in=len(self.rows),
            rows_out=len(rows),
            kept=len(kept),
            rejected=summary.counts(rows, "rejected_by"),
            errors=summary.error_counts(rows),
            video_seconds=float(kept["duration_s"].sum()),
            wall_seconds=time.monotonic() - self._started,
            cpu_seconds=time.process_time() - self._cpu_started + workers,
            measured=touched,
            reused=len(self.rows) - touched,
            funnel=summary.funnel(tallies),
        )


def add_own_columns(
    known: KnownResults,
    warehouse: Warehouse,
    operators: Sequence[Operator],
    table: str,
    shard: str,
) -> None:
    """Tell `known` what the stage's own shard holds of these operators.

    The commit says what each of them measured; the clip's signature says of what. The rows are
    those of the stage's end, so this holds for the operators after its last splitter or editor.
    """
    last = plan_operators(operators)[-1]
    if last.barrier is not None or not warehouse.exists(table):
        return
    commit = warehouse.last_commit(table, shard)
    if commit is None or commit.provenance is None:
        return
    digests = {use.operator: use.digest for use in commit.provenance.operators}
    types = {f.name: f.type for f in warehouse.schema(table)}
    stored = [
        o
        for o in last.operators
        if o.columns
        and digests.get(o.name) == o.digest()
        and all(types.get(c.name) == c.type for c in o.columns)
    ]
    if not stored:
        return
    read = dict.fromkeys(c for o in stored for c in (*o.reads, *(c.name for c in o.columns)))
    rows = read_frame(warehouse, table, shard, columns=list({"signature": None} | read))
    for operator in stored:
        known.add_columns(operator, rows, fingerprints(operator, rows))
