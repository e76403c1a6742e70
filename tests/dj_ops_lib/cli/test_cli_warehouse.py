"""`dj table` and `dj takedown` on a real warehouse."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from dj_ops_lib.cli import table as table_commands
from dj_ops_lib.cli.takedown import takedown
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse

TABLE = "demo/raw"
SHA = "ab" * 32

program = typer.Typer()
program.add_typer(table_commands.app, name="table")
program.command("takedown")(takedown)


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    monkeypatch.setenv("DJ_WAREHOUSE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("COLUMNS", "200")
    place = Warehouse(str(tmp_path / "warehouse"))
    write(place, 5)
    return place


def write(place: Warehouse, count: int) -> int:
    rows = [
        {
            "clip_id": f"c{i}",
            "source": "demo",
            "shard": "0000",
            "source_id": f"v{i}",
            "media_id": f"sha256:{SHA}" if i == 3 else None,
            "signature": f"signature{i}",
            "annotation_file": "demo.json",
            "annotation_row": i + 1,
            "duration_s": float(i),
            "keep": True,
        }
        for i in range(count)
    ]
    return place.replace_shard(
        TABLE,
        "0000",
        pa.Table.from_pylist(rows, schema=CLIP_SCHEMA).to_batches(),
        schema=CLIP_SCHEMA,
        provenance=Provenance(
            run_id="run-7", stage="raw", operators=(OperatorUse("ingest", {"reader": "demo"}),)
        ),
    )


def dj(*arguments: str) -> str:
    done = CliRunner().invoke(program, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_tables_are_listed_with_their_shards_and_rows(warehouse):
    rows = [line.split() for line in dj("table", "list").splitlines()]
    assert ["demo/raw", "2", "1", "5"] in rows


def test_history_and_explain_tell_who_wrote_a_clip(warehouse):
    assert "run-7" in dj("table", "history", TABLE)
    last = json.loads(dj("table", "history", TABLE, "--json").splitlines()[-1])
    assert (last["kind"], last["provenance"]["rows_out"]) == ("replace", 5)
    text = dj("table", "explain", TABLE, "c2")
    assert 'ingest {"reader": "demo"}' in text
    assert text.endswith("annotation: demo.json, row 3\n")
    assert json.loads(dj("table", "explain", TABLE, "c2", "--json"))["annotation_row"] == 3


def test_a_beginning_that_several_ids_share_is_answered_with_all_of_them(warehouse):
    with pytest.raises(WarehouseError, match="several clips of table 'demo/raw' begin") as refused:
        dj("table", "explain", TABLE, "c")
    for i in range(5):
        assert f"c{i}  video v{i}" in str(refused.value)


def test_versions_are_tagged_compared_and_restored(warehouse):
    dj("table", "tag", TABLE, "five")
    write(warehouse, 3)
    assert dj("table", "tags", TABLE) == "five\t2\n"
    assert "0 clips added, 2 removed, 0 changed" in dj("table", "diff", TABLE, "five")
    assert json.loads(dj("table", "diff", TABLE, "2", "3", "--json"))["removed"] == ["c3", "c4"]
    dj("table", "restore", TABLE, "five")
    assert warehouse.shards(TABLE) == {"0000": 5}
    dj("table", "untag", TABLE, "five")
    assert warehouse.tags(TABLE) == []


def test_history_and_diff_keep_names_whole_on_a_narrow_terminal(warehouse, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    write(warehouse, 3)
    history, moved = dj("table", "history", TABLE), dj("table", "diff", TABLE, "2")
    assert history.count("run-7") == 2
    assert "duration_s" in moved
    assert "annotation_row" not in moved
    assert "2 -> 1" in moved  # the mean of 0 ... 4 and of 0 ... 2
    assert "…" not in history + moved


def test_a_diff_shows_no_statistic_that_did_not_move(warehouse):
    write(warehouse, 5)
    same = dj("table", "diff", TABLE, "2", "3")
    assert "no statistic moved" in same
    assert "duration_s" not in same


def test_maintenance_runs_over_all_tables_by_the_policy_given(warehouse):
    write(warehouse, 4)
    assert "0 versions" in dj("table", "maintain")
    done = json.loads(dj("table", "maintain", "--keep-hours", "0", "--json"))
    assert (done["table"], done["versions_removed"] > 0) == (TABLE, True)


def test_takedown_removes_the_rendered_files_wherever_they_are(warehouse, tmp_path, monkeypatch):
    monkeypatch.setenv("DJ_RENDERED", str(tmp_path / "rendered"))
    ours, others = tmp_path / "rendered" / "demo" / "t2v", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir(parents=True)
        for name in ("signature0.mp4", "signature0.1a2b3c4d.mp4", "signature1.mp4"):
            (folder / name).touch()
    dj("takedown", "--source-id", "v0", "--rendered", str(others))
    for folder in (ours, others):
        assert [p.name for p in folder.iterdir()] == ["signature1.mp4"]


def test_takedown_takes_ids_hashes_and_a_list_and_reports_what_it_touched(warehouse, tmp_path):
    dj("table", "tag", TABLE, "release")
    listed = tmp_path / "list.txt"
    listed.write_text(f"# objections\n\nv1\n{SHA}\n")
    text = dj("takedown", "--source-id", "v0", "--source", "demo", "--file", str(listed))
    assert "3 named, 3 clips descend from them" in text
    assert f"{TABLE}: 3 rows removed in version 3" in text
    assert "tag 'release' of demo/raw (version 2) still holds 3 of its rows" in text
    done = json.loads(dj("takedown", "--media-sha256", SHA.upper(), "--purge-versions", "--json"))
    assert [t["purged"] for t in done["tagged"]] == [True]
    write(warehouse, 5)
    assert warehouse.shards(TABLE) == {"0000": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to take down"),
        (("--media-sha256", "xyz"), "--media-sha256 xyz: a SHA-256 has 64 hexadecimal digits"),
        (("--file", "/nowhere/list"), "--file /nowhere/list cannot be read"),
    ],
)
def test_a_takedown_of_nothing_or_nonsense_is_refused(warehouse, arguments, message):
    with pytest.raises(WarehouseError, match=message):
        dj("takedown", *arguments)


def test_histograms_show_each_statistic_over_all_shards_or_one(warehouse):
    write(warehouse, 5)  # 0 to 4 s: 0 is below the edges
    found = dj("table", "histograms", TABLE, "--json")
    (duration,) = (s for s in json.loads(found)["statistics"] if s["column"] == "duration_s")
    counts = [0] * duration["first"] + duration["counts"]
    assert counts[0] == 1
    # Eight bins a decade from 0.1 on: 1 s is the 8th, 2 the 10th, 3 the 11th, 4 the 12th, from 0.
    assert [i - 1 for i, n in enumerate(counts) if n] == [-1, 8, 10, 11, 12]
    (line,) = (s for s in dj("table", "histograms", TABLE).splitlines() if "duration_s" in s)
    assert line.split() == ["duration_s", "5", "5", "1", "1", "█", "███", "4.217", "s", "0"]
    assert "duration_s" not in dj("table", "histograms", TABLE, "--shard", "0009")
