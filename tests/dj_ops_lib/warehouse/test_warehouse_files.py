"""What the data files are, and that an index never changes what a filter finds."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import polars as pl
import pyarrow as pa
import pytest
from warehouse_rows import WITH_SCORE, clip_row, contents, expected, put

from dj_ops_lib.warehouse import Provenance, Warehouse, file_format
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

TABLE = "demo/cleaned"
EAGER = Policy(compact_at=2, index_at=1)


def versions_of_files(warehouse: Warehouse) -> set[tuple[str, int, int]]:
    """(table, major, minor) of all data files, of the warehouse's own tables, too."""
    return {
        (str(path.relative_to(warehouse.uri)), file.file_major_version, file.file_minor_version)
        for path in Path(warehouse.uri).rglob("*.lance")
        if path.is_dir()
        for fragment in lance.dataset(path).get_fragments()
        for file in fragment.data_files()
    }


def everything_done_to(warehouse: Warehouse) -> None:
    """A table that has been through all that writes files."""
    for shard in ("a", "b", "c"):
        put(warehouse, TABLE, shard, 20)
    put(warehouse, TABLE, "a", 10, "again", schema=WITH_SCORE)
    warehouse.takedown([Tombstone("source_id", "video-b-3")])
    warehouse.maintain(TABLE, EAGER)
    put(warehouse, TABLE, "d", 5)
    warehouse.overwrite("demo/whole", [], schema=WITH_SCORE, provenance=Provenance())
    rows = pa.Table.from_pylist([clip_row("a", 1)], schema=WITH_SCORE)
    warehouse.overwrite("demo/whole", rows.to_batches(), schema=WITH_SCORE, provenance=Provenance())
    put(warehouse, "demo/other", "a", 3)
    put(warehouse, "demo/other", "a", 4)
    warehouse.restore("demo/other", 2)


@pytest.mark.parametrize("version", ["2.2", "2.1"])
def test_all_files_have_the_version_that_is_declared_whatever_lances_default(
    warehouse: Warehouse, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.1 is no default of this Lance: a writer that leaves it to Lance shows."""
    monkeypatch.setitem(file_format.FORMAT, "data_storage_version", version)  # type: ignore[misc]
    everything_done_to(warehouse)
    found = versions_of_files(warehouse)
    assert {table for table, _, _ in found} >= {
        "demo/cleaned.lance", "demo/whole.lance", "demo/other.lance",
        "_warehouse/tombstones.lance", "_warehouse/history/demo/cleaned.lance",
    }  # fmt: skip
    major, minor = map(int, version.split("."))
    assert {(table, *v) for table, *v in found if v != [major, minor]} == set()


def test_it_is_version_2_2_without_stable_row_ids(warehouse: Warehouse) -> None:
    assert file_format.FORMAT == {"data_storage_version": "2.2", "enable_stable_row_ids": False}
    everything_done_to(warehouse)
    for table in warehouse.tables():
        dataset = warehouse.lance(table)
        assert dataset.data_storage_version == "2.2"
        assert not dataset.has_stable_row_ids


def test_a_table_with_files_of_an_older_version_is_read_and_written_on(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setitem(file_format.FORMAT, "data_storage_version", "2.1")  # type: ignore[misc]
        put(warehouse, TABLE, "a", 30)
        put(warehouse, TABLE, "b", 30)
    put(warehouse, TABLE, "b", 20, "new")
    put(warehouse, TABLE, "c", 10, "new")
    assert {v[1:] for v in versions_of_files(warehouse)} == {(2, 1), (2, 2)}
    shards = {"a": (30, "a"), "b": (20, "new"), "c": (10, "new")}
    assert contents(warehouse, TABLE) == expected(shards)
    warehouse.maintain(TABLE, EAGER)
    assert contents(warehouse, TABLE) == expected(shards)


Condition = tuple[str, pl.Expr]
"""The same, for Lance and for Polars."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def a_condition(dice: random.Random, rows: pl.DataFrame, depth: int = 2) -> Condition:
    """A random condition on indexed and other columns, with nulls and values that are not there."""
    if depth and dice.random() < 0.6:
        (left, ours), (right, theirs) = (a_condition(dice, rows, depth - 1) for _ in "ab")
        if dice.random() < 0.25:
            return f"NOT ({left})", ~ours
        word, both = dice.choice([("AND", ours & theirs), ("OR", ours | theirs)])
        return f"(({left}) {word} ({right}))", both
    column = dice.choice(["clip_id", "clip_id", "shard", "shard", "score", "rejected_by", "keep"])
    value = pl.col(column)
    if column == "keep":
        return "keep", value
    if dice.random() < 0.15:
        return dice.choice([(f"{column} IS NULL", value.is_null()),
                            (f"{column} IS NOT NULL", value.is_not_null())])  # fmt: skip
    known = rows[column].drop_nulls().to_list()
    absent = {"score": 2.0, "rejected_by": "nobody"}.get(column, "zzz/0")
    drawn = [dice.choice([*known, absent]) for _ in range(dice.randint(1, 6))]
    literals = [str(v) if column == "score" else f"'{v}'" for v in drawn]
    if dice.random() < 0.4:
        return f"{column} IN ({', '.join(literals)})", value.is_in(drawn)
    if dice.random() < 0.3:
        (low, lowest), *_, (high, highest) = sorted(zip(drawn * 2, literals * 2, strict=True))
        return f"{column} BETWEEN {lowest} AND {highest}", value.is_between(
            pl.lit(low), pl.lit(high)
        )
    sign = dice.choice(list(COMPARISONS))
    return f"{column} {sign} {literals[0]}", COMPARISONS[sign](value, drawn[0])


def random_rows(dice: random.Random, shard: str) -> list[dict[str, Any]]:
    rejecters = [None, "video_motion_score_filter", "video_duration_filter"]
    return [
        clip_row(
            shard,
            number,
            clip_id=f"{dice.getrandbits(64):016x}",
            score=dice.choice([None, dice.random()]),
            rejected_by=(by := dice.choice(rejecters)),
            keep=by is None,
        )
        for number in range(dice.choice([0, 1, 7, 60, 200]))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_filter_finds_the_same_with_and_without_indices_and_what_polars_finds(
    warehouse: Warehouse, seed: int
) -> None:
    """Indices that cover some fragments, after deletions, replaced shards and compactions."""
    dice = random.Random(seed)
    held: dict[str, list[dict[str, Any]]] = {}
    for turn in range(4):
        for shard in (f"{n:05d}" for n in dice.sample(range(12), 6)):
            held[shard] = random_rows(dice, shard)
            put(warehouse, TABLE, shard, 0, rows=held[shard], schema=WITH_SCORE)
        full = [shard for shard, rows in held.items() if rows]
        gone = dice.choice(held[dice.choice(full)])
        warehouse.takedown([Tombstone("clip", gone["clip_id"])])
        held = {s: [r for r in rows if r != gone] for s, rows in held.items()}
        if turn < 3:  # what follows the last is outside of the indices
            warehouse.maintain(TABLE, EAGER)
        _compare(warehouse, held, dice)


def _compare(
    warehouse: Warehouse, held: dict[str, list[dict[str, Any]]], dice: random.Random
) -> None:
    flat = [row for rows in held.values() for row in rows]
    names = ["clip_id", "shard", "score", "rejected_by", "keep"]
    table = pa.Table.from_pylist(flat, schema=WITH_SCORE).select(names)
    rows = pl.DataFrame(pl.from_arrow(table))
    dataset = warehouse.lance(TABLE)
    for _ in range(30):
        text, condition = a_condition(dice, rows)
        right = sorted(rows.filter(condition)["clip_id"])
        for indexed in (True, False):
            scanner = dataset.scanner(["clip_id"], filter=text, use_scalar_index=indexed)
            assert sorted(scanner.to_table()["clip_id"].to_pylist()) == right, (text, indexed)
        assert dataset.count_rows(text) == len(right), text


def test_the_filters_above_do_use_the_indices(warehouse: Warehouse) -> None:
    for number in range(4):
        put(warehouse, TABLE, f"{number:05d}", 50)
    warehouse.maintain(TABLE, EAGER)
    for condition in ("shard = '00001'", "clip_id = '00001/7'"):
        scanner = warehouse.lance(TABLE).scanner(filter=condition, use_scalar_index=True)
        assert "ScalarIndexQuery" in scanner.explain_plan(verbose=True)
