"""What running a recipe would measure, keep and lose, told before anything runs.

Nothing is measured and nothing is written. Not here: how a stage is foreseen
(`foreseen_stage.py`); one table under other thresholds, without the stages
before it (`preview.py`); how people are told (`cli/forecast.py`).
"""

from __future__ import annotations

import dataclasses

from dj_ops_lib.engine.foreseen_stage import ForeseenStage, Reaching, StageForecast
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.tables import read_frame
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.media.access import Access
from dj_ops_lib.recipe import Recipe
from dj_ops_lib.warehouse import Warehouse

__all__ = ["Forecast", "StageForecast", "forecast"]


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What a recipe would do.

    Attributes:
        stages: Its stages, in order.
        unprobed: Shards of the source that have no `media` yet, and are left out.
    """

    stages: tuple[StageForecast, ...]
    unprobed: tuple[str, ...] = ()


def forecast(
    warehouse: Warehouse, recipe: Recipe, *, source: str, options: EngineOptions | None = None
) -> Forecast:
    """What running all stages of a recipe over all shards of a source would do.

    Each stage is given what the one before it would leave, not what its table holds now. Where a
    copy that an earlier shard keeps gives way to a better one of a later shard, the stage's own
    numbers say so and those of stages after it do not.

    Args:
        warehouse: Where the tables are.
        recipe: The recipe.
        source: Name of the source.
        options: Settings of the run, such as error classes to try again.

    Raises:
        WarehouseError: The source has no `media`.
    """
    options = options or EngineOptions(Access(()))
    media = f"{source}/media"
    if not warehouse.exists(media):
        raise WarehouseError(
            f"there is no table '{media}' in {warehouse.uri}: the source's files were not looked "
            "at yet, so that a change of the recipe changes nothing; is it the right --source?"
        )
    shards = sorted(warehouse.shards(media))
    raw = f"{source}/raw"
    every = warehouse.shards(raw) if warehouse.exists(raw) else {}
    stages = [ForeseenStage(warehouse, recipe, stage, source, options) for stage in recipe.stages]
    for shard in shards:
        rows = read_frame(warehouse, media, shard, where="keep = true")
        reaching = Reaching(rows)
        for stage in stages:
            reaching = stage.foresee(shard, reaching)
    return Forecast(
        tuple(stage.told() for stage in stages), tuple(s for s in sorted(every) if s not in shards)
    )
