"""Videos of a source on a real S3 server are found by id, whatever their extension."""

from __future__ import annotations

import pytest

from dj_ops_lib.media.fetch import identify
from dj_ops_lib.sources.config import SourceConfig
from tests.dj_ops_lib.warehouse.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

pytestmark = [pytest.mark.s3, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


def test_videos_are_found_by_id_in_a_bucket(server, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    for key in (
        "set/videos/a.webm",
        "set/videos/b.mp4",
        "set/videos/c",
        "set/videos/d.MOV",
        "set/secret.mp4",
    ):
        server.client().put_object(Bucket=BUCKET, Key=key, Body=b"video")
    root = f"s3://{BUCKET}/set/videos"
    config = SourceConfig(
        name="internvid",
        root=str(tmp_path),
        media_root=root,
        identity="etag",
        object_store={"endpoint_url": server.endpoint, "region": "us-east-1"},
    )
    found = {video: config.locate(video) for video in ("a", "b", "c", "d", "none")}
    assert found == {
        "a": f"{root}/a.webm",
        "b": f"{root}/b.mp4",
        "c": f"{root}/c",
        "d": f"{root}/d.MOV",
        "none": None,
    }
    assert config.locate("../secret") == f"{root}/../secret"  # refused when it is read
    media_id, size = identify(found["a"], config.access())
    assert media_id.startswith("etag:")
    assert size == 5
