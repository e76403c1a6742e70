"""Stages as assets: a source's `manifest`, `raw` and `media`, and the stages of a recipe.

Plain factories, tested without YAML: what each stage is made from, which columns
it promises and which call of the library makes it. How a stage becomes an asset
with partitions, checks and metadata is `tables.py`; how YAML becomes the
arguments is `components.py`.
"""

import inspect

import dagster as dg

from dj_assets import code_versions, metadata
from dj_assets.failures import told_in_a_sentence
from dj_assets.partitions import register_shards
from dj_assets.resources import WarehouseResource
from dj_assets.tables import OWNER, MakesJob, Table, table_asset, tags
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.jobs import Job, JobOptions
from dj_ops_lib.jobs.job import MEDIA, RAW
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rendering import RENDERED, Rendering
from dj_ops_lib.settings import rendered_folder
from dj_ops_lib.sources.config import SourceConfig


def source_assets(config: SourceConfig) -> list[dg.AssetsDefinition]:
    """`manifest`, `raw` and `media` of one source."""
    name = config.name
    return [
        manifest_asset(config),
        table_asset(
            Table(
                path=(name, "raw"),
                upstream=(name, "manifest"),
                description=_RAW,
                code_version=code_versions.of_raw(config),
                schema=CLIP_SCHEMA,
                job=_jobs(config, RAW),
            )
        ),
        table_asset(
            Table(
                path=(name, "media"),
                upstream=(name, "raw"),
                description=_MEDIA,
                code_version=code_versions.of_media(config),
                schema=CLIP_SCHEMA,
                job=_jobs(config, MEDIA),
            )
        ),
    ]


def _jobs(config: SourceConfig, stage: str, recipe: Recipe | None = None) -> MakesJob:
    """What makes the shards of a stage of a source, or of a recipe over it."""

    def job(warehouse: str, shard: str, run_id: str, options: JobOptions) -> Job:
        renders = recipe is not None and stage == RENDERED
        return Job.to_make(
            warehouse,
            config,
            stage,
            shard,
            recipe=recipe,
            rendered=rendered_folder(config.name, recipe.name) if renders and recipe else "",
            options=options,
            run_id=run_id,
        )

    return job


_RAW = """The source's annotations as clips, one row a clip, every field kept.

Made from the shard's slice of the official annotation file. An entry that cannot be read is an
error row with its line number."""

_MEDIA = """Each clip with its video: where it is, whether it can be read, and what its header says.

Nothing is decoded. `availability` is ok, missing, forbidden, io_error, changed, corrupt,
unsupported or too_large; a clip whose video is not ok stays here as an error row."""


def recipe_assets(recipe: Recipe, config: SourceConfig) -> list[dg.AssetsDefinition]:
    """The stages of `recipe` over one source, and its clips as files if it renders them."""
    tables = [_stage_table(recipe, stage, config) for stage in recipe.stages]
    if recipe.rendering is not None:
        tables.append(_rendered_table(recipe, recipe.rendering, config))
    return [table_asset(table) for table in tables]


def _stage_table(recipe: Recipe, stage: Stage, config: SourceConfig) -> Table:
    before = recipe.input_of(stage)
    return Table(
        path=(config.name, recipe.name, stage.name),
        upstream=(config.name, before) if before == "media" else (config.name, recipe.name, before),
        description=describe(recipe, stage),
        code_version=code_versions.of_stage(stage),
        schema=recipe.schema(stage),
        job=_jobs(config, stage.name, recipe),
    )


def _rendered_table(recipe: Recipe, rendering: Rendering, config: SourceConfig) -> Table:
    said = ", ".join(f"{k} = {v}" for k, v in rendering.changed().items()) or "the defaults"
    return Table(
        path=(config.name, recipe.name, RENDERED),
        upstream=(config.name, recipe.name, recipe.stages[-1].name),
        description=_RENDERED.format(recipe=recipe.name, rendering=said),
        code_version=code_versions.of_rendered(rendering),
        schema=recipe.rendered_schema,
        job=_jobs(config, RENDERED, recipe),
    )


_RENDERED = """The clips that the recipe `{recipe}` keeps, each as a file of its own.

Cut and edited once, with {rendering}; copied where nothing changed and the cut allows it.
`rendered_uri` is the file, named by the clip's signature; a file that is there is not made again.
A clip that cannot be rendered stays here as an error row."""


def describe(recipe: Recipe, stage: Stage) -> str:
    """The stage in markdown: its operators in order, what they do, their parameters."""
    lines = [
        f"Stage `{stage.name}` of the recipe `{recipe.name}`. {recipe.description}".strip(),
        "",
    ]
    lines += ["| operator | does | parameters |", "|---|---|---|"]
    for operator in stage.operators:
        does = (inspect.getdoc(type(operator)) or "").partition("\n")[0]
        given = operator.model_dump(mode="json", exclude_unset=True)
        parameters = ", ".join(f"{k} = {v}" for k, v in given.items()) or "defaults"
        lines.append(f"| `{operator.name}` | {does} | {parameters} |".replace("\n", " "))
    lines += [f"\n{line}." for line in stage.remarks]
    lines += ["", "Rejected clips and errors stay in the table: `keep`, `rejected_by`, `error`."]
    return "\n".join(lines)


def manifest_asset(config: SourceConfig) -> dg.AssetsDefinition:
    """The asset that indexes a source's annotation file and registers its shards."""
    from dj_ops_lib.sources.manifest import write_manifest

    @dg.asset(
        key=dg.AssetKey([config.name, "manifest"]),
        group_name=config.name,
        kinds={"lance", "video"},
        owners=[OWNER],
        code_version=code_versions.of_manifest(config),
        tags=tags((config.name, "manifest")),
    )
    def manifest(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource
    ) -> dg.MaterializeResult:
        """Where each shard's entries are in the official annotation file.

        Materialize it first and whenever the file changes: it registers the shards as partitions.
        """
        with told_in_a_sentence():
            written = write_manifest(warehouse.open(), config, run_id=context.run.run_id)
        new = register_shards(context.instance, config.name, written.shards)
        address = warehouse.open().address(f"{config.name}/manifest")
        return dg.MaterializeResult(
            metadata=metadata.of_manifest(written, config.name, address, str(config.folder), new),
            data_version=dg.DataVersion(written.file_sha256),
        )

    return manifest
