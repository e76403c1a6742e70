"""Recipes: which operators, in which stages, with which parameters.

Plain values. Not here: reading and checking recipe files (`recipe_file.py`),
running a recipe (`engine/`), Dagster (`dj_assets/`).
"""

from __future__ import annotations

import dataclasses
import itertools

import pyarrow as pa

from dj_ops_lib.checks import ERRORS_EXPECTED
from dj_ops_lib.clip import CLIP_SCHEMA, digest
from dj_ops_lib.operator import DUPLICATE_COLUMNS, Column, Deduplicator, Operator
from dj_ops_lib.rendering import RENDERED_COLUMNS, Rendering


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """Operators that run together and whose result is one table.

    Attributes:
        name: Name of the stage and of its table.
        operators: In the order in which they are applied.
        keep_rate: (lowest, highest) share of the rows that is kept when all is well.
        error_share: Shares of rows in error above which it is a warning, and stops the run.
        remarks: For people: a line for each parameter that is accepted and does nothing.
    """

    name: str
    operators: tuple[Operator, ...]
    keep_rate: tuple[float, float] = (0.0, 1.0)
    error_share: tuple[float, float] = ERRORS_EXPECTED
    remarks: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the stage's operators add."""
        own = itertools.chain.from_iterable(o.columns for o in self.operators)
        duplicates = DUPLICATE_COLUMNS if self.deduplicates else ()
        return tuple(dict.fromkeys((*own, *duplicates)))

    @property
    def deduplicates(self) -> bool:
        """Whether the stage compares its clips with those of other shards."""
        return any(isinstance(o, Deduplicator) for o in self.operators)

    @property
    def measuring_fingerprint(self) -> str:
        """Changes when the stage would measure something else, not when a threshold moves."""
        return digest("stage", [o.fingerprint() for o in self.operators])

    @property
    def recipe_hash(self) -> str:
        """Changes when the stage would decide something else."""
        deciding = [[o.name, o.deciding_parameters()] for o in self.operators]
        return digest("recipe", self.measuring_fingerprint, deciding)


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Stages in order; the first one reads a source's `media` table.

    Attributes:
        name: Name of the recipe, and of the folder of its tables.
        stages: At least one.
        sources: Names of the sources that the recipe is applied to; empty for stand-alone use.
        description: For people.
        rendering: How the clips that the last stage keeps become files; None: they do not.
    """

    name: str
    stages: tuple[Stage, ...]
    sources: tuple[str, ...] = ()
    description: str = ""
    rendering: Rendering | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the recipe's parameters, a line each."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(s.remarks for s in self.stages)))

    def input_of(self, stage: Stage) -> str:
        """Name of the stage whose table `stage` reads."""
        position = self.stages.index(stage)
        return self.stages[position - 1].name if position else "media"

    def schema(self, stage: Stage) -> pa.Schema:
        """Columns of the stage's table: the clip's and those of all operators so far."""
        upto = self.stages[: self.stages.index(stage) + 1]
        added = dict.fromkeys(c.field for s in upto for c in s.columns)
        return pa.schema([*CLIP_SCHEMA, *added])

    @property
    def rendered_schema(self) -> pa.Schema:
        """Columns of the table of rendered clips: the last stage's, and their files."""
        return pa.schema([*self.schema(self.stages[-1]), *(c.field for c in RENDERED_COLUMNS)])
