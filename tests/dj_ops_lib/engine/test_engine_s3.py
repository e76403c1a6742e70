"""Videos in a bucket go through probing and decoding like local ones, and are not read twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_operators import BrightnessFilter, LengthFilter
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.options import EngineOptions, Progress
from dj_ops_lib.engine.pool import stop_workers
from dj_ops_lib.engine.rendering import render_shard
from dj_ops_lib.engine.shard import probe_shard
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse.tombstones import Tombstone
from tests.dj_ops_lib.warehouse.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

pytestmark = [pytest.mark.s3, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the environment, which workers see that are started from now on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    stop_workers()


@pytest.mark.usefixtures("credentials")
def test_clips_are_rendered_into_a_bucket_and_a_takedown_leaves_none_there(
    server: Seaweed, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name, level in (("gone", 40), ("stays", 200)):
        write_video(workshop.videos / f"{name}.mp4", 2, level=level)
    workshop.raw("0", [{"source_id": n} for n in ("gone", "stays")])
    workshop.probe()
    workshop.run(LengthFilter())
    folder = f"s3://{BUCKET}/files"
    taken = []

    def take_down(_: Progress) -> None:
        if not taken:  # the other clip's file gets its name afterwards
            stones = [Tombstone("source_id", "gone")]
            taken.append(workshop.warehouse.takedown(stones, rendered=[folder]))

    def render(options: EngineOptions) -> StageReport:
        return render_shard(
            workshop.warehouse,
            Recipe("r", (Stage("cleaned", (LengthFilter(),)),)),
            source="toys",
            shard="0",
            options=options,
            folder=folder,
            rendering=Rendering(preset="ultrafast", crf=20),
        )

    render(dataclasses.replace(workshop.options, progress=take_down))
    (row,) = workshop.rows("toys/r/rendered")
    listed = server.client().list_objects_v2(Bucket=BUCKET, Prefix="files/")["Contents"]
    objects = {f"s3://{BUCKET}/{o['Key']}": o["Size"] for o in listed if o["Size"]}
    assert objects == {row["rendered_uri"]: row["rendered_bytes"]}
    assert render(workshop.options).files == {"found": 1}


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("identity", ["etag", "sha256"])
def test_a_bucket_of_videos(
    server: Seaweed, workshop: Workshop, tmp_path: Path, identity: str
) -> None:
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
