"""A job: JSON that says what to make. It names no machine and holds no secret.

A job carries its recipe and its source by value, so that a file that is edited
meanwhile changes nothing, and the digest of what each operator measures, so that
other code than the one that made the job refuses it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pydantic

from dj_ops_lib import __version__
from dj_ops_lib.checks import ERRORS_EXPECTED, SOURCE_BOUNDS, Promise
from dj_ops_lib.clip import CLIP_SCHEMA, digest
from dj_ops_lib.engine.options import EngineOptions, Share, available_cores
from dj_ops_lib.errors import DjError, JobError
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import operator_class
from dj_ops_lib.rendering import RENDERED, Rendering
from dj_ops_lib.sources.config import SourceConfig

RAW, MEDIA = "raw", "media"
"""Stages of a source; the others are a recipe's."""

_Count = Annotated[int, pydantic.Field(ge=1)]


class _Value(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class OperatorValue(_Value):
    """One operator: its name, all its parameters, and the digest of what it measures."""

    name: str
    parameters: dict[str, Any]
    digest: str


class StageValue(_Value):
    """One stage of a recipe."""

    name: str
    operators: tuple[OperatorValue, ...]
    keep_rate: tuple[float, float] = (0.0, 1.0)
    error_share: tuple[float, float] = ERRORS_EXPECTED


class RecipeValue(_Value):
    """A recipe as JSON can hold it."""

    name: str
    stages: tuple[StageValue, ...]
    rendering: dict[str, Any] | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> RecipeValue:
        """The value of a recipe."""
        stages = tuple(
            StageValue(
                name=stage.name,
                operators=tuple(
                    OperatorValue(
                        name=o.name, parameters=o.model_dump(mode="json"), digest=o.digest()
                    )
                    for o in stage.operators
                ),
                keep_rate=stage.keep_rate,
                error_share=stage.error_share,
            )
            for stage in recipe.stages
        )
        rendering = None if recipe.rendering is None else recipe.rendering.model_dump(mode="json")
        return cls(name=recipe.name, stages=stages, rendering=rendering)

    def recipe(self) -> Recipe:
        """The recipe.

        Raises:
            JobError: An operator is not known here, or measures something else here.
        """
        rendering = self.rendering
        return Recipe(
            self.name,
            tuple(
                Stage(
                    s.name,
                    tuple(map(_operator, s.operators)),
                    keep_rate=s.keep_rate,
                    error_share=s.error_share,
                )
                for s in self.stages
            ),
            rendering=None if rendering is None else Rendering.model_validate(rendering),
        )


def _operator(value: OperatorValue) -> Any:
    try:
        found = operator_class(value.name)
        operator = found.model_validate_json(json.dumps(value.parameters))
    except (DjError, pydantic.ValidationError) as error:
        raise JobError(
            f"the job needs the operator '{value.name}' as it was where the job was made, and "
            f"here it is not: {error}; install the same version of this project there and here"
        ) from None
    if operator.digest() != value.digest:
        raise JobError(
            f"the operator '{value.name}' measures something else here than where the job was "
            "made; install the same version of this project there and here"
        )
    return operator


class JobOptions(_Value):
    """How a job is run; only `retry_errors` and `measure_all` show in what it makes.

    Attributes:
        workers: Processes that decode at the same time; None: one for each core of the machine.
        memory_mb: Memory that one of them may allocate, in MiB.
        attempts: Failed attempts after which a clip is skipped.
        retry_errors: Error classes to try again although the attempts are used up; `all` for all.
        measure_all: Measure every operator on every clip, rejected or not.
    """

    workers: _Count | None = None
    memory_mb: _Count = 4096
    attempts: _Count = 3
    retry_errors: tuple[str, ...] = ()
    measure_all: bool = False


class ShareValue(_Value):
    """A part of a shard: `number` from 0, `of` how many."""

    number: Annotated[int, pydantic.Field(ge=0)]
    of: _Count

    def model_post_init(self, _: object) -> None:
        """Refuses a number that is none of the parts."""
        if self.number >= self.of:
            raise ValueError(
                f"share {self.number} of {self.of}: numbers go from 0 to {self.of - 1}"
            )


class Job(_Value):
    """What to make.

    Attributes:
        warehouse: Where the tables are; how a store is entered is the machine's to know.
        source: The source, with its root as an absolute path.
        stage: `raw`, `media`, `rendered`, or the name of a stage of `recipe`.
        shard: Name of the shard.
        recipe: Of what the recipe makes.
        share: A part of the shard, that is measured and not committed.
        input_version: Version of the input table; None: the latest when the job begins.
        rendered: Folder of the files, for `rendered`.
        options: How it is run.
        run_id: Who asked; kept in the commit.
        code: Version of the code that made the job.
        format: Of the job itself.
    """

    warehouse: Annotated[str, pydantic.Field(min_length=1)]
    source: SourceConfig
    stage: Annotated[str, pydantic.Field(min_length=1)]
    shard: Annotated[str, pydantic.Field(min_length=1)]
    recipe: RecipeValue | None = None
    share: ShareValue | None = None
    input_version: _Count | None = None
    rendered: str = ""
    options: JobOptions = JobOptions()
    run_id: str = ""
    code: str = __version__
    format: Literal[1] = 1

    @classmethod
    def to_make(
        cls,
        warehouse: str,
        source: SourceConfig,
        stage: str,
        shard: str,
        *,
        recipe: Recipe | None = None,
        **others: Any,
    ) -> Job:
        """A job for a stage of `source`, or of `recipe` over it; `others` are further fields."""
        return cls(
            warehouse=warehouse,
            source=source.model_copy(update={"root": str(source.folder)}),
            stage=stage,
            shard=shard,
            recipe=None if recipe is None else RecipeValue.of(recipe),
            **others,
        )

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "the job") -> Job:
        """The job that JSON holds.

        Raises:
            JobError: It is none, or of another version of the code; the message names `where`.
        """
        try:
            job = cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise JobError(f"{where} is no job: {place}: {first['msg']}") from None
        if job.code != __version__:
            raise JobError(
                f"{where} was made by version {job.code} of this project and this is "
                f"{__version__}; install the same version there and here"
            )
        return job

    def to_json(self) -> str:
        """This job as JSON."""
        return self.model_dump_json(exclude_defaults=False)

    @property
    def table(self) -> str:
        """Name of the table that it makes."""
        parts = [self.source.name, *([self.recipe.name] if self.recipe else []), self.stage]
        return "/".join(parts)

    @property
    def id(self) -> str:
        """Name of the job, the same for whoever asks: what it makes, of what.

        Engines that are given it as a name refuse or queue a second one while the first runs.
        """
        options = self.options.model_dump(mode="json", include={"retry_errors", "measure_all"})
        return digest(
            "job",
            self.warehouse,
            self.table,
            self.shard,
            self.share.model_dump() if self.share else None,
            self.recipe.model_dump(mode="json") if self.recipe else None,
            self.input_version,
            self.rendered,
            options,
        )

    def engine_options(self, **others: Any) -> EngineOptions:
        """The engine's settings for this job; `others` are further ones."""
        share = self.share
        return EngineOptions(
            access=self.source.access(),
            workers=self.options.workers or available_cores(),
            memory_mb=self.options.memory_mb,
            attempts=self.options.attempts,
            retry_errors=self.options.retry_errors,
            measure_all=self.options.measure_all,
            share=None if share is None else Share(share.number, share.of),
            input_version=self.input_version,
            **others,
        )

    @property
    def promise(self) -> Promise:
        """What is promised of the table that it makes.

        Raises:
            JobError: The job has no such stage, or its recipe cannot be had here.
        """
        if self.recipe is None:
            return Promise(CLIP_SCHEMA, SOURCE_BOUNDS, self.source.error_share)
        recipe = self.recipe.recipe()
        if self.makes_files:
            return Promise(recipe.rendered_schema)
        for stage in recipe.stages:
            if stage.name == self.stage:
                return Promise(recipe.schema(stage), stage.keep_rate, stage.error_share)
        raise JobError(f"the job is to make '{self.stage}', which its recipe does not have")

    @property
    def makes_files(self) -> bool:
        """Whether it makes files of clips."""
        return self.recipe is not None and self.stage == RENDERED
