"""Fixtures of the engine's tests: an empty warehouse, and one with a few shards' worth of clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_workshop import Workshop, write_video

from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.media.access import Access
from dj_ops_lib.warehouse import Warehouse


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    videos = tmp_path / "videos"
    videos.mkdir()
    options = EngineOptions(
        access=Access(roots=(str(videos),)),
        workers=2,
        deadline_s=60,
        memory_mb=1024,
    )
    return Workshop(tmp_path, Warehouse(str(tmp_path / "warehouse")), options)


@pytest.fixture
def shelf(workshop: Workshop) -> Workshop:
    """A workshop with four probed clips of 1 to 4 s: dark, darker, bright, brighter."""
    for name, seconds, level in (("a", 1, 40), ("b", 2, 80), ("c", 3, 160), ("d", 4, 220)):
        write_video(workshop.videos / f"{name}.mp4", seconds, level=level)
    workshop.raw("0", [{"source_id": name, "text": f"video {name}"} for name in "abcd"])
    workshop.probe()
    return workshop


@pytest.fixture(scope="session", autouse=True)
def _no_workers_left() -> Iterator[None]:
    yield
    from dj_ops_lib.engine.pool import stop_workers

    stop_workers()
