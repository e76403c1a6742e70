"""Assembles the definitions: the only place that does, and the seam for tests.

`build_defs(project=..., warehouse=..., compute=...)` returns fresh definitions
with parts replaced, so that nothing has to be patched. What the parts are is in
`components.py` and `resources.py`.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dj_assets.automation import nightly
from dj_assets.maintenance import maintenance
from dj_assets.resources import Compute, WarehouseResource


def build_defs(
    *,
    project: Path | None = None,
    warehouse: WarehouseResource | None = None,
    compute: Compute | None = None,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """All definitions of this code location.

    Args:
        project: Folder whose `[tool.dg]` says where the `defs` folder is; default: this project.
        warehouse: Where the tables are; default: from the environment.
        compute: Where shards are processed; default: this machine's cores.
        executor: Default: in this process. Fifteen assets of one shard took 5 s so, 49 s with a
            process a step (measured 2026-11); processes belong to the engine.
    """
    folder = dg.load_from_defs_folder(path_within_project=project or Path(__file__).parent)
    return dg.Definitions.merge(
        folder,
        dg.Definitions(
            assets=[maintenance],
            sensors=[nightly()],
            resources={
                "warehouse": warehouse or WarehouseResource(),
                "compute": compute or Compute(),
            },
            executor=executor or dg.in_process_executor,
        ),
    )
