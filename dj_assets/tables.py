"""One stage table as one asset: partitions, execution, checks, metadata.

Every stage of every source and recipe passes through `table_asset`, so all of
them behave alike: a shard is a job, whose report is turned into checks and
metadata. Where jobs run is `resources.py`'s to say, what a stage is made from and
how is `stages.py`'s.
"""

import dataclasses
from collections.abc import Callable

import dagster as dg
import pyarrow as pa

from dj_assets import checks, metadata, redecided
from dj_assets.automation import fill_missing
from dj_assets.failures import told_in_a_sentence
from dj_assets.partitions import backfill_policy, shards_of
from dj_assets.resources import Compute, WarehouseResource
from dj_ops_lib.jobs import Job, JobOptions
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse import Warehouse

OWNER = "team:data-platform"

MakesJob = Callable[[str, str, str, JobOptions], Job]
"""From the warehouse's URI, a shard, the run's id and options to the job that makes the shard."""


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One stage's asset, before Dagster: what is made, from what, and how.

    Attributes:
        path: The asset key, and with `/` the name of the table.
        upstream: Asset key of what it is made from.
        description: Markdown for the UI.
        code_version: Changes when the stage would write something else.
        schema: Columns that the table promises.
        job: What makes one shard of it.
    """

    path: tuple[str, ...]
    upstream: tuple[str, ...]
    description: str
    code_version: str
    schema: pa.Schema
    job: MakesJob

    @property
    def name(self) -> str:
        """Name of the table."""
        return "/".join(self.path)


def table_asset(table: Table) -> dg.AssetsDefinition:
    """The asset that makes `table`, shard by shard, and checks it."""
    key = dg.AssetKey(list(table.path))
    source = table.path[0]

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(list(table.upstream))],
        partitions_def=shards_of(source),
        backfill_policy=backfill_policy(),
        group_name=source,
        kinds={"lance", "video"},
        owners=[OWNER],
        description=table.description,
        code_version=table.code_version,
        metadata=metadata.of_definition(table.name, table.schema),
        automation_condition=fill_missing(),
        check_specs=checks.specs(key, source),
        tags=tags(table.path),
    )
    def stage(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, compute: Compute
    ) -> dg.MaterializeResult:
        with told_in_a_sentence():
            return make(context, warehouse.open(), compute)

    def make(
        context: dg.AssetExecutionContext, store: Warehouse, compute: Compute
    ) -> dg.MaterializeResult:
        address = store.address(table.name)
        verdicts = []
        for name in context.partition_keys:
            job = table.job(store.uri, name, context.run.run_id, compute.options())
            made = compute.run(job, context.log.info)
            verdicts.append(checks.verdict(key, made))
            schema = store.schema(table.name, made.stage.version)
            told = metadata.of_shard(made.stage, address, schema, taken_down=made.withheld)
            context.add_asset_metadata(told, partition_key=name)
            context.log.info(_summary(made.stage))
            redecided.log(context, key, store, made.stage)
        return checks.publish(context, key, verdicts)

    return stage


def _summary(report: StageReport) -> str:
    rejected, errors = sum(report.rejected.values()), sum(report.errors.values())
    return (
        f"{report.table} shard {report.shard}: {report.rows_in} rows in, {report.kept} kept, "
        f"{rejected} rejected, {errors} errors, {report.video_seconds / 3600:.3f} h of video, "
        f"{report.wall_seconds:.1f} s"
    )


def tags(path: tuple[str, ...]) -> dict[str, str]:
    """Tags by which the UI and selections filter: source, recipe and stage of a table."""
    named = {"dj/source": path[0], "dj/stage": path[-1]}
    return named if len(path) == 2 else {**named, "dj/recipe": path[1]}
