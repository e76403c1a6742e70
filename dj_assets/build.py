"""Assembles the definitions: the only place that does, and the seam for tests.

`build_defs(project=..., warehouse=..., compute=...)` returns fresh definitions
with parts replaced, so that nothing has to be patched. What the parts are is in
`components.py` and `resources.py`.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from dj_assets.automation import nightly
from dj_assets.broken import ToleratingTree
from dj_assets.maintenance import maintenance
from dj_assets.resources import Compute, WarehouseResource


def build_defs(
    *,
    project: Path | None = None,
    warehouse: WarehouseResource | None = None,
    compute: Compute | None = None,
    executor: dg.ExecutorDefinition | None = None,
    strict: bool = False,
) -> dg.Definitions:
    """All definitions of this code location.

    Args:
        project: Folder whose `[tool.dg]` says where the `defs` folder is; default: this project.
        warehouse: Where the tables are; default: from the environment.
        compute: Where shards are processed; default: this machine's cores.
        executor: Default: in this process. Fifteen assets of one shard took 5 s so, 49 s with a
            process a step (measured 2026-11); processes belong to the engine.
        strict: Refuse a broken file under `defs/`; else its assets cannot be run (`broken.py`).
    """
    tree = dg.ComponentTree if strict else ToleratingTree
    folder = tree.for_project(project or Path(__file__).parent).build_defs()
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
