"""What a click on Materialize does: `dagster dev` with its daemon, asked as the web UI asks it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dj_assets.runs import Run
from dj_ops_lib.warehouse import Warehouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STAGES = [["raw"], ["media"], ["t2v", "clips"], ["t2v", "cleaned"], ["t2v", "deduplicated"]]
LAUNCH = """mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
STATUS = """query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 50) { status tags { key value } } }
  }
}"""
Ask = Callable[[str, dict], dict]


@pytest.fixture
def environment(demo, tmp_path) -> dict[str, str]:
    """A new instance and warehouse over the demo's files; the manifest is there."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "deployments" / "local" / "dagster.yaml", home)
    places = {"DAGSTER_HOME": str(home), "DJ_WAREHOUSE": str(tmp_path / "warehouse")}
    environment = demo.environment | places
    subprocess.run(
        Run(("panda70m",), None).command(), cwd=ROOT, env=environment, check=True, text=True
    )
    return environment


@pytest.fixture
def ask(environment, tmp_path) -> Iterator[Ask]:
    """GraphQL to a running `dagster dev`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = Path(sys.executable).with_name("dagster")
    command = [str(program), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", port]
    with (tmp_path / "dev.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def ask(query: str, variables: dict) -> dict:
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{port}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())["data"]

    while True:
        try:
            ask("{ version }", {})
            break
        except urllib.error.URLError:
            assert server.poll() is None, (tmp_path / "dev.log").read_text()
            time.sleep(0.5)
    yield ask
    os.killpg(server.pid, signal.SIGINT)
    server.wait()


def test_a_backfill_from_the_ui_is_one_run_a_shard_through_all_stages(ask, environment, demo):
    shards = demo.truth["sources"]["panda70m"]["shards"]
    selection = [{"path": ["panda70m", *stage]} for stage in STAGES]
    parameters = {"assetSelection": selection, "partitionNames": shards}
    launched = ask(LAUNCH, {"parameters": parameters})["launchPartitionBackfill"]
    status = "REQUESTED"
    while status in {"REQUESTED", "COMPLETING"}:
        time.sleep(1)
        found = ask(STATUS, {"id": launched["backfillId"]})["partitionBackfillOrError"]
        status = found["status"]
    assert status == "COMPLETED_SUCCESS"
    tags = [{t["key"]: t["value"] for t in run["tags"]} for run in found["runs"]]
    assert sorted(t["dagster/partition"] for t in tags) == shards
    warehouse = Warehouse(environment["DJ_WAREHOUSE"])
    for stage in STAGES:
        name = "/".join(["panda70m", *stage])
        theirs = demo.warehouse.lazy(name).select("clip_id", "keep").collect().sort("clip_id")
        assert (
            warehouse.lazy(name).select("clip_id", "keep").collect().sort("clip_id").equals(theirs)
        )
