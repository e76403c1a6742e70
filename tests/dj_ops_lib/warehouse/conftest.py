"""Places to keep a warehouse: a folder, and a bucket of a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from seaweed import BUCKET, Seaweed

from dj_ops_lib.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "warehouse"))


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.stop()


@pytest.fixture
def s3_warehouse(seaweed: Seaweed) -> Warehouse:
    return Warehouse(f"s3://{BUCKET}/{uuid.uuid4().hex}", seaweed.options)
