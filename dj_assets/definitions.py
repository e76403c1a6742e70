"""The code location's entry point; nothing is built before Dagster asks. See `build.py`."""

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Sources and recipes under `defs/`, with their resources."""
    from dj_assets.build import build_defs

    return build_defs()
