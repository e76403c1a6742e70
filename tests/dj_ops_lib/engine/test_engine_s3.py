"""Videos in a bucket go through probing and decoding like local ones, and are not read twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_operators import BrightnessFilter
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.pool import stop_workers
from dj_ops_lib.engine.shard import probe_shard
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.report import StageReport
from tests.dj_ops_lib.warehouse.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

pytestmark = [pytest.mark.s3, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


@pytest.mark.parametrize("identity", ["etag", "sha256"])
def test_a_bucket_of_videos(
    server: Seaweed,
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    identity: str,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)

    def put(name: str, level: int) -> None:
        write_video(tmp_path / "made.mp4", 1, level=level)
        body = (tmp_path / "made.mp4").read_bytes()
        server.client().put_object(Bucket=BUCKET, Key=f"{identity}/{name}.mp4", Body=body)

    def probe() -> StageReport:
        return probe_shard(
            workshop.warehouse, source="toys", shard="0", options=options, locate=locate
        )

    def locate(source_id: str) -> str:
        return f"s3://{BUCKET}/{identity}/{source_id}.mp4"

    access = Access(
        roots=(f"s3://{BUCKET}/{identity}",),
        identity=identity,  # type: ignore[arg-type]
        object_store=ObjectStore(endpoint_url=server.endpoint, region="us-east-1"),
    )
    # Credentials are those of the environment that a worker was started in: new workers.
    stop_workers()
    options = dataclasses.replace(workshop.options, access=access)
    put("dark", 40)
    put("bright", 200)
    workshop.raw("0", [{"source_id": n} for n in ("dark", "bright", "missing")])
    assert probe().errors == {"missing": 1}
    media = workshop.frame("toys/media").filter("keep")
    assert media["media_id"].str.starts_with(f"{identity}:").all()
    workshop.options = options
    workshop.run(BrightnessFilter(least=100))
    assert workshop.frame()["keep"].to_list() == [False, True]
    assert probe().measured == 0
    put("dark", 220)
    assert probe().measured == 1
    workshop.run(BrightnessFilter(least=100))
    assert workshop.frame()["keep"].to_list() == [True, True]
