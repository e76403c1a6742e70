"""What keeping results costs on S3: requests are counted on their way to a real server."""

from __future__ import annotations

import collections
import uuid
from collections.abc import Iterator

import pytest
from engine_operators import BrightnessFilter, HalvesSplitter, MiddleFilter
from engine_workshop import Workshop, write_video

from dj_ops_lib.warehouse import Warehouse
from tests.dj_ops_lib.warehouse.counting_proxy import CountingProxy
from tests.dj_ops_lib.warehouse.seaweed import BUCKET, Seaweed

pytestmark = [pytest.mark.s3, pytest.mark.slow]

MOST = 40
"""Requests of a stage for all that it does with results; of them 7 for each file on the way."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


def for_results(requests: list[str]) -> collections.Counter[str]:
    """The requests about results, by method and kind of file; tombstones are read for them, too."""
    kinds = {"_results_spool": "spool", "results.lance": "table", "tombstones.lance": "tombstones"}
    return collections.Counter(
        f"{r.split()[0]} {kind}" for r in requests for name, kind in kinds.items() if name in r
    )


def test_a_stage_asks_the_store_at_most_forty_times_because_of_results(
    server: Seaweed, workshop: Workshop
) -> None:
    for name, level in (("a", 40), ("b", 160)):
        write_video(workshop.videos / f"{name}.mp4", 1, level=level)
    with CountingProxy(server.endpoint) as proxy:
        options = {**server.options, "aws_endpoint": proxy.endpoint}
        workshop.warehouse = Warehouse(f"s3://{BUCKET}/{uuid.uuid4().hex}", options)
        workshop.raw("0", [{"source_id": "a"}, {"source_id": "b"}])
        counts = {}

        def counted(name: str, *operators, **changes) -> None:
            proxy.requests.clear()
            workshop.run(*operators, **changes)
            counts[name] = for_results(proxy.requests)

        workshop.probe()
        all_of_them = (BrightnessFilter(), MiddleFilter(), HalvesSplitter())
        counted("all measured, two files", *all_of_them, results_every_s=0.0, workers=1)
        counted("nothing measured", *all_of_them)
        counted("another recipe", *all_of_them, recipe="other")
        counted("one stage of another shape", *all_of_them[:2], recipe="third")
    for name, count in counts.items():
        print(f"{name}: {count.total()} requests: {dict(count)}")
    assert counts["all measured, two files"]["PUT spool"] >= 2
    assert max(count.total() for count in counts.values()) <= MOST
