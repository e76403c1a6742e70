"""Histograms: those of shards add up to that of their rows, whatever became of the rows."""

from __future__ import annotations

import datetime as dt
import itertools
import math

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warehouse_rows import clip_row, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.histograms import SECONDS, SHARE, Edges, Histogram, total
from dj_ops_lib.operator import Column
from dj_ops_lib.warehouse import Provenance, Warehouse, history
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

TABLE = "demo/t2v/cleaned"
NOW = Policy(compact_at=2, index_at=1, keep_for=dt.timedelta(0))
SCORE = Edges.log(0.01, 100, 16)
TEXTURE = Column("texture", pa.float64(), "of the picture", "px", plot=SCORE)
SCHEMA = CLIP_SCHEMA.append(TEXTURE.field)


def rows_of(shard: str, count: int, seed: int, **columns) -> list[dict]:
    """Scores inside, outside of and on the edges, without number and without value."""
    random = np.random.default_rng(seed)
    scores = [0.01, 100.0, 0.0, -1.0, 1e4, math.nan, math.inf, None, 1.0]
    scores += list(10 ** random.uniform(-3, 3, count - len(scores)))
    durations = random.uniform(0.05, 90, count)
    return [
        clip_row(
            shard, i, duration_s=float(d), texture=s, width=320, keep=bool(i % 3), **columns
        )
        for i, (s, d) in enumerate(zip(scores, durations, strict=True))
    ]  # fmt: skip


def write(warehouse: Warehouse, shard: str, rows: list[dict], schema: pa.Schema = SCHEMA) -> int:
    return put(warehouse, TABLE, shard, 0, rows=rows, schema=schema)


def stored(warehouse: Warehouse, shards: set[str] | None = None) -> list[dict]:
    rows = [r for b in warehouse.scan(TABLE) for r in b.to_pylist()]
    return [r for r in rows if shards is None or r["shard"] in shards]


def directly(rows: list[dict], column: str, edges: Edges) -> tuple:
    """(counts, kept, nan, null), counted by numpy from the rows."""

    def counted(values: list[float]) -> tuple[int, ...]:
        array = np.array([v for v in values if v is not None and not math.isnan(v)])
        inside, _ = np.histogram(array, bins=edges.values)
        below, above = (array < edges.low).sum(), (array > edges.high).sum()
        return (int(below), *map(int, inside), int(above))

    values = [r[column] for r in rows]
    kept = [r[column] for r in rows if r["keep"]]
    nan = sum(v is not None and math.isnan(v) for v in values)
    return counted(values), counted(kept), nan, sum(v is None for v in values)


def assert_right(warehouse: Warehouse, shards: set[str] | None = None) -> dict[str, Histogram]:
    """The recorded histograms are those of the rows that are there; by statistic."""
    rows = stored(warehouse, shards)
    found = warehouse.histograms(TABLE, shards)
    assert found.unknown == ()
    by_name = {h.column: h for h in found.total}
    for column, edges in (("texture", SCORE), ("duration_s", SECONDS)):
        h = by_name[column]
        assert h.edges == edges
        assert (h.counts, h.kept, h.nan, h.null) == directly(rows, column, edges)
    return by_name


@pytest.fixture
def two_shards(warehouse: Warehouse) -> Warehouse:
    write(warehouse, "00000", rows_of("00000", 60, 1))
    write(warehouse, "00001", rows_of("00001", 80, 2))
    return warehouse


def test_two_shards_added_are_all_rows_counted(two_shards):
    every = assert_right(two_shards)
    assert (every["texture"].unit, every["duration_s"].unit) == ("px", "s")
    assert every["texture"].below >= 4  # 0 and -1 of either shard
    assert every["texture"].above >= 4  # 10,000 and infinity
    assert (every["texture"].nan, every["texture"].null) == (2, 2)
    assert every["fps"].null == 140
    alone = [assert_right(two_shards, {s})["texture"] for s in ("00000", "00001")]
    assert alone[0] + alone[1] == every["texture"]


def test_shards_that_are_made_again_count_once(two_shards):
    write(two_shards, "00000", rows_of("00000", 20, 3))
    write(two_shards, "00001", [])
    assert sum(assert_right(two_shards)["duration_s"].counts) == 20


def test_compaction_and_cleanup_change_nothing(two_shards):
    before = two_shards.histograms(TABLE)
    done = two_shards.maintain(TABLE, NOW)
    assert done.fragments_after < done.fragments_before
    assert done.versions_removed > 0
    assert two_shards.histograms(TABLE) == before
    assert_right(two_shards)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_takedown_counts_again_what_it_leaves(two_shards, compacted):
    write(two_shards, "00002", rows_of("00002", 30, 4))
    if compacted:
        two_shards.maintain(TABLE, NOW)
    before = two_shards.histograms(TABLE).by_shard
    stones = [Tombstone("source_id", f"video-{shard}-{i}") for shard in ("00000", "00002")
              for i in range(0, 30, 2)]  # fmt: skip
    two_shards.takedown(stones, reason="asked")
    after = assert_right(two_shards)
    assert sum(after["duration_s"].counts) == 60 + 80 + 30 - 30
    last = two_shards.history(TABLE)[-1]
    assert last.kind == "takedown"
    assert set(last.histograms or ()) == {"00000", "00002"}
    assert two_shards.histograms(TABLE).by_shard["00001"] == before["00001"]


def test_a_takedown_of_everything_leaves_a_shard_of_nothing(two_shards):
    two_shards.takedown(
        [Tombstone("source_id", f"video-00000-{i}") for i in range(60)], reason="asked"
    )
    assert assert_right(two_shards, {"00000"})["texture"].values == 0
    assert_right(two_shards)


def test_a_restore_counts_the_rows_that_come_back_and_not_those_taken_down(two_shards):
    old = two_shards.version(TABLE)
    two_shards.takedown([Tombstone("source_id", "video-00000-9")], reason="asked")
    write(two_shards, "00000", [])
    write(two_shards, "00002", rows_of("00002", 15, 4))  # not there any more once restored
    two_shards.restore(TABLE, old)
    assert sum(assert_right(two_shards)["duration_s"].counts) == 139
    assert_right(two_shards, {"00001"})
    write(two_shards, "00001", rows_of("00001", 10, 5))
    assert sum(assert_right(two_shards)["duration_s"].counts) == 69


def test_rows_that_are_withheld_are_not_counted(two_shards):
    two_shards.takedown([Tombstone("source_id", "video-00000-3")], reason="asked")
    write(two_shards, "00000", rows_of("00000", 60, 1))
    assert sum(assert_right(two_shards, {"00000"})["duration_s"].counts) == 59


def test_a_shard_of_a_new_layout_counts_the_older_ones_anew_that_it_takes_entries_from(two_shards):
    lines = [
        {"shard": s, "annotation_file": "demo.json", "first_row": a, "rows": n, "retired": old}
        for s, a, n, old in (("00000", 1, 60, True), ("00001", 1, 80, True), ("n0", 11, 20, False))
    ]
    found = pa.Table.from_pylist(lines)
    two_shards.overwrite(
        "demo/manifest", found.to_batches(), schema=found.schema, provenance=Provenance()
    )
    rows = [{**r, "shard": "n0", "annotation_row": 11 + i} for i, r in enumerate(
        rows_of("00000", 20, 1))]  # fmt: skip
    write(two_shards, "n0", rows)
    last = two_shards.history(TABLE)[-1]
    assert last.kind == "replace"
    assert set(last.histograms or ()) == {"00000", "00001", "n0"}
    assert sum(assert_right(two_shards)["duration_s"].counts) == len(stored(two_shards)) < 140
    for shard in ("00000", "00001", "n0"):
        assert_right(two_shards, {shard})


def test_rows_taken_down_while_they_are_written_are_not_counted(two_shards):
    def batches():
        rows = rows_of("00000", 60, 1)
        for part in (rows[:30], rows[30:]):
            yield from pa.Table.from_pylist(part, schema=SCHEMA).to_batches()
            two_shards.takedown([Tombstone("source_id", "video-00001-7")], reason="asked")
        two_shards.takedown([Tombstone("source_id", "video-00000-5")], reason="asked")

    two_shards.replace_shard(TABLE, "00000", batches(), schema=SCHEMA, provenance=Provenance())
    assert sum(assert_right(two_shards)["duration_s"].counts) == 59 + 79


def test_older_versions_keep_their_own(two_shards):
    old, then = two_shards.version(TABLE), two_shards.histograms(TABLE)
    write(two_shards, "00001", rows_of("00001", 10, 5))
    assert two_shards.histograms(TABLE, version=old) == then != two_shards.histograms(TABLE)


def test_a_shard_that_nobody_counted_is_named_and_in_no_sum(two_shards, monkeypatch):
    from dj_ops_lib.warehouse import write as writing

    encode = writing.encode
    with monkeypatch.context() as patched:  # what a release of before histograms wrote
        patched.setattr(
            writing, "encode", lambda kind, made=None, histograms=None, **d: encode(kind, made, **d)
        )
        write(two_shards, "00001", rows_of("00001", 10, 5))
    found = two_shards.histograms(TABLE)
    assert (set(found.by_shard), found.unknown) == ({"00000"}, ("00001",))
    assert two_shards.histograms(TABLE, ["00001"]).unknown == ("00001",)
    assert two_shards.histograms(TABLE, ["none such"]).unknown == ()
    two_shards.takedown([Tombstone("source_id", "video-00001-3")], reason="asked")
    assert sum(assert_right(two_shards, {"00001"})["duration_s"].counts) == 9


def test_rows_that_another_program_added_are_of_unknown_shards(two_shards):
    rows = pa.Table.from_pylist(rows_of("00009", 10, 6), schema=SCHEMA)
    lance.write_dataset(rows, two_shards.address(TABLE), mode="append")
    assert two_shards.histograms(TABLE).unknown == ("00009",)


def test_changed_edges_hold_for_what_is_counted_from_then_on(two_shards):
    wider = Edges.log(0.001, 1000, 12)
    column = Column("texture", pa.float64(), "of the picture", "px", plot=wider)
    write(two_shards, "00001", rows_of("00001", 10, 5), CLIP_SCHEMA.append(column.field))
    both = [h.edges for h in two_shards.histograms(TABLE).total if h.column == "texture"]
    assert both == [wider, SCORE]
    # Whoever has no declaration at hand, as a takedown, asks the table.
    two_shards.takedown([Tombstone("source_id", "video-00000-3")], reason="asked")
    (texture,) = (h for h in two_shards.histograms(TABLE).total if h.column == "texture")
    assert texture.edges == wider
    counts = directly(stored(two_shards), "texture", wider)
    assert (texture.counts, texture.kept, texture.nan, texture.null) == counts


def test_a_table_from_before_edges_learns_them(warehouse):
    bare = pa.schema([pa.field(f.name, f.type, f.nullable) for f in SCHEMA])
    write(warehouse, "00000", rows_of("00000", 20, 1), bare)
    assert warehouse.histograms(TABLE).total == ()
    write(warehouse, "00001", rows_of("00001", 20, 2))
    assert_right(warehouse, {"00001"})
    # A shard that is decided again is written with the table's own schema.
    batches = list(warehouse.read_shard(TABLE, "00000"))
    warehouse.replace_shard(
        TABLE, "00000", batches, schema=warehouse.schema(TABLE), provenance=Provenance()
    )
    assert_right(warehouse)


def test_a_whole_table_is_counted_by_shard(warehouse):
    rows = [*rows_of("00000", 20, 1), *rows_of("00001", 20, 2)]
    batches = pa.Table.from_pylist(rows, schema=SCHEMA).to_batches()
    warehouse.overwrite(TABLE, batches, schema=SCHEMA, provenance=Provenance())
    assert set(warehouse.histograms(TABLE).by_shard) == {"00000", "00001"}
    assert_right(warehouse)


def test_the_relation_says_the_same_and_adds_up_in_sql(two_shards):
    other = "demo/t2v/later"
    rows = rows_of("00000", 15, 7)
    put(two_shards, other, "00000", 0, rows=rows, schema=SCHEMA)
    old = two_shards.version(TABLE)
    write(two_shards, "00001", rows_of("00001", 12, 8))
    write(two_shards, "00002", rows_of("00002", 12, 8))
    two_shards.restore(TABLE, old)
    write(two_shards, "00001", rows_of("00001", 30, 9))
    two_shards.takedown([Tombstone("source_id", "video-00000-9")], reason="asked")

    relation = two_shards.history_relation("histograms")
    for table in (TABLE, other):
        found = relation.filter(f"current AND \"table\" = '{table}'").to_arrow_table().to_pylist()
        said: dict[str, set[Histogram]] = {}
        for r in found:
            edges = Edges(r["scale"], r["low"], r["high"], r["bins"])
            counts = tuple(r["counts"]), tuple(r["kept"])
            one = Histogram(r["statistic"], edges, *counts, r["nans"], r["nulls"], r["unit"])
            said.setdefault(r["shard"], set()).add(one)
        right = two_shards.histograms(table).by_shard
        assert said == {shard: set(found) for shard, found in right.items()}
    summed = relation.query(
        "histograms",
        """
        SELECT list(n ORDER BY bin) FROM (
          SELECT bin, sum(counts[bin]) AS n FROM histograms, range(1, 19) AS bins(bin)
          WHERE current AND statistic = 'texture' GROUP BY bin)
        """,
    ).fetchall()
    every = [r for t in (TABLE, other) for b in two_shards.scan(t) for r in b.to_pylist()]
    assert summed == [(list(directly(every, "texture", SCORE)[0]),)]
    took = relation.filter(f"version = {two_shards.version(TABLE)}").project("shard")
    assert set(took.fetchall()) == {("00000",)}


def test_few_commits_are_read_to_find_a_shard(two_shards, monkeypatch):
    read = []
    live = history._live
    monkeypatch.setattr(
        history, "_live", lambda dataset, since: read.append(since) or live(dataset, since)
    )
    assert_right(two_shards, {"00001"})
    assert read == [two_shards.version(TABLE) - 1]


EDGES = st.one_of(
    st.builds(
        lambda low, span, bins: Edges.linear(low, low + span, bins),
        st.integers(-100, 100), st.integers(1, 100), st.integers(1, 60),
    ),
    st.builds(
        lambda low, factor, bins: Edges.log(low, low * factor, bins),
        st.sampled_from([1e-4, 0.1, 1, 16]), st.integers(2, 10**6), st.integers(1, 60),
    ),
)  # fmt: skip


@given(edges=EDGES, data=st.data())
def test_any_values_are_counted_as_numpy_does(edges, data):
    from dj_ops_lib.warehouse.counting import Counting

    borders = st.sampled_from(edges.values)
    values = data.draw(st.lists(st.none() | borders | st.floats(width=64), max_size=40))
    kept = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    cut = data.draw(st.integers(0, len(values)))
    column = Column("v", pa.float64(), "any", plot=edges)
    schema = pa.schema([column.field, pa.field("keep", pa.bool_())])
    rows = [{"v": v, "keep": k} for v, k in zip(values, kept, strict=True)]
    parts = []
    for part in (rows[:cut], rows[cut:]):
        counting = Counting(schema, "s")
        for batch in pa.Table.from_pylist(part, schema=schema).to_batches():
            counting.add(batch)
        parts += [Histogram.from_record(r) for r in counting.record()["s"]]
    (found,) = total(parts)
    assert (found.counts, found.kept, found.nan, found.null) == directly(rows, "v", edges)


@given(edges=EDGES)
def test_edges_rise_and_end_where_they_are_declared_to(edges):
    values = edges.values
    assert len(values) == edges.bins + 1
    assert all(a < b for a, b in itertools.pairwise(values))
    assert (values[0], values[-1]) == pytest.approx((edges.low, edges.high), rel=1e-11)
    for i, value in enumerate(values):
        assert edges.position(value) == pytest.approx(i, abs=1e-6)


def test_what_cannot_be_counted_is_refused():
    for low, high, bins in ((1, 1, 5), (2, 1, 5), (0, 1, 0), (0, math.inf, 5)):
        with pytest.raises(ValueError, match="low < high"):
            Edges.linear(low, high, bins)
    with pytest.raises(ValueError, match="low > 0"):
        Edges.log(0, 1, 5)
    with pytest.raises(TypeError, match="only numbers"):
        Column("name", pa.string(), "a word", plot=SHARE)
    one = Histogram("a", Edges.linear(0, 1, 1), (0, 1, 0), (0, 1, 0))
    with pytest.raises(ValueError, match="cannot be added"):
        one + Histogram("a", Edges.linear(0, 2, 1), (0, 1, 0), (0, 1, 0))
