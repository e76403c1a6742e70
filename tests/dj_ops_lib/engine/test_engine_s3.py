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
from dj_ops_lib.errors import OutageError
from dj_ops_lib.media import object_store
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.report import StageReport
from dj_ops_lib.warehouse.tombstones import Tombstone
from tests.dj_ops_lib.warehouse.seaweed import ACCESS_KEY, BUCKET, READER_KEY, SECRET_KEY, Seaweed

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


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("bucket", "key", "secret", "said"),
    [
        ("no-such-bucket", ACCESS_KEY, SECRET_KEY, "NoSuchBucket.*create the bucket"),
        (BUCKET, ACCESS_KEY, "wrong", "SignatureDoesNotMatch.*correct AWS_ACCESS_KEY_ID"),
        (BUCKET, "nobody", SECRET_KEY, "InvalidAccessKeyId.*correct AWS_ACCESS_KEY_ID"),
    ],
)
def test_settings_that_are_wrong_end_the_stage(
    server: Seaweed,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    key: str,
    secret: str,
    said: str,
) -> None:
    """Each used to be an error of every video; a video that is not there still is one."""
    write_video(workshop.videos / "a.mp4", 1)
    server.client().upload_file(str(workshop.videos / "a.mp4"), BUCKET, "outage/a.mp4")
    workshop.raw("0", [{"source_id": n} for n in ("a", "not_there")])
    store = ObjectStore(server.endpoint, "us-east-1")

    def probe(bucket: str) -> StageReport:
        object_store._client_of.cache_clear()
        stop_workers()
        workshop.locate = lambda n: f"s3://{bucket}/outage/{n}.mp4"  # type: ignore[method-assign]
        return workshop.probe(access=Access((f"s3://{bucket}/outage",), object_store=store))

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with pytest.raises(OutageError, match=f"s3://{bucket}/outage/.*{said}"):
        probe(bucket)
    assert not workshop.warehouse.exists("toys/media")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    assert probe(BUCKET).errors == {"missing": 1}


@pytest.mark.usefixtures("credentials")
def test_keys_that_may_only_read_end_the_rendering(
    server: Seaweed, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(workshop.videos / "a.mp4", 1)
    workshop.raw("0", [{"source_id": "a"}])
    workshop.probe()
    workshop.run(LengthFilter())
    for name, value in (("ENDPOINT", server.endpoint), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    recipe = Recipe("r", (Stage("cleaned", (LengthFilter(),)),), rendering=Rendering())

    def render(key: str) -> StageReport:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        object_store._client_of.cache_clear()
        stop_workers()
        return render_shard(
            workshop.warehouse,
            recipe,
            source="toys",
            shard="0",
            options=dataclasses.replace(workshop.options, attempts=1),
            folder=f"s3://{BUCKET}/read_only",
            rendering=Rendering(),
        )

    with pytest.raises(OutageError, match=f"s3://{BUCKET}/read_only/.*AccessDenied.*the right to"):
        render(READER_KEY)
    assert not workshop.warehouse.exists("toys/r/rendered")
    assert render(ACCESS_KEY).files == {"copied": 1}
