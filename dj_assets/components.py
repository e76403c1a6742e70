"""What a `defs.yaml` may say: a source, or a recipe over sources.

Thin: YAML becomes the library's own validated objects (`SourceConfig`,
`Recipe`), and `stages.py` makes assets of them. `dg check yaml` checks files
against the models here; everything that needs more than the file's shape
(operators, ranges, columns) is refused by `load_recipe` with file and line.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import dagster as dg
import pydantic
import yaml

from dj_assets.broken import BrokenComponent, asset_keys, unexecutable
from dj_assets.stages import recipe_assets, source_assets
from dj_ops_lib.errors import RecipeError, SourceError
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.registry import nearest
from dj_ops_lib.sources.config import SourceConfig

_SMALL_BYTES = 4096
"""Of a file that holds one number; what stands behind that is not read."""


class SourceComponent(dg.Component):
    """A public dataset: its annotation file and videos become `manifest`, `raw` and `media`."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[pydantic.BaseModel]:
        """The attributes: those of `SourceConfig`."""
        return SourceConfig

    @classmethod
    def load(
        cls, attributes: pydantic.BaseModel | None, context: dg.ComponentLoadContext
    ) -> SourceComponent:
        """The source that the file describes; `{{ env.NAME }}` is filled in."""
        given = attributes.model_dump(exclude_unset=True) if attributes else {}
        given.setdefault("name", context.path.name)
        config = SourceConfig(**context.resolution_context.resolve_value(given))
        return cls(config.model_copy(update=beside_the_files(config)))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The source's assets."""
        return dg.Definitions(assets=source_assets(self.config))


def beside_the_files(config: SourceConfig) -> dict[str, int]:
    """What `source.yaml` in the source's folder says: the shard size that fits these files.

    A small extract of a dataset wants smaller shards than the whole; the setting travels with it.
    Nothing else can be set there, since files that came with a dataset are strangers.

    Raises:
        SourceError: It says something else.
    """
    path = config.folder / "source.yaml"
    if not path.is_file():
        return {}
    said = None
    with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, RecursionError):
        said = yaml.safe_load(path.read_bytes()[:_SMALL_BYTES].decode())
    match said:
        case {"rows_per_shard": int() as rows, **rest} if rows >= 1 and not rest:
            return {"rows_per_shard": rows}
    raise SourceError(f"{path}: may hold `rows_per_shard: <number of at least 1>` and nothing else")


class StageAttributes(pydantic.BaseModel):
    """One stage of a recipe: operators that run together and whose result is one table."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str = pydantic.Field(description="Name of the stage and of its table.")
    operators: list[str | dict[str, dict[str, Any] | None]] = pydantic.Field(
        description="Operators in order: `- name` or `- name: {parameter: value}`; see `dj ops`."
    )
    keep_rate: tuple[float, float] | None = pydantic.Field(
        None, description="Share of rows that should be kept, as [lowest, highest]; else a warning."
    )
    error_share: tuple[float, float] | None = pydantic.Field(
        None,
        description="Shares of rows in error above which it is a warning, and above which the run "
        "stops; default: [0.05, 0.5].",
    )


class RecipeAttributes(pydantic.BaseModel):
    """A recipe and the sources that it is applied to."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str | None = pydantic.Field(None, description="Default: the folder's name.")
    description: str | None = pydantic.Field(None, description="For people.")
    sources: list[str] = pydantic.Field(description="Names of the sources it is applied to.")
    stages: list[StageAttributes] = pydantic.Field(description="Stages in order.")
    render: dict[str, Any] | None = pydantic.Field(
        None, description="Make files of the kept clips: how they are cut and encoded; or {}."
    )


class RecipeComponent(dg.Component):
    """A recipe: its stages become assets over each of its sources."""

    def __init__(self, recipe: Recipe, path: Path) -> None:
        self.recipe = recipe
        self.path = path

    @classmethod
    def get_model_cls(cls) -> type[pydantic.BaseModel]:
        """The shape of the file's `attributes`."""
        return RecipeAttributes

    @classmethod
    def load(
        cls, attributes: pydantic.BaseModel | None, context: dg.ComponentLoadContext
    ) -> RecipeComponent:
        """The recipe, read again from its own file so that a refusal names the line."""
        path = context.path / "defs.yaml"
        return cls(load_recipe(path, name=context.path.name, at="attributes"), path)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The recipe's assets over all of its sources.

        Raises:
            RecipeError: It names a source that is not defined.
        """
        configs, broken = _sources(context)
        for source in self.recipe.sources:
            if source not in {*configs, *broken}:
                raise RecipeError(
                    f"{self.path}: the recipe is applied to '{source}', but no file under "
                    f"defs/sources defines that source{nearest(source, configs)}"
                )
        return dg.Definitions(
            assets=[
                *(
                    asset
                    for source in self.recipe.sources
                    if source in configs
                    for asset in recipe_assets(self.recipe, configs[source])
                ),
                *(
                    unexecutable(key, broken[key[0]])
                    for key in asset_keys(self.path)
                    if key[0] in broken
                ),
            ]
        )


def _sources(
    context: dg.ComponentLoadContext,
) -> tuple[dict[str, SourceConfig], dict[str, str]]:
    """The sources by name, and why those that cannot be loaded cannot."""
    configs, broken = {}, {}
    for loc, decl in context.component_tree._component_decl_tree().items():
        if decl.component_type in {SourceComponent, BrokenComponent}:
            match context.component_tree.load_component(loc):
                case SourceComponent(config=config):
                    configs[config.name] = config
                case BrokenComponent(reason=reason, file=file):
                    broken |= {key[0]: reason for key in asset_keys(file) if len(key) == 2}
    return configs, broken
