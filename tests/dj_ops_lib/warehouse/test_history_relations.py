"""The history of all tables as relations: what they say is what the commits say."""

from __future__ import annotations

import json
import random

import pytest
from warehouse_rows import clip_row, put

from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.warehouse import OperatorUse, Provenance, Warehouse
from dj_ops_lib.warehouse.history import effective
from dj_ops_lib.warehouse.history_relations import SCHEMAS
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

CLEANED = "demo/t2v/cleaned"
MOTION = make_operator("video_motion_score_filter", {"min_score": 0.5, "sampling_fps": 4.0})


def made_by(run: str) -> Provenance:
    return Provenance(
        run_id=run,
        source="demo",
        stage="cleaned",
        recipe="t2v",
        input_table="demo/t2v/clips",
        input_version=7,
        rows_in=9,
        operators=(
            OperatorUse(
                "video_motion_score_filter", MOTION.model_dump(mode="json"), "3", "d", 9, 2
            ),
            OperatorUse("media", {"identity": "etag"}, measured=4, seconds=0.5, pass_seconds=1.5),
        ),
    )


def failed(kind: str) -> dict[str, object]:
    error = {"operator": "media", "class": kind, "message": "m", "attempts": 1}
    return {"keep": False, "error": error}


@pytest.fixture
def lived(warehouse: Warehouse) -> Warehouse:
    """Two tables with a past: shards written twice, errors, a takedown, a restore, maintenance."""
    rows = [clip_row("a", n) for n in range(5)]
    rows += [clip_row("a", 5, **failed("corrupt")), clip_row("a", 6, **failed("corrupt"))]
    rows += [clip_row("a", 7, **failed('o\'clock "odd"')), clip_row("a", 8, keep=False)]
    put(warehouse, CLEANED, "a", 0, rows=rows, provenance=made_by("first"))
    put(warehouse, CLEANED, "b", 3, provenance=made_by("first"))
    put(warehouse, CLEANED, "b", 2, provenance=made_by("second"))
    put(warehouse, "demo/raw", "a", 4)
    before = warehouse.version("demo/raw")
    put(warehouse, "demo/raw", "a", 6, "undone")
    warehouse.restore("demo/raw", before)
    warehouse.takedown([Tombstone("source_id", "video-b-1")])
    return warehouse


def test_every_commit_is_a_row_as_history_has_it(lived: Warehouse) -> None:
    found = lived.history_relation().to_arrow_table().to_pylist()
    right = {
        (table, commit.version): (commit.kind, commit.at, commit.provenance)
        for table in lived.tables()
        for commit in lived.history(table)
    }
    assert {(r["table"], r["version"]) for r in found} == right.keys()
    assert len(found) == len(right) > 8
    for row in found:
        kind, at, provenance = right[row["table"], row["version"]]
        assert (row["kind"], row["at"]) == (kind, at)
        for name in ("run_id", "recipe", "stage", "shard", "input_table", "input_version",
                     "rows_in", "rows_out", "rows_kept", "rows_withheld"):  # fmt: skip
            assert row[name] == (getattr(provenance, name) if provenance else None), name


def test_operators_are_in_recipe_order_with_parameters_and_thresholds(lived: Warehouse) -> None:
    found = lived.history_relation("operators", tables=[CLEANED]).to_arrow_table().to_pylist()
    first, second = [r for r in found if r["shard"] == "a"]
    assert [first["position"], second["position"]] == [0, 1]
    assert first["operator"] == "video_motion_score_filter"
    assert json.loads(first["parameters"]) == MOTION.model_dump(mode="json")
    thresholds = json.loads(first["thresholds"])
    assert thresholds["min_score"] == 0.5
    assert "sampling_fps" not in thresholds
    assert (first["operator_version"], first["digest"]) == ("3", "d")
    assert (first["rows_in"], first["rejected"]) == (9, 2)
    assert (second["operator"], second["thresholds"]) == ("media", "{}")
    assert (second["measured"], second["seconds"], second["pass_seconds"]) == (4, 0.5, 1.5)
    assert len(found) == 6


def test_errors_are_counted_by_class_and_kept_rows_with_them(lived: Warehouse) -> None:
    errors = lived.history_relation("errors").to_arrow_table().to_pylist()
    assert [(r["table"], r["shard"], r["error_class"], r["rows"]) for r in errors] == [
        (CLEANED, "a", "corrupt", 2),
        (CLEANED, "a", 'o\'clock "odd"', 1),
    ]
    commits = lived.history_relation(tables=[CLEANED])
    kept = commits.filter("current").project("shard, rows_kept").order("shard").fetchall()
    assert kept == [("a", 5), ("b", 2)]


def test_current_is_what_the_rows_are_of(lived: Warehouse) -> None:
    found = lived.history_relation().filter("current").project('"table", shard, version')
    right = {(CLEANED, "a", 2), (CLEANED, "b", 4), ("demo/raw", "a", 2)}
    assert set(found.fetchall()) == right


@pytest.mark.parametrize("seed", range(3))
def test_current_agrees_with_the_walk_backwards_after_random_restores(
    warehouse: Warehouse, seed: int
) -> None:
    dice = random.Random(seed)
    for turn in range(14):
        if turn > 3 and dice.random() < 0.4:
            warehouse.restore("t", dice.randint(2, warehouse.version("t")))
        else:
            put(warehouse, "t", dice.choice("ab"), 2, str(turn))
    right: dict[str | None, int] = {}
    for commit in effective(warehouse.history("t")):
        if commit.shard is not None:
            right.setdefault(commit.shard, commit.version)
    found = warehouse.history_relation().filter("current").project("shard, version").fetchall()
    assert dict(found) == right


def test_archived_commits_are_the_same_rows_and_not_read_from_transactions_again(
    lived: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {n: lived.history_relation(n).to_arrow_table() for n in SCHEMAS}
    lasts = {table: lived.version(table) for table in lived.tables()}
    for table in lived.tables():
        lived.maintain(table, Policy())
    read: list[int] = []
    import dj_ops_lib.warehouse.history as history

    transactions = history._transactions
    monkeypatch.setattr(
        history, "_transactions", lambda d, count: read.append(count) or transactions(d, count)
    )
    for name, table in before.items():
        after = lived.history_relation(name).filter(
            " OR ".join(f"(\"table\" = '{t}' AND version <= {v})" for t, v in lasts.items())
        )
        assert after.to_arrow_table().to_pylist() == table.to_pylist()
    assert sum(read) <= 3 * sum(lived.version(t) - lasts[t] + 1 for t in lasts)


def test_a_warehouse_without_tables_has_a_history_without_rows(warehouse: Warehouse) -> None:
    for name, schema in SCHEMAS.items():
        found = warehouse.history_relation(name).to_arrow_table()
        assert found.num_rows == 0
        assert found.schema.names == schema.names
        assert all(schema.field(n).metadata[b"description"] for n in schema.names)
