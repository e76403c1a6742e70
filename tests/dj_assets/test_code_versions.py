"""An asset is out of date when it would be written otherwise, and not because of a release."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import dagster as dg
import pytest

from dj_assets.stages import recipe_assets, source_assets
from dj_ops_lib.engine.probing import Probe
from dj_ops_lib.engine.rendering import Render
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.sources import ingest, manifest
from dj_ops_lib.sources.config import LimitsConfig, ObjectStoreConfig, SourceConfig
from dj_ops_lib.sources.panda70m import Panda70M

ALL = {"manifest", "raw", "media", "t2v/cleaned", "t2v/rendered"}


def versions(
    config: SourceConfig | None = None, rendering: Rendering | None = None, **threshold: Any
) -> dict[str, str]:
    """Code version by table of one source and a recipe of one stage that renders."""
    config = config or SourceConfig(name="panda70m")
    operator = make_operator("video_duration_filter", threshold)
    rendering = rendering or Rendering()
    recipe = Recipe("t2v", (Stage("cleaned", (operator,)),), ("panda70m",), rendering=rendering)
    found: dict[str, str] = {}
    for asset in (*source_assets(config), *recipe_assets(recipe, config)):
        assert isinstance(asset, dg.AssetsDefinition)
        for key, version in asset.code_versions_by_key.items():
            found[key.to_user_string().removeprefix("panda70m/")] = str(version)
    return found


def changed(after: dict[str, str]) -> set[str]:
    before = versions()
    assert before.keys() == after.keys() == ALL
    return {name for name in ALL if before[name] != after[name]}


@pytest.mark.parametrize(
    ("settings", "tables"),
    [
        ({"rows_per_shard": 7}, {"manifest"}),
        ({"annotations": ("panda70m_testing.csv",)}, {"manifest"}),
        ({"license": "CC0"}, {"raw"}),
        ({"identity": "etag"}, {"media"}),
        ({"media_root": "s3://bucket/videos"}, {"media"}),
        ({"extensions": ("mp4",)}, {"media"}),
        ({"limits": LimitsConfig(max_width=100)}, {"media"}),
        ({"object_store": ObjectStoreConfig(unsigned=True)}, {"media"}),
        ({"root": "/elsewhere"}, set()),
    ],
)
def test_a_setting_makes_the_table_out_of_date_whose_rows_it_changes(
    settings: dict[str, Any], tables: set[str]
) -> None:
    assert changed(versions(SourceConfig(name="panda70m", **settings))) == tables


@pytest.mark.parametrize(
    ("part", "name", "tables"),
    [
        (manifest, "VERSION", {"manifest"}),
        (ingest, "VERSION", {"raw"}),
        (Panda70M, "version", {"manifest", "raw"}),
        (Probe, "version", {"media"}),
        (Render, "version", {"t2v/rendered"}),
    ],
)
def test_a_part_that_does_something_else_makes_its_table_out_of_date(
    part: Any, name: str, tables: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = versions()
    monkeypatch.setattr(part, name, "another")
    after = versions()
    assert {t for t in ALL if before[t] != after[t]} == tables


def test_how_clips_are_encoded_shows_and_how_long_it_may_take_does_not() -> None:
    assert changed(versions(rendering=Rendering(crf=30))) == {"t2v/rendered"}
    assert changed(versions(rendering=Rendering(threads=4, deadline_s=60.0))) == set()
    assert changed(versions(min_duration=2.0)) == {"t2v/cleaned"}


def test_a_release_alone_makes_nothing_out_of_date() -> None:
    program = (
        "import json, dj_ops_lib\n"
        "dj_ops_lib.__version__ = '99.0.0'\n"
        "from dj_assets.build import build_defs\n"
        "graph = build_defs().resolve_asset_graph()\n"
        "keys = sorted(graph.get_all_asset_keys())\n"
        "print(json.dumps([[k.to_user_string(), graph.get(k).code_version] for k in keys]))\n"
    )
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, check=True
            ).stdout
        )
        for text in (program, program.replace("99.0.0", "99.0.1"))
    ]
    assert found[0] == found[1]
    assert ["panda70m/raw", versions()["raw"]] in found[0]
