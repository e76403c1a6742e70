"""What people see: Dagster's web UI on the finished demo, in a real browser.

Screenshots of every page are left in pytest's temporary folder of the test.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 90_000
"""The pages ask a code server that shares its cores with the browser."""


@pytest.fixture(scope="module")
def ui(demo, tmp_path_factory) -> Iterator[str]:
    """Address of the UI over the demo's instance."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program = Path(sys.executable).with_name("dagster-webserver")
    host, _, port = address.partition(":")
    command = [str(program), "-w", "workspace.yaml", "-h", host, "-p", port]
    log = tmp_path_factory.mktemp("ui") / "webserver.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, cwd=ROOT, env=demo.environment, stdout=file, stderr=subprocess.STDOUT
        )
    while not answers(f"http://{address}/server_info"):
        if server.poll() is not None:
            pytest.fail(log.read_text())
        time.sleep(0.2)
    yield f"http://{address}"
    server.terminate()
    server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


@pytest.fixture(scope="module")
def page():
    """A tab of the system's Chromium, or of the one that `playwright install` brought."""
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        browser.close()


def leave(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=str(folder / f"{name}.png"))


def test_the_graph_shows_a_source_with_both_recipes(ui, page, tmp_path):
    page.goto(f"{ui}/locations/dj_assets/asset-groups/msr_vtt/lineage")
    for name, count in (("manifest", 1), ("raw", 1), ("media", 1), ("clips", 2), ("cleaned", 2)):
        expect(page.locator("svg").get_by_text(name, exact=True)).to_have_count(count)
    leave(page, tmp_path, "graph")


def test_every_shard_is_a_green_partition(ui, page, demo, tmp_path):
    shards = demo.truth["sources"]["msr_vtt"]["shards"]
    page.goto(f"{ui}/assets/msr_vtt/t2v/cleaned?view=partitions")
    expect(page.get_by_text(f"Materialized ({len(shards)})")).to_be_visible()
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    for shard in shards:
        expect(page.get_by_text(shard, exact=True).first).to_be_visible()
    leave(page, tmp_path, "partitions")


def test_a_shard_shows_its_numbers_funnel_and_charts_without_a_click(ui, page, tmp_path):
    page.goto(f"{ui}/assets/msr_vtt/t2v/cleaned?view=partitions&partition=00000")
    expect(page.get_by_text("dagster/partition_row_count")).to_be_visible()
    expect(page.locator("td", has_text="video_motion_score_filter").first).to_be_visible()
    chart = page.locator("img[src^='data:image/svg+xml']")
    expect(chart).to_have_count(6)
    for i in range(6):
        expect(chart.nth(i)).to_be_visible()
        assert chart.nth(i).evaluate("image => image.complete && image.naturalWidth") == 420
    leave(page, tmp_path, "shard")


def test_the_checks_of_a_stage_have_passed(ui, page, tmp_path):
    page.goto(f"{ui}/assets/msr_vtt/t2v/cleaned?view=checks&checkDetail=rows_conserved")
    for name in ("keep_rate", "rows_conserved", "schema", "unique_clip_id"):
        expect(page.get_by_text(name).first).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()
    leave(page, tmp_path, "checks")


def test_the_page_of_a_stage_explains_its_operators_and_columns(ui, page, tmp_path):
    page.goto(f"{ui}/assets/msr_vtt/t2v/cleaned?view=overview")
    expect(page.get_by_text("min_width = 128").first).to_be_visible()
    expect(page.get_by_text("stable id of the clip").first).to_be_visible()
    leave(page, tmp_path, "overview")
