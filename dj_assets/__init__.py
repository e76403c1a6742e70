"""The Dagster half: assets, checks, metadata and automation over `dj_ops_lib`.

Nothing here touches a frame. `build.py` assembles the definitions.
"""
