"""History, tags, restoring, differences, and the way back of a clip."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pytest
from warehouse_rows import WITH_SCORE, clip_row, contents, expected, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import ConflictError, WarehouseError
from dj_ops_lib.warehouse import OperatorUse, Provenance
from dj_ops_lib.warehouse.diff import population_stability_index, verdict
from dj_ops_lib.warehouse.history import shard_commits
from dj_ops_lib.warehouse.maintenance import Policy

TABLE = "demo/raw"
NOW = Policy(compact_at=2, index_at=1, keep_for=dt.timedelta(0))


def full_provenance(shard: str) -> Provenance:
    return Provenance(
        run_id="run-1",
        source="demo",
        stage="cleaned",
        shard=shard,
        recipe="t2v",
        recipe_hash="abc",
        measuring_fingerprint="def",
        input_table="demo/media",
        input_version=7,
        code_version="0.1.0",
        rows_in=12,
        rows_out=3,
        rows_kept=3,
        operators=(OperatorUse("video_duration_filter", {"min_duration": 1.5}, "2"),),
    )


def test_history_gives_back_what_every_commit_said_about_itself(warehouse):
    before = dt.datetime.now(dt.UTC)
    version = put(warehouse, TABLE, "a", 3, provenance=full_provenance("a"))
    (commit,) = [c for c in warehouse.history(TABLE) if c.kind == "replace"]
    assert commit.version == version
    assert commit.provenance == full_provenance("a")
    assert before <= commit.at <= dt.datetime.now(dt.UTC)


def test_history_outlives_the_versions_that_were_cleaned_up(warehouse):
    for number in range(6):
        put(warehouse, TABLE, f"{number % 3}", number, f"run-{number}")
    before = warehouse.history(TABLE)
    done = warehouse.maintain(TABLE, NOW)
    assert done.versions_removed >= 6
    assert len(warehouse.lance(TABLE).versions()) < 3
    after = warehouse.history(TABLE)
    assert after[: len(before)] == before
    put(warehouse, TABLE, "0", 1, "run-9")
    assert [c.provenance.run_id for c in warehouse.history(TABLE) if c.shard == "0"] == [
        "run-0",
        "run-3",
        "run-9",
    ]


def test_an_empty_shard_is_still_done_after_cleanup_and_restart(warehouse):
    put(warehouse, TABLE, "full", 2)
    put(warehouse, TABLE, "empty", 0)
    warehouse.maintain(TABLE, NOW)
    assert warehouse.shards(TABLE) == {"empty": 0, "full": 2}


def test_a_table_made_anew_has_a_history_of_its_own(warehouse, tmp_path):
    put(warehouse, TABLE, "old", 0)
    warehouse.maintain(TABLE, NOW)
    (tmp_path / "warehouse/demo/raw.lance").rename(tmp_path / "away")
    put(warehouse, TABLE, "new", 1)
    warehouse.maintain(TABLE, NOW)
    assert warehouse.shards(TABLE) == {"new": 1}


def test_a_tagged_version_survives_cleanup_and_can_be_read_by_name(warehouse):
    put(warehouse, TABLE, "a", 3, "old")
    tag = warehouse.tag(TABLE, "release-1")
    put(warehouse, TABLE, "a", 1, "new")
    warehouse.maintain(TABLE, NOW)
    assert warehouse.tags(TABLE) == [tag]
    assert contents(warehouse, TABLE, "release-1") == expected({"a": (3, "old")})
    assert contents(warehouse, TABLE) == expected({"a": (1, "new")})
    warehouse.untag(TABLE, "release-1")
    warehouse.maintain(TABLE, NOW)
    with pytest.raises(WarehouseError, match="no version or tag"):
        contents(warehouse, TABLE, tag.version)


def test_a_tag_is_not_moved_silently_and_a_missing_one_is_named(warehouse):
    put(warehouse, TABLE, "a", 1)
    first = warehouse.tag(TABLE, "v1")
    put(warehouse, TABLE, "a", 2)
    with pytest.raises(
        WarehouseError, match=f"has the tag 'v1' already, at version {first.version}"
    ):
        warehouse.tag(TABLE, "v1")
    assert warehouse.tag(TABLE, "v1-copy", "v1").version == first.version
    with pytest.raises(WarehouseError, match="no tag 'v2'"):
        warehouse.untag(TABLE, "v2")
    with pytest.raises(WarehouseError, match="no version or tag 'v2'"):
        warehouse.version(TABLE) and warehouse.schema(TABLE, "v2")


def test_restoring_brings_back_rows_columns_and_what_is_known_of_shards(warehouse):
    put(warehouse, TABLE, "a", 3, "old")
    put(warehouse, TABLE, "empty", 0, "old")
    wanted = warehouse.version(TABLE)
    put(warehouse, TABLE, "a", 1, "new", schema=WITH_SCORE, rows=[clip_row("a", 0, score=1.0)])
    put(warehouse, TABLE, "b", 5, "new")
    restored = warehouse.restore(TABLE, wanted)
    assert restored == warehouse.version(TABLE)
    assert contents(warehouse, TABLE) == expected({"a": (3, "old")})
    assert warehouse.shards(TABLE) == {"a": 3, "empty": 0}
    assert warehouse.schema(TABLE).names == CLIP_SCHEMA.names
    assert {s: c.provenance.run_id for s, c in shard_commits(warehouse.history(TABLE)).items()} == {
        "a": "old",
        "empty": "old",
    }
    put(warehouse, TABLE, "a", 2, "newest")
    assert warehouse.shards(TABLE) == {"a": 2, "empty": 0}


def test_a_writer_that_began_before_a_restore_is_refused(warehouse):
    first = put(warehouse, TABLE, "a", 3, "old")
    put(warehouse, TABLE, "a", 2, "new")

    def rows():
        warehouse.restore(TABLE, first)
        yield from ()

    with pytest.raises(ConflictError, match="restore"):
        warehouse.replace_shard(TABLE, "b", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert contents(warehouse, TABLE) == expected({"a": (3, "old")})


def scored(shard: str, values: list[float | None]) -> list[dict]:
    return [clip_row(shard, i, score=v) for i, v in enumerate(values)]


def test_diff_names_the_clips_and_columns_that_changed(warehouse):
    def write(shard: str, rows: list[dict], schema: pa.Schema = WITH_SCORE) -> int:
        return put(warehouse, TABLE, shard, 0, rows=rows, schema=schema)

    write("a", scored("a", [0.0, 1.0, 2.0, None]))
    before = write("b", scored("b", [5.0]))
    rows = scored("a", [0.0, 1.5, 2.0, None, 4.0])[1:]
    rows[2]["captions"] = []
    wider = WITH_SCORE.append(pa.field("label", pa.string()))
    write("a", [{**r, "label": "x"} for r in rows], wider)
    found = warehouse.diff(TABLE, before)
    assert (found.before, found.after) == (before, warehouse.version(TABLE))
    assert found.added == ["a/4"]
    assert found.removed == ["a/0"]
    assert found.changed == ["a/1", "a/3"]
    assert found.changed_columns == {"score": 1, "captions": 1}
    assert (found.new_columns, found.lost_columns) == (["label"], [])
    (score,) = [s for s in found.shifts if s.column == "score"]
    assert (score.before.rows, score.before.nulls, score.before.mean) == (4, 1, 2.0)
    assert score.before.quantiles[0.5] == 1.5
    assert score.after.quantiles[1.0] == 5.0
    same = warehouse.diff(TABLE, before, before)
    assert (same.added, same.removed, same.changed) == ([], [], [])
    assert {s.psi for s in same.shifts} <= {0.0, None}


def test_the_stability_index_is_that_of_the_formula():
    before = np.arange(100, dtype=float)
    assert population_stability_index(before, before) == 0.0
    after = before[50:]  # half of the deciles hold a fifth each, half none: half a row of fifty
    empty, full = 0.5 / 50, 0.2
    wanted = 5 * ((empty - 0.1) * math.log(empty / 0.1) + (full - 0.1) * math.log(full / 0.1))
    assert population_stability_index(before, after) == pytest.approx(wanted)
    constant = np.full(10, 3.0)
    assert population_stability_index(constant, constant + 1) > 0.25
    assert population_stability_index(constant, np.array([])) is None
    assert [verdict(p) for p in (None, 0.0, 0.2, 3.0)] == ["", "none", "moderate", "large"]


def explained_warehouse(warehouse) -> None:
    """raw -> media -> clips (cut in two) -> cleaned, each shard by its own run."""
    ingest = OperatorUse("ingest", {"reader": "demo"})
    raw = put(
        warehouse,
        "demo/raw",
        "s",
        0,
        rows=[clip_row("s", 4)],
        provenance=Provenance(run_id="r1", source="demo", stage="raw", operators=(ingest,)),
    )
    media = put(
        warehouse,
        "demo/media",
        "s",
        0,
        rows=[clip_row("s", 4, availability="ok")],
        provenance=Provenance(
            run_id="r2", stage="media", input_table="demo/raw", input_version=raw
        ),
    )
    pieces = [
        clip_row("s", 4, clip_id=f"piece-{i}", parent_id="s/4", start_s=i * 2.0, end_s=i * 2.0 + 2)
        for i in range(2)
    ]
    split = OperatorUse("video_split_by_duration_mapper", {"split_duration": 2}, "3")
    clips = put(
        warehouse,
        "demo/t2v/clips",
        "s",
        0,
        rows=pieces,
        provenance=Provenance(
            run_id="r3",
            stage="clips",
            recipe="t2v",
            recipe_hash="beef",
            input_table="demo/media",
            input_version=media,
            operators=(split,),
        ),
    )
    verdicts = [
        {**p, "score": 0.5 + i, "keep": i == 0, "rejected_by": ["video_x_filter"][: i or None][-1]}
        for i, p in enumerate(pieces)
    ]
    verdicts[0]["rejected_by"] = None
    put(
        warehouse,
        "demo/t2v/cleaned",
        "s",
        0,
        schema=WITH_SCORE,
        rows=verdicts,
        provenance=Provenance(
            run_id="r4",
            stage="cleaned",
            recipe="t2v",
            recipe_hash="beef",
            input_table="demo/t2v/clips",
            input_version=clips,
            operators=(OperatorUse("video_x_filter", {"min_score": 1.0}),),
        ),
    )


def test_explain_walks_from_a_clip_to_its_annotation_line(warehouse):
    explained_warehouse(warehouse)
    found = warehouse.explain("demo/t2v/cleaned", "piece-1")
    assert [(s.table, s.clip_id) for s in found.steps] == [
        ("demo/t2v/cleaned", "piece-1"),
        ("demo/t2v/clips", "piece-1"),
        ("demo/media", "s/4"),
        ("demo/raw", "s/4"),
    ]
    assert (found.annotation_file, found.annotation_row, found.gap) == ("demo.json", 5, None)
    used = [(o.operator, dict(o.parameters)) for s in found.steps for o in s.provenance.operators]
    assert used == [
        ("video_x_filter", {"min_score": 1.0}),
        ("video_split_by_duration_mapper", {"split_duration": 2}),
        ("ingest", {"reader": "demo"}),
    ]
    text = "\n".join(found.lines())
    assert "rejected by video_x_filter" in text
    assert 'video_split_by_duration_mapper {"split_duration": 2} (version 3)' in text
    assert "cut from s/4 at 2.0 ... 4.0 s" in text
    assert "score = 1.5" in text
    assert text.endswith("annotation: demo.json, row 5")


def test_explain_still_knows_the_way_after_maintenance_and_other_writes(warehouse):
    explained_warehouse(warehouse)
    before = warehouse.explain("demo/t2v/cleaned", "piece-0")
    for table in warehouse.tables():
        put(warehouse, table, "other", 3)
        put(warehouse, table, "third", 3)
        warehouse.maintain(table, NOW)
    after = warehouse.explain("demo/t2v/cleaned", "piece-0")
    assert [(s.table, s.provenance) for s in after.steps] == [
        (s.table, s.provenance) for s in before.steps
    ]
    assert after.annotation_row == 5


def test_explain_says_where_the_way_ends(warehouse):
    explained_warehouse(warehouse)
    put(warehouse, "demo/media", "s", 0)
    warehouse.maintain("demo/media", NOW)
    found = warehouse.explain("demo/t2v/clips", "piece-0")
    assert found.gap == "table 'demo/media' no longer has clip piece-0 or s/4"
    with pytest.raises(WarehouseError, match="has no clip 'nobody'"):
        warehouse.explain("demo/raw", "nobody")
