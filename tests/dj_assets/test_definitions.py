"""The code location as a whole: how it loads, what is in it, and that its two addresses agree."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import yaml

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "ray", "cv2", "av", "onnxruntime", "lance", "duckdb", "boto3")


def test_loading_is_quick_and_needs_no_heavy_library():
    program = (
        "import json, sys, time\n"
        "import dj_assets.definitions\n"
        "dj_assets.definitions.defs().resolve_asset_graph()\n"
        f"loaded = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print(json.dumps([time.process_time(), loaded]))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, loaded = json.loads(done.stdout)
    assert loaded == []
    # CPU time of the process, which a busy machine does not stretch; 1.8 s on 2026-11-22.
    assert seconds < 3


def test_importing_the_module_builds_nothing():
    program = "import sys, dj_assets.definitions; print('dj_assets.build' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_workspace_and_dg_configuration_name_the_same_code_location():
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    module = entry["python_module"]
    assert module["module_name"] == project["code_location_target_module"]
    assert module["location_name"] == project["code_location_name"]


def test_the_asset_graph(definitions, snapshot):
    graph = definitions.resolve_asset_graph()
    described = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        described[key.to_user_string()] = {
            "made from": sorted(k.to_user_string() for k in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "partitions": node.partitions_def.name if node.partitions_def else None,
            "checks": sorted(k.name for k in node.check_keys),
            "tags": dict(sorted((k, v) for k, v in node.tags.items() if k.startswith("dj/"))),
        }
    assert described == snapshot


def test_the_stages_of_a_source_can_share_a_run(definitions):
    """Dagster puts assets in one run only if partitions and policy are the same objects."""
    graph = definitions.resolve_asset_graph()
    nodes = [n for n in map(graph.get, graph.get_all_asset_keys()) if n.is_partitioned]
    for source in {n.key.path[0] for n in nodes}:
        own = [n for n in nodes if n.key.path[0] == source]
        assert len({id(n.partitions_def) for n in own}) == 1
    assert len({id(n.backfill_policy) for n in nodes}) == 1


def test_every_asset_says_what_it_is(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert len(graph.get(key).description) > 40, key


def test_steps_run_in_the_process_of_the_run(definitions):
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.executor_def is dg.in_process_executor


def test_a_moved_threshold_and_a_new_measurement_both_make_a_stage_out_of_date(definitions):
    """Same measuring half where only thresholds differ, so that people see what it costs."""
    graph = definitions.resolve_asset_graph()
    versions = {
        recipe: graph.get(dg.AssetKey(["msr_vtt", recipe, "cleaned"])).code_version.split(".")
        for recipe in ("t2v", "strict")
    }
    assert versions["t2v"][1] != versions["strict"][1]
    clips = [graph.get(dg.AssetKey(["msr_vtt", r, "clips"])).code_version for r in versions]
    assert clips[0] == clips[1]
