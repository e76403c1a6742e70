"""Replacing and reading shards, as one process sees it."""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
from pathlib import Path

import lance
import polars as pl
import pyarrow as pa
import pytest
from lance.commit import CommitConflictError
from warehouse_rows import WITH_SCORE, clip_batches, clip_row, contents, expected, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import ConflictError, WarehouseError
from dj_ops_lib.warehouse import Provenance, Warehouse
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "demo/t2v/cleaned"


def test_a_warehouse_that_was_never_written_is_empty_and_says_so(warehouse):
    assert warehouse.tables() == []
    assert not warehouse.exists(TABLE)
    assert warehouse.version(TABLE) == 0
    with pytest.raises(WarehouseError, match=f"no table '{TABLE}'"):
        list(warehouse.scan(TABLE))


def test_replacing_a_shard_leaves_its_new_rows_and_the_other_shards(warehouse):
    put(warehouse, TABLE, "0000", 30, "old")
    put(warehouse, TABLE, "0001", 20, "other")
    version = put(warehouse, TABLE, "0000", 10, "new")
    assert version == warehouse.version(TABLE)
    assert contents(warehouse, TABLE) == expected({"0000": (10, "new"), "0001": (20, "other")})
    assert warehouse.shards(TABLE) == {"0000": 10, "0001": 20}
    assert warehouse.tables() == [TABLE]


def test_every_value_comes_back_as_it_was_written(warehouse):
    row = {name: None for name in CLIP_SCHEMA.names} | clip_row("s", 0)
    row["error"] = {"operator": "o", "class": "corrupt", "message": "m", "attempts": 3}
    row["edits"] = [{"stream": "video", "filter": "scale", "arguments": '{"w":"64"}'}]
    put(warehouse, TABLE, "s", 1, rows=[row])
    (batch,) = warehouse.read_shard(TABLE, "s")
    assert batch.to_pylist() == clip_batches([row])[0].to_pylist()
    assert batch.schema.remove_metadata().equals(CLIP_SCHEMA)
    assert warehouse.schema(TABLE).field("clip_id").metadata == {
        b"description": b"stable id of the clip"
    }


def test_an_empty_shard_is_remembered_as_done(warehouse):
    put(warehouse, TABLE, "0000", 0)
    assert warehouse.shards(TABLE) == {"0000": 0}
    put(warehouse, TABLE, "0001", 3)
    put(warehouse, TABLE, "0001", 0)
    assert warehouse.shards(TABLE) == {"0000": 0, "0001": 0}
    put(warehouse, TABLE, "0000", 2)
    assert warehouse.shards(TABLE) == {"0000": 2, "0001": 0}
    assert list(warehouse.read_shard(TABLE, "0001")) == []


def test_a_shard_is_read_by_column_condition_and_version(warehouse):
    first = put(warehouse, TABLE, "it's", 10, "old")
    put(warehouse, TABLE, "it's", 4, "new")
    put(warehouse, TABLE, "other", 10, "new")
    read = warehouse.read_shard(TABLE, "it's", columns=["duration_s"], where="duration_s >= 2")
    assert [b.to_pydict() for b in read] == [{"duration_s": [2.0, 3.0]}]
    old = warehouse.read_shard(TABLE, "it's", columns=["text"], version=first)
    assert sum(b.num_rows for b in old) == 10
    either = warehouse.read_shard(TABLE, "it's", where="text = 'x' OR keep")
    assert sum(b.num_rows for b in either) == 4


def test_reading_one_shard_reads_no_other_shards_files(warehouse):
    """Once it is known which file holds what, the other files may as well be gone."""
    for number in range(5):
        put(warehouse, TABLE, f"{number:04d}", 50)
    dataset = warehouse.lance(TABLE)
    (own,) = [
        fragment.metadata.files[0].path
        for fragment in dataset.get_fragments()
        if fragment.to_table(columns=["shard"], limit=1).column("shard")[0].as_py() == "0003"
    ]
    for path in (Path(warehouse.address(TABLE)) / "data").iterdir():
        if path.name != own:
            path.unlink()
    rows = [r for b in warehouse.read_shard(TABLE, "0003") for r in b.to_pylist()]
    assert [r["clip_id"] for r in rows] == [f"0003/{i}" for i in range(50)]
    with pytest.raises(WarehouseError, match=f"{TABLE}.*Not found"):
        list(warehouse.read_shard(TABLE, "0002"))


def test_polars_duckdb_lancedb_and_lance_see_the_same_rows(warehouse):
    put(warehouse, TABLE, "a", 5)
    put(warehouse, TABLE, "b", 7)
    lazy = warehouse.lazy(TABLE).filter(pl.col("shard") == "b").select("clip_id")
    assert lazy.collect()["clip_id"].to_list() == [f"b/{i}" for i in range(7)]
    counted = warehouse.duckdb(TABLE).aggregate("shard, count(*)").order("shard").fetchall()
    assert counted == [("a", 5), ("b", 7)]
    assert warehouse.lancedb(TABLE).count_rows("shard = 'a'") == 5
    assert warehouse.lance(TABLE).count_rows() == 12


def test_a_stage_that_gains_a_column_leaves_old_rows_null_and_their_files_alone(warehouse):
    put(warehouse, TABLE, "old", 3)
    files = {f.path for x in warehouse.lance(TABLE).get_fragments() for f in x.metadata.files}
    rows = [clip_row("new", 0, score=0.5)]
    put(warehouse, TABLE, "new", 1, schema=WITH_SCORE, rows=rows)
    assert warehouse.lazy(TABLE).select("score").collect()["score"].to_list() == [None] * 3 + [0.5]
    now = {f.path for x in warehouse.lance(TABLE).get_fragments() for f in x.metadata.files}
    assert files < now
    put(warehouse, TABLE, "old", 2)
    assert warehouse.shards(TABLE) == {"new": 1, "old": 2}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            CLIP_SCHEMA.set(CLIP_SCHEMA.get_field_index("fps"), pa.field("fps", pa.string())),
            "column 'fps' is double in the table and string in the stage",
        ),
        (
            CLIP_SCHEMA.append(pa.field("score", pa.float64(), nullable=False)),
            "new column 'score' is not nullable",
        ),
        (
            CLIP_SCHEMA.remove(CLIP_SCHEMA.get_field_index("keep")),
            "column 'keep' of the table is not null and the stage does not write it",
        ),
    ],
)
def test_an_incompatible_schema_is_refused_with_both_schemas(warehouse, schema, reason):
    put(warehouse, TABLE, "a", 3)
    before = warehouse.version(TABLE)
    with pytest.raises(WarehouseError, match=reason) as refused:
        warehouse.replace_shard(TABLE, "a", [], schema=schema, provenance=Provenance())
    assert "schema of the table:\n  clip_id: string not null" in str(refused.value)
    assert "schema of the stage:\n  clip_id: string not null" in str(refused.value)
    assert warehouse.version(TABLE) == before


def test_rows_of_another_shard_are_refused_and_nothing_changes(warehouse):
    put(warehouse, TABLE, "a", 3)
    with pytest.raises(WarehouseError, match="rows of shard 'b' were given for shard 'a'"):
        put(warehouse, TABLE, "a", 1, rows=[clip_row("b", 0)])
    assert contents(warehouse, TABLE) == expected({"a": (3, "a")})


def test_batches_that_break_their_declared_schema_are_refused(warehouse):
    batch = pa.RecordBatch.from_pydict({"clip_id": ["x"], "shard": ["a"]})
    with pytest.raises(WarehouseError, match="not the schema that its stage declared"):
        warehouse.replace_shard(TABLE, "a", [batch], schema=CLIP_SCHEMA, provenance=Provenance())
    nulls = clip_batches([{**clip_row("a", 0), "clip_id": None}])
    with pytest.raises(WarehouseError, match="column 'clip_id' must not be null"):
        warehouse.replace_shard(TABLE, "a", nulls, schema=CLIP_SCHEMA, provenance=Provenance())
    assert warehouse.shards(TABLE) == {}


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a/../../b", "a//b", "a b", "_/..", "a/"])
def test_a_table_name_cannot_leave_the_warehouse(warehouse, name):
    with pytest.raises(WarehouseError, match="no table name"):
        warehouse.exists(name)


def test_a_failing_stream_of_rows_leaves_the_old_shard(warehouse):
    put(warehouse, TABLE, "a", 3)

    def rows():
        yield from clip_batches([clip_row("a", 9, "new")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warehouse.replace_shard(TABLE, "a", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert contents(warehouse, TABLE) == expected({"a": (3, "a")})


def test_expected_version_holds_against_every_change_of_rows(warehouse):
    put(warehouse, TABLE, "a", 1, expected_version=0)
    seen = warehouse.version(TABLE)
    put(warehouse, TABLE, "b", 1, "rival")
    with pytest.raises(
        ConflictError, match=r"run 'rival' committed version \d+ \(replace of shard"
    ):
        put(warehouse, TABLE, "a", 2, expected_version=seen)
    with pytest.raises(ConflictError):
        put(warehouse, TABLE, "c", 2, expected_version=0)
    put(warehouse, TABLE, "a", 2, expected_version=warehouse.version(TABLE))
    assert warehouse.shards(TABLE) == {"a": 2, "b": 1}


def test_what_cannot_be_known_any_more_is_a_conflict(warehouse):
    """Somebody cleaned up past us; or the table is another one than the decision was made on."""
    first = put(warehouse, TABLE, "a", 1)
    with pytest.raises(ConflictError, match=f"expected at version 99 and is at version {first}"):
        put(warehouse, TABLE, "a", 2, expected_version=99)
    for _ in range(3):
        put(warehouse, TABLE, "b", 1)
    warehouse.lance(TABLE).cleanup_old_versions(dt.timedelta(0))
    with pytest.raises(
        ConflictError, match=f"between versions {first} and .* is not known any more"
    ):
        put(warehouse, TABLE, "a", 2, expected_version=first)


def test_expected_version_still_holds_over_versions_that_were_maintained_away(warehouse):
    seen = put(warehouse, TABLE, "a", 1)
    warehouse.lance(TABLE).create_scalar_index("shard", "BITMAP", name="shard_idx")
    warehouse.maintain(TABLE, Policy(2, index_at=1, keep_for=dt.timedelta(0)))
    assert len(warehouse.lance(TABLE).versions()) == 1
    put(warehouse, TABLE, "a", 2, expected_version=seen)
    seen = warehouse.version(TABLE)
    put(warehouse, TABLE, "b", 2, "rival")
    warehouse.maintain(TABLE, Policy(2, index_at=1, keep_for=dt.timedelta(0)))
    with pytest.raises(ConflictError, match="run 'rival'"):
        put(warehouse, TABLE, "a", 3, expected_version=seen)


def test_expected_version_does_not_mind_compaction_and_new_columns(warehouse):
    for shard in "abc":
        put(warehouse, TABLE, shard, 2)
    seen = warehouse.version(TABLE)
    warehouse.lance(TABLE).optimize.compact_files()
    assert warehouse.version(TABLE) > seen
    put(warehouse, TABLE, "b", 5, schema=WITH_SCORE, expected_version=seen)
    assert warehouse.shards(TABLE) == {"a": 2, "b": 5, "c": 2}


def test_a_writer_is_told_who_replaced_its_shard_while_it_was_computing(warehouse):
    put(warehouse, TABLE, "a", 1, "old")

    def rows():
        put(warehouse, TABLE, "a", 2, "rival")
        put(warehouse, TABLE, "b", 2, "neighbour")
        yield from clip_batches([clip_row("a", 0, "late")])

    with pytest.raises(ConflictError, match="run 'rival' committed version"):
        warehouse.replace_shard(TABLE, "a", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert contents(warehouse, TABLE) == expected({"a": (2, "rival"), "b": (2, "neighbour")})


def test_a_writer_whose_neighbours_commit_while_it_computes_still_commits(warehouse):
    def rows():
        for number in range(5):
            put(warehouse, TABLE, f"n{number}", 2, "neighbour")
        warehouse.lance(TABLE).optimize.compact_files()
        yield from clip_batches([clip_row("a", 0, "late")])

    warehouse.replace_shard(TABLE, "a", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert contents(warehouse, TABLE) == expected(
        {"a": (1, "late")} | {f"n{i}": (2, "neighbour") for i in range(5)}
    )


def test_a_shard_inside_a_compacted_fragment_is_replaced_alone(warehouse):
    for shard in "abcd":
        put(warehouse, TABLE, shard, 50)
    warehouse.lance(TABLE).optimize.compact_files()
    assert len(warehouse.lance(TABLE).fragment_ids()) == 1
    put(warehouse, TABLE, "b", 5, "new")
    put(warehouse, TABLE, "c", 0)
    assert contents(warehouse, TABLE) == expected({"a": (50, "a"), "b": (5, "new"), "d": (50, "a")})
    for shard in "ad":
        put(warehouse, TABLE, shard, 0)
    assert warehouse.shards(TABLE) == {"a": 0, "b": 5, "c": 0, "d": 0}


def test_overwrite_replaces_all_rows_and_columns(warehouse):
    put(warehouse, TABLE, "a", 3)
    put(warehouse, TABLE, "empty", 0)
    schema = pa.schema([("shard", pa.string()), ("file", pa.string())])
    rows = pa.table({"shard": ["x", "y"], "file": ["1", "2"]}, schema=schema).to_batches()
    warehouse.overwrite(TABLE, rows, schema=schema, provenance=Provenance(run_id="r"))
    assert warehouse.schema(TABLE).names == ["shard", "file"]
    assert warehouse.shards(TABLE) == {"x": 1, "y": 1}
    with pytest.raises(WarehouseError, match="cannot take"):
        put(warehouse, TABLE, "a", 1)


def test_a_pickled_warehouse_opens_the_same_tables_and_shows_no_secret():
    original = Warehouse("s3://bucket/x/", {"aws_secret_access_key": "hush"})
    copy = pickle.loads(pickle.dumps(original))
    assert copy.address("a/b") == "s3://bucket/x/a/b.lance"
    assert "hush" not in repr(original) + repr(original._store)


def test_importing_the_warehouse_loads_neither_lance_nor_duckdb():
    code = (
        "import sys, dj_ops_lib.warehouse as w; w.Warehouse('x'); "
        "assert not {'lance', 'lancedb', 'duckdb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("times", [1, 2])
def test_a_commit_whose_answer_was_lost_counts_as_made(warehouse, monkeypatch, times):
    """An object store's client repeats a put whose answer was lost, and is told it is there."""
    put(warehouse, TABLE, "a", 1)
    commit, lost = lance.LanceDataset.commit, []

    def committed_but_not_told(*arguments, **options):
        done = commit(*arguments, **options)
        if len(lost) < times:
            lost.append(done.version)
            raise CommitConflictError("Commit conflict for version")
        return done

    monkeypatch.setattr(lance.LanceDataset, "commit", committed_but_not_told)
    put(warehouse, TABLE, "a", 5, "new", expected_version=warehouse.version(TABLE))
    schema = CLIP_SCHEMA
    if times == 2:
        rows = clip_batches([clip_row("b", 0, "over")])
        warehouse.overwrite(TABLE, rows, schema=schema, provenance=Provenance())
    monkeypatch.undo()
    kinds = [c.kind for c in warehouse.history(TABLE)]
    assert kinds == ["create", "replace", "replace"] + ["overwrite"] * (times - 1)
    wanted = {"b": (1, "over")} if times == 2 else {"a": (5, "new")}
    assert contents(warehouse, TABLE) == expected(wanted)
