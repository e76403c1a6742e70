"""`dj results ls` and `prune`: what is kept, what is in use, and that nothing else goes."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_operators import BrightnessFilter, HalvesSplitter, MiddleFilter
from engine_workshop import Workshop
from typer.testing import CliRunner, Result

from dj_ops_lib.cli.results import app
from dj_ops_lib.cli.table import app as tables
from dj_ops_lib.engine.options import Progress
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.operator import Operator
from dj_ops_lib.warehouse import RESULT_SCHEMA, Provenance
from dj_ops_lib.warehouse.results_inventory import Chosen
from dj_ops_lib.warehouse.tombstones import Tombstone


def dj(shelf: Workshop, *arguments: str) -> Result:
    environment = {"COLUMNS": "200", "DJ_WAREHOUSE": str(shelf.root / "warehouse")}
    return CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)


def listed(shelf: Workshop) -> dict[tuple[str, bool], dict[str, Any]]:
    """What `ls --json` says, by operator and whether it is in use."""
    found = json.loads(dj(shelf, "ls", "--json").output)
    return {(c["operator"], c["in_use"]): c for c in found["stored"]}


def results(shelf: Workshop) -> list[tuple[str, str]]:
    """(operator, source id) of every result."""
    batches = shelf.warehouse.scan("toys/results", columns=["operator", "source_id"])
    return sorted((r["operator"], r["source_id"]) for b in batches for r in b.to_pylist())


@pytest.fixture
def tried(shelf: Workshop) -> Workshop:
    """Brightness measured twice, the second time with another gain, and a splitter given up."""
    shelf.run(BrightnessFilter())
    shelf.run(HalvesSplitter(), MiddleFilter())
    shelf.run(BrightnessFilter(gain=2.0))
    return shelf


def test_results_are_counted_by_operator_and_by_whether_a_table_rests_on_them(
    tried: Workshop,
) -> None:
    begun = dt.datetime.now(dt.UTC)
    found = listed(tried)
    assert {k: (c["results"], c["failures"]) for k, c in found.items()} == {
        ("brightness_filter", True): (4, 0),
        ("brightness_filter", False): (4, 0),
        ("halves_mapper", False): (4, 0),
        ("media", True): (4, 0),
        ("middle_filter", False): (8, 0),
    }
    payloads = [
        r["payload"]
        for b in tried.warehouse.scan("toys/results", where="operator = 'middle_filter'")
        for r in b.to_pylist()
    ]
    middle = found["middle_filter", False]
    assert middle["bytes"] == sum(map(len, payloads))
    oldest, newest = (dt.datetime.fromisoformat(middle[n]) for n in ("oldest", "newest"))
    assert begun - dt.timedelta(minutes=5) < oldest <= newest <= begun
    assert "middle_filter" in dj(tried, "ls").output


def test_what_a_tag_keeps_is_in_use(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter())
    shelf.warehouse.tag("toys/r/cleaned", "published")
    shelf.run(BrightnessFilter(gain=2.0))
    assert set(listed(shelf)) == {("brightness_filter", True), ("media", True)}
    shelf.warehouse.untag("toys/r/cleaned", "published")
    assert ("brightness_filter", False) in listed(shelf)


def test_what_a_killed_run_left_is_listed_as_waiting(shelf: Workshop) -> None:
    (file,) = interrupted(shelf, BrightnessFilter())
    (waiting,) = json.loads(dj(shelf, "ls", "--json").output)["waiting"]
    assert (waiting["source"], waiting["shard"]) == ("toys", "0")
    assert (waiting["files"], waiting["bytes"]) == (1, file.stat().st_size)
    assert "1 files that no table holds yet" in dj(shelf, "ls").output


def test_pruning_removes_what_nothing_rests_on_once_it_is_told_to(tried: Workshop) -> None:
    before, version = results(tried), tried.warehouse.version("toys/results")
    said = dj(tried, "prune", "--unused").output
    assert "toys: 8 of middle_filter" in said
    assert "16 results that may go" in said
    assert (results(tried), tried.warehouse.version("toys/results")) == (before, version)
    assert "16 results removed" in dj(tried, "prune", "--unused", "--yes").output
    assert {k for k, _ in results(tried)} == {"brightness_filter", "media"}
    assert set(listed(tried)) == {("brightness_filter", True), ("media", True)}
    last = tried.warehouse.history("toys/results")[-1]
    assert last.provenance is not None
    assert last.provenance.reason == "results were pruned"
    assert tried.run(BrightnessFilter(gain=2.0), recipe="second").measured == 0
    assert tried.run(BrightnessFilter(), recipe="third").measured == 4


def test_age_and_operator_narrow_it_down_and_what_is_used_goes_only_when_named(
    tried: Workshop,
) -> None:
    def prune(*arguments: str) -> str:
        return dj(tried, "prune", *arguments, "--yes").output

    assert "0 results" in prune("--older-than", "1")
    assert "8 results" in prune("--operator", "middle_filter", "--older-than", "0")
    assert "4 results" in prune("--operator", "brightness_filter")
    assert "0 results" in prune("--operator", "brightness_filter")
    assert "4 results" in prune("--operator", "brightness_filter", "--even-used")
    assert {k for k, _ in results(tried)} == {"halves_mapper", "media"}


def test_pruning_without_a_condition_or_of_an_unknown_source_is_refused(tried: Workshop) -> None:
    for chosen in (Chosen(), Chosen(even_used=True), Chosen(unused=True, even_used=True)):
        with pytest.raises(WarehouseError, match="--"):
            tried.warehouse.prune_results(chosen, remove=True)
    with pytest.raises(WarehouseError, match="toys"):
        tried.warehouse.prune_results(Chosen(unused=True), source="toy", remove=True)


def test_pruning_brings_nothing_back_that_was_taken_down(tried: Workshop) -> None:
    tried.warehouse.takedown([Tombstone("source_id", "b")])
    dj(tried, "prune", "--unused", "--yes")
    assert {i for _, i in results(tried)} == {"a", "c", "d"}


def interrupted(shelf: Workshop, operator: Operator) -> list[Path]:
    """Files that a run leaves which ends after its second clip."""

    def interrupt(progress: Progress) -> None:
        if progress.clips == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.run(operator, workers=1, progress=interrupt)
    return sorted((shelf.root / "warehouse" / "_results_spool").rglob("*.arrow"))


def aged(files: list[Path], days: float) -> None:
    then = time.time() - days * 86400
    for file in files:
        os.utime(file, (then, then))


def maintain(shelf: Workshop, *arguments: str) -> dict[str, dict[str, Any]]:
    """What `dj table maintain --json` says, by table."""
    where = ("--warehouse", str(shelf.root / "warehouse"))
    done = CliRunner().invoke(tables, ["maintain", "--json", *where, *arguments])
    assert done.exit_code == 0, done.output
    return {r["table"]: r for r in map(json.loads, done.output.splitlines())}


def test_maintenance_takes_in_what_a_killed_run_left_a_day_ago(shelf: Workshop) -> None:
    files = interrupted(shelf, BrightnessFilter())
    aged(files, 0.9)
    assert maintain(shelf)["toys/results"]["folded"] == 0
    assert all(f.exists() for f in files)
    aged(files, 1.1)
    assert maintain(shelf)["toys/results"]["folded"] == len(files)
    assert not any(f.exists() for f in files)
    assert [k for k, _ in results(shelf)].count("brightness_filter") == 2
    assert shelf.run(BrightnessFilter()).measured == 2


def test_a_shard_whose_run_goes_on_keeps_its_old_files_too(shelf: Workshop) -> None:
    old = interrupted(shelf, BrightnessFilter())
    aged(old, 3)
    new = set(interrupted(shelf, BrightnessFilter(gain=2.0))) - set(old)
    assert new
    assert maintain(shelf)["toys/results"]["folded"] == 0
    assert all(f.exists() for f in (*old, *new))


def test_maintenance_makes_the_table_where_only_a_killed_run_has_left_results(
    shelf: Workshop,
) -> None:
    files = interrupted(shelf, BrightnessFilter())
    shutil.rmtree(shelf.root / "warehouse" / "toys" / "results.lance")
    aged(files, 2)
    assert maintain(shelf)["toys/results"]["folded"] == len(files)
    assert {k for k, _ in results(shelf)} == {"brightness_filter"}


def test_results_are_indexed_by_shard_and_video_and_compacted_to_smaller_fragments(
    shelf: Workshop,
) -> None:
    """A fragment is full at some 64,000 rows: a shard is read out of one for every stage."""
    schema, count = RESULT_SCHEMA, 20_000
    template = shelf.warehouse.lance("toys/results").to_table().to_pylist()[0]
    for shard in range(10):
        columns = {
            n: pa.repeat(pa.scalar(template[n], schema.field(n).type), count) for n in schema.names
        }
        columns["shard"] = pa.array([f"s{shard}"] * count)
        subjects = [(shard * count + i).to_bytes(16) for i in range(count)]
        columns["subject"] = pa.array(subjects, pa.binary(16))
        shelf.warehouse.replace_shard(
            "toys/results",
            f"s{shard}",
            pa.table(columns, schema=schema).to_batches(),
            schema=schema,
            provenance=Provenance(),
        )
    before = shelf.warehouse.shards("toys/results")
    done = maintain(shelf, "--compact-at", "2")["toys/results"]
    assert set(done["indices"]) == {"shard_idx", "source_id_idx"}
    assert shelf.warehouse.shards("toys/results") == before
    sizes = [f.count_rows() for f in shelf.warehouse.lance("toys/results").get_fragments()]
    assert 1 < len(sizes) < 6
    assert max(sizes) < 2 * 64_000  # Lance divides what makes two full ones
