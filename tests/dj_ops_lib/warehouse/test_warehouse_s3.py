"""The warehouse on a real S3 server, and that its credentials go nowhere else."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import uuid

import polars as pl
import pytest
from seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed
from warehouse_rows import WITH_SCORE, clip_row, contents, expected, put

from dj_ops_lib.errors import ConflictError, OutageError, WarehouseError
from dj_ops_lib.warehouse import Warehouse
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

pytestmark = [pytest.mark.s3, pytest.mark.slow]

TABLE = "demo/t2v/cleaned"
NOW = Policy(2, index_at=1, keep_for=dt.timedelta(0), orphans_after=dt.timedelta(0))


def test_everything_works_on_s3_as_on_disk(s3_warehouse):
    place = s3_warehouse
    assert place.tables() == []
    first = put(place, TABLE, "a", 3, "old")
    put(place, TABLE, "b", 4, "old", schema=WITH_SCORE, rows=None)
    put(place, TABLE, "empty", 0)
    with pytest.raises(ConflictError):
        put(place, TABLE, "a", 1, expected_version=first)
    put(place, TABLE, "a", 2, "new")
    assert contents(place, TABLE) == expected({"a": (2, "new"), "b": (4, "old")})
    assert place.tables() == [TABLE]
    place.tag(TABLE, "release")
    done = place.maintain(TABLE, NOW)
    assert (done.fragments_after, done.versions_removed > 0) == (1, True)
    assert place.shards(TABLE) == {"a": 2, "b": 4, "empty": 0}
    assert place.lazy(TABLE).select(pl.len()).collect().item() == 6
    assert place.duckdb(TABLE).count("*").fetchall() == [(6,)]
    assert place.lancedb(TABLE).count_rows() == 6
    assert place.diff(TABLE, "release").changed == []
    assert place.explain(TABLE, "a/1").annotation_row == 2
    taken = place.takedown([Tombstone("source_id", "video-b-0")], purge_versions=True)
    assert [t.tag for t in taken.tagged] == ["release"]
    put(place, TABLE, "b", 4, "again")
    assert place.shards(TABLE) == {"a": 2, "b": 3, "empty": 0}


def test_orphans_and_rendered_files_on_s3_are_removed(s3_warehouse, seaweed):
    prefix = s3_warehouse.uri.removeprefix(f"s3://{BUCKET}/")
    client = seaweed.client()
    row = clip_row("a", 0, signature="0a1b")
    put(s3_warehouse, TABLE, "a", 0, rows=[row])
    orphan, film = f"{prefix}/{TABLE}.lance/data/orphan.lance", f"{prefix}/rendered/x/0a1b.mp4"
    for key in (orphan, film):
        client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    assert s3_warehouse.maintain(TABLE, NOW).orphans_removed == 1
    done = s3_warehouse.takedown(
        [Tombstone("clip", "a/0")], rendered=[f"{s3_warehouse.uri}/rendered"]
    )
    assert len(done.files) == 1
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert {orphan, film} & {o["Key"] for o in listed} == set()


def test_credentials_may_come_from_the_environment(seaweed: Seaweed):
    uri = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    code = (
        "import sys; from warehouse_rows import put; from dj_ops_lib.warehouse import Warehouse; "
        f"w = Warehouse({uri!r}); put(w, 'x/raw', 's', 3); print(w.shards('x/raw'), w.tables())"
    )
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": seaweed.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{'s': 3} ['x/raw']\n", done.stderr


def test_no_object_holds_the_credentials(s3_warehouse, seaweed):
    put(s3_warehouse, TABLE, "a", 3)
    put(s3_warehouse, TABLE, "b", 3, schema=WITH_SCORE, rows=None)
    s3_warehouse.maintain(TABLE, NOW)
    s3_warehouse.takedown([Tombstone("source_id", "video-a-0")])
    client = seaweed.client()
    listed = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert len(listed) > 10
    for item in listed:
        body = client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        assert SECRET_KEY.encode() not in body, item["Key"]
        assert ACCESS_KEY.encode() not in body, item["Key"]


@pytest.mark.parametrize("wrong", ["aws_access_key_id", "aws_secret_access_key", "aws_endpoint"])
def test_errors_show_neither_key(seaweed, wrong):
    options = seaweed.options | {wrong: "http://127.0.0.1:1" if "endpoint" in wrong else "no-such"}
    options |= {"client_max_retries": "0", "retry_timeout": "1 s"}
    place = Warehouse(f"s3://{BUCKET}/x", options)
    for attempt in (lambda: place.exists(TABLE), place.tables, lambda: put(place, TABLE, "a", 1)):
        with pytest.raises((WarehouseError, OutageError)) as refused:
            attempt()
        shown = "".join(map(str, [refused.value, repr(refused.value), refused.value.__cause__]))
        for secret in (ACCESS_KEY, SECRET_KEY):
            assert secret not in shown
