"""Code versions of assets: what would be written, so that a release alone makes nothing stale.

Each is a digest of the versions that the library's parts carry, raised by whoever makes a part do
something else, and of the settings that show in the rows. Not here: where files lie on this machine
(a data set that moved is the same), and data versions (`tables.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dj_ops_lib.clip import CLIP_SCHEMA, digest

if TYPE_CHECKING:
    from dj_ops_lib.recipe import Stage
    from dj_ops_lib.rendering import Rendering
    from dj_ops_lib.sources.config import SourceConfig

_COLUMNS = [(field.name, str(field.type)) for field in CLIP_SCHEMA]


def of_manifest(config: SourceConfig) -> str:
    """The layout that is indexed, which files of it, and how many entries make a shard."""
    from dj_ops_lib.sources.manifest import VERSION

    reader = config.reader
    chosen = (config.annotations, config.rows_per_shard)
    return digest("manifest", VERSION, reader.name, reader.version, *chosen)[:12]


def of_raw(config: SourceConfig) -> str:
    """How the dataset's entries become rows, the licence that they carry, and the columns."""
    from dj_ops_lib.sources.ingest import VERSION

    reader = config.reader
    return digest("raw", VERSION, reader.name, reader.version, config.clip_license, _COLUMNS)[:12]


def of_media(config: SourceConfig) -> str:
    """What is read of a header, where videos are looked for, how they are named, and the bounds."""
    from dj_ops_lib.engine.probing import Probe

    probed = Probe(identity=config.identity).fingerprint()
    places = (config.media_root, config.extensions, config.object_store.model_dump())
    return digest("media", probed, *places, config.limits.model_dump(), _COLUMNS)[:12]


def of_stage(stage: Stage) -> str:
    """What is measured, a dot, and what is decided: a moved threshold is out of date, too."""
    return f"{stage.measuring_fingerprint[:12]}.{stage.recipe_hash[:12]}"


def of_rendered(rendering: Rendering) -> str:
    """How clips are cut and encoded; where the files go does not show in them."""
    from dj_ops_lib.engine.rendering import Render

    return Render(folder="", rendering=rendering).fingerprint()[:12]
