"""Strangers' files in a real shard: each costs its own row, and its neighbours nothing."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import offending_files as files
import psutil
import pytest
from engine_operators import BrightnessFilter, FlowFilter, noted
from engine_workshop import Workshop, wait_for, workers_of, write_video

from dj_ops_lib.engine.pool import stop_workers
from dj_ops_lib.operator import Operator
from dj_ops_lib.warehouse import Warehouse

NEIGHBOURS = ("first", "second")
OPTIONS: dict[str, Any] = {"attempts": 1, "memory_mb": 256, "deadline_ratio": 0}


@dataclasses.dataclass(frozen=True)
class Offender:
    """A file, and what the row says that it costs."""

    make: Callable[[Path], None]
    error_class: str
    message: str
    operator: Operator = BrightnessFilter()  # noqa: RUF009  (a frozen model)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


DECODED = {
    "crash": Offender(files.low, "decoder_crash", "SIGSEGV", FlowFilter()),
    "hang": Offender(files.long, "timeout", "not finished after 4 s", options={"deadline_s": 4}),
    "bomb": Offender(files.unfolding, "out_of_memory", "memory limit of a worker"),
    "torn": Offender(files.torn, "decode_error", "torn.mp4: damaged packet"),
}
"""Files that can be opened: they show what they are when they are decoded."""

PROBED = {
    "vast": Offender(files.vast, "too_large", "10000x10000 pixels, more than the limit"),
    "endless": Offender(files.endless, "too_large", "1073742 s, more than the limit"),
    "truncated": Offender(files.truncated, "corrupt", "truncated.mp4: cannot be opened"),
    "playlist": Offender(files.playlist, "corrupt", "playlist.mp4: cannot be opened"),
    "pipe": Offender(files.pipe, "unsupported", "not a regular file"),
}
"""Files that are refused when they are opened, or before."""


def shard_of(workshop: Workshop, name: str, source_ids: Sequence[str]) -> Workshop:
    """A warehouse of its own with these videos as a shard."""
    made = dataclasses.replace(workshop, warehouse=Warehouse(str(workshop.root / name)))
    made.raw("0", [{"source_id": i} for i in source_ids])
    return made


@pytest.fixture
def neighbours(workshop: Workshop) -> Workshop:
    """A shard of two good videos, probed."""
    for i, name in enumerate(NEIGHBOURS):
        write_video(workshop.videos / f"{name}.mp4", 1 + i, level=60 + 80 * i)
    alone = shard_of(workshop, "alone", NEIGHBOURS)
    alone.probe(**OPTIONS)
    return alone


def error_of(rows: list[dict[str, Any]], name: str) -> tuple[str, int]:
    (row,) = (r for r in rows if r["source_id"] == name)
    assert (row["keep"], row["rejected_by"]) == (False, None)
    return row["error"]["class"], row["error"]["attempts"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DECODED)
def test_a_file_that_breaks_its_decoding_costs_its_own_row(neighbours: Workshop, name: str) -> None:
    offender = DECODED[name]
    options = OPTIONS | offender.options
    neighbours.run(offender.operator, **options)
    offender.make(neighbours.videos / f"{name}.mp4")
    shared = shard_of(neighbours, "shared", [*NEIGHBOURS, name])
    assert shared.probe(**OPTIONS).errors == {}  # a million packets are counted, which takes 3 s

    report = shared.run(offender.operator, **options)
    assert report.errors == {offender.error_class: 1}
    rows = shared.rows()
    assert error_of(rows, name) == (offender.error_class, 1)
    assert offender.message in rows[-1]["error"]["message"]
    assert rows[-1]["error"]["operator"] == offender.operator.name
    assert rows[:-1] == neighbours.rows()

    assert shared.run(offender.operator, **options).measured == 0
    assert shared.rows() == rows
    others = ("corrupt", "missing")
    assert shared.run(offender.operator, **options, retry_errors=others).measured == 0
    again = (offender.error_class,)
    assert shared.run(offender.operator, **options, retry_errors=again).measured == 1
    assert error_of(shared.rows(), name) == (offender.error_class, 2)
    assert shared.rows()[:-1] == neighbours.rows()


def test_files_that_cannot_be_opened_cost_their_own_rows(neighbours: Workshop) -> None:
    for name, offender in PROBED.items():
        offender.make(neighbours.videos / f"{name}.mp4")
    secret = neighbours.root / "secret.ts"
    read_at = secret.stat().st_atime_ns
    shared = shard_of(neighbours, "shared", [*NEIGHBOURS, *PROBED])
    report = shared.probe(**OPTIONS)
    assert report.kept == len(NEIGHBOURS)
    assert report.errors == {"too_large": 2, "corrupt": 2, "unsupported": 1}
    rows = shared.rows("toys/media")
    assert rows[: len(NEIGHBOURS)] == neighbours.rows("toys/media")
    for row, (name, offender) in zip(rows[len(NEIGHBOURS) :], PROBED.items(), strict=True):
        assert error_of(rows, name) == (offender.error_class, 1)
        assert offender.message in row["error"]["message"]
        assert row["availability"] == offender.error_class
    assert secret.stat().st_atime_ns == read_at

    assert shared.probe(**OPTIONS).measured == 0
    assert shared.rows("toys/media") == rows
    assert shared.probe(**OPTIONS, retry_errors=("too_large",)).measured == 2
    assert shared.probe(**OPTIONS, retry_errors=("all",)).measured == 4
    tried = {n: error_of(shared.rows("toys/media"), n)[1] for n in PROBED}
    # A pipe is refused by what its folder says of it, and so never tried.
    assert tried == {"vast": 3, "endless": 3, "truncated": 2, "playlist": 2, "pipe": 1}
    assert shared.run(BrightnessFilter(), **OPTIONS).rows_out == len(NEIGHBOURS)


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_costs_the_clip_that_it_was_at(
    neighbours: Workshop,
) -> None:
    log = neighbours.root / "log"
    operator = BrightnessFilter(log=str(log))
    neighbours.run(operator, **OPTIONS)
    log.unlink()
    files.long(neighbours.videos / "long.mp4")
    shared = shard_of(neighbours, "shared", [*NEIGHBOURS, "long"])
    shared.probe(**OPTIONS)
    stop_workers()

    def kill() -> None:
        wait_for(lambda: noted(log) == ["long"])
        (worker,) = workers_of(psutil.Process())
        worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    # The longest is begun first, and nothing else while the only worker is at it.
    report = shared.run(operator, workers=1, **OPTIONS)
    killer.join()
    assert report.errors == {"out_of_memory": 1}
    assert error_of(shared.rows(), "long") == ("out_of_memory", 1)
    assert "killed by the system" in shared.rows()[-1]["error"]["message"]
    assert shared.rows()[:-1] == neighbours.rows()
    assert noted(log) == ["long", "second", "first"]
