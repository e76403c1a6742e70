"""Takedown: everywhere, for good, and told in full."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from warehouse_rows import clip_batches, clip_row, put

from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import Provenance, Warehouse, staging, tombstones
from dj_ops_lib.warehouse.maintenance import Policy
from dj_ops_lib.warehouse.tombstones import Tombstone

NOW = Policy(compact_at=2, index_at=1, keep_for=dt.timedelta(0))


def ids(warehouse: Warehouse, table: str, version=None) -> set[str]:
    batches = warehouse.scan(table, columns=["clip_id"], version=version)
    return {i for b in batches for i in b.column("clip_id").to_pylist()}


def pieces(parent: dict, count: int = 2) -> list[dict]:
    return [
        {
            **parent,
            "clip_id": f"{parent['clip_id']}#{i}",
            "parent_id": parent["clip_id"],
            "signature": f"sig-{parent['clip_id'].replace('/', '-')}-{i}",
        }
        for i in range(count)
    ]


@pytest.fixture
def corpus(warehouse: Warehouse) -> Warehouse:
    """Two sources of three videos; `raw` knows no content, `clips` and `cleaned` cut in two."""
    for source in ("one", "two"):
        rows = [clip_row("s", i, source=source, clip_id=f"{source}/{i}") for i in range(3)]
        for row in rows:
            row["source_id"] = f"video-{row['clip_id'][-1]}"
        put(warehouse, f"{source}/raw", "s", 0, rows=[{**r, "media_id": None} for r in rows])
        put(warehouse, f"{source}/media", "s", 0, rows=rows)
        cut = [p for r in rows for p in pieces(r)]
        put(warehouse, f"{source}/t2v/clips", "s", 0, rows=cut)
        put(warehouse, f"{source}/t2v/cleaned", "s", 0, rows=cut)
    return warehouse


def test_a_source_id_is_removed_from_every_table_of_its_source_only(corpus):
    done = corpus.takedown([Tombstone("source_id", "video-1", "one")], reason="asked")
    assert done.clips == ("one/1", "one/1#0", "one/1#1")
    assert {t.table: t.rows for t in done.tables} == {
        "one/raw": 1,
        "one/media": 1,
        "one/t2v/clips": 2,
        "one/t2v/cleaned": 2,
    }
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}
    assert "one/1#0" not in ids(corpus, "one/t2v/cleaned")
    assert ids(corpus, "two/raw") == {"two/0", "two/1", "two/2"}
    assert [c.kind for c in corpus.history("one/raw")][-1] == "takedown"
    assert corpus.shards("one/raw") == {"s": 2}


def test_a_content_is_removed_where_only_its_clips_are_known_too(corpus):
    """`raw` has no content identity, `two` has the same content under another id."""
    done = corpus.takedown([Tombstone("media", "sha256:s-1")])
    assert {t.table for t in done.tables} == {
        f"{s}/{t}" for s in ("one", "two") for t in ("raw", "media", "t2v/clips", "t2v/cleaned")
    }
    for source in ("one", "two"):
        assert ids(corpus, f"{source}/raw") == {f"{source}/0", f"{source}/2"}


def test_a_clip_takes_its_pieces_along_and_leaves_its_siblings(corpus):
    corpus.takedown([Tombstone("clip", "one/1")])
    assert ids(corpus, "one/t2v/clips") == {f"one/{i}#{j}" for i in (0, 2) for j in (0, 1)}
    corpus.takedown([Tombstone("clip", "one/0#1")])
    assert ids(corpus, "one/t2v/clips") == {"one/0#0", "one/2#0", "one/2#1"}
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}


def test_what_was_taken_down_does_not_come_back_by_any_way_of_writing(corpus):
    raw = [clip_row("s", i, source="one", clip_id=f"one/{i}") for i in range(3)]
    for row in raw:
        row["source_id"] = f"video-{row['clip_id'][-1]}"
    before = corpus.version("one/raw")
    corpus.takedown([Tombstone("source_id", "video-1", "one")])

    put(corpus, "one/raw", "s", 0, rows=raw)
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}
    (last,) = corpus.history("one/raw")[-1:]
    assert last.provenance.rows_out == 2
    put(corpus, "one/t2v/late", "s", 0, rows=[p for r in raw for p in pieces(r)])
    assert ids(corpus, "one/t2v/late") == {f"one/{i}#{j}" for i in (0, 2) for j in (0, 1)}
    corpus.overwrite("one/raw", clip_batches(raw), schema=CLIP_SCHEMA, provenance=Provenance())
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}
    corpus.restore("one/raw", before)
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}


def test_a_writer_that_began_before_the_takedown_brings_nothing_back(corpus):
    """Its rows are staged already when the tombstone appears."""

    def rows():
        yield from clip_batches([clip_row("late", i) for i in range(3)])
        corpus.takedown([Tombstone("media", "sha256:late-1")], even_if_unknown=True)

    corpus.replace_shard("one/raw", "late", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert corpus.shards("one/raw") == {"late": 2, "s": 3}
    assert "late/1" not in ids(corpus, "one/raw")


def test_a_takedown_between_the_last_look_and_the_commit_is_noticed(corpus, monkeypatch):
    """The narrowest moment: tombstones were just read, the commit is about to be made."""
    original = staging.Staged.withhold
    calls = []

    def withhold(self, gone, dataset):
        original(self, gone, dataset)
        calls.append(dataset.version)
        if len(calls) == 1:
            corpus.takedown([Tombstone("media", "sha256:late-1")], even_if_unknown=True)

    monkeypatch.setattr(staging.Staged, "withhold", withhold)
    put(corpus, "one/raw", "late", 3)
    assert len(calls) == 2
    assert corpus.shards("one/raw") == {"late": 2, "s": 3}


def test_a_table_created_during_a_takedown_is_clean_too(warehouse):
    def rows():
        yield from clip_batches([clip_row("late", i) for i in range(3)])
        warehouse.takedown([Tombstone("source_id", "video-late-0")], even_if_unknown=True)

    warehouse.replace_shard("x/raw", "late", rows(), schema=CLIP_SCHEMA, provenance=Provenance())
    assert warehouse.shards("x/raw") == {"late": 2}


def test_rows_inside_a_compacted_indexed_fragment_are_removed(corpus):
    put(corpus, "one/raw", "more", 50)
    corpus.maintain("one/raw", NOW)
    corpus.takedown([Tombstone("source_id", "video-more-7"), Tombstone("clip", "one/0")])
    assert corpus.shards("one/raw") == {"more": 49, "s": 2}
    assert not corpus.lance("one/raw").count_rows("clip_id = 'more/7'")


def test_rendered_files_go_unless_a_remaining_clip_has_the_same_content(corpus, tmp_path):
    rendered = tmp_path / "rendered"
    (rendered / "deep").mkdir(parents=True)
    gone = [rendered / "sig-one-1-0.mp4", rendered / "deep" / "sig-one-1-1.mp4"]
    stays = [rendered / "sig-one-0-0.mp4", rendered / "sig-one-1-00.mp4"]
    for path in gone + stays:
        path.write_bytes(b"x")
    shared = {**pieces(clip_row("s", 7))[0], "signature": "sig-one-1-1"}
    put(corpus, "two/shared", "s", 0, rows=[shared])
    done = corpus.takedown([Tombstone("source_id", "video-1", "one")], rendered=[str(rendered)])
    assert done.files == (str(gone[0]),)
    assert [p.exists() for p in gone + stays] == [False, True, True, True]


def test_a_file_in_the_making_goes_too(corpus, tmp_path):
    making = tmp_path / "rendered" / "deep" / ".rendering"
    gone, stays = making / "sig-one-1-0.kernel.1", making / "sig-one-0-0.kernel.1"
    for folder in (gone, stays):
        folder.mkdir(parents=True)
        (folder / "clip.mp4").write_bytes(b"half")
    stones = [Tombstone("source_id", "video-1", "one")]
    done = corpus.takedown(stones, rendered=[str(tmp_path / "rendered")])
    assert done.files == (str(gone),)
    assert list(making.iterdir()) == [stays]


def test_who_made_files_meanwhile_learns_which_of_them_have_to_go(corpus):
    clips = pa.Table.from_batches(corpus.scan("one/t2v/cleaned"))
    shared = {**pieces(clip_row("s", 7))[0], "signature": "sig-one-1-1"}
    put(corpus, "two/shared", "s", 0, rows=[shared])
    assert corpus.taken_down(clips) == set()
    corpus.takedown([Tombstone("source_id", "video-1", "one")])
    assert corpus.taken_down(clips) == {"sig-one-1-0"}


def test_pruning_finds_the_files_that_no_table_names(corpus, tmp_path):
    """Named in the latest or a tagged version; of those, the ones that it has a record of."""
    rendered = tmp_path / "rendered" / "one"
    rendered.mkdir(parents=True)
    names = [f"{i:032x}.mp4" for i in range(3)] + [f"{3:032x}.0a1b2c3d.mp4"]
    paths = [rendered / name for name in (*names, "my-holiday.mp4")]
    for path in paths:
        path.write_bytes(b"12345")
    schema = CLIP_SCHEMA.append(pa.field("rendered_uri", pa.string()))

    def name_in_table(*files: str) -> None:
        rows = [
            clip_row("s", i) | {"rendered_uri": str(rendered / name)}
            for i, name in enumerate(files)
        ]
        batches = pa.Table.from_pylist(rows, schema).to_batches()
        corpus.replace_shard(
            "one/t2v/rendered", "s", batches, schema=schema, provenance=Provenance()
        )

    name_in_table(names[0], names[1])
    folder, soon = str(tmp_path / "rendered"), dt.timedelta(0)
    unknown = corpus.prune_files(folder, older_than=soon, delete=True)
    assert (unknown.files, unknown.strangers) == ((), 2)
    rows = pa.Table.from_pylist([clip_row("s", i) for i in range(4)], CLIP_SCHEMA)
    corpus.record_files(
        rows,
        [str(p) for p in paths[:4]],
        made_for="one/t2v/rendered",
        provenance=Provenance(),
    )
    corpus.tag("one/t2v/rendered", "release")
    name_in_table(names[0])
    day = dt.timedelta(days=1)
    assert corpus.prune_files(folder, older_than=day, delete=True).files == ()
    found = corpus.prune_files(folder, older_than=dt.timedelta(0))
    assert (found.files, found.size) == (tuple(map(str, paths[2:4])), 10)
    assert all(path.exists() for path in paths)
    assert corpus.prune_files(folder, older_than=dt.timedelta(0), delete=True).removed
    assert [path.exists() for path in paths] == [True, True, False, False, True]
    corpus.untag("one/t2v/rendered", "release")
    assert corpus.prune_files(folder, older_than=dt.timedelta(0)).files == (str(paths[1]),)


def test_tagged_versions_that_still_hold_it_are_reported_and_ended_on_request(corpus):
    corpus.tag("one/raw", "release")
    corpus.tag("two/raw", "clean")
    done = corpus.takedown([Tombstone("source_id", "video-1", "one")])
    (tagged,) = done.tagged
    assert (tagged.table, tagged.tag, tagged.rows, tagged.purged) == (
        "one/raw",
        "release",
        1,
        False,
    )
    assert "one/1" in ids(corpus, "one/raw", "release")

    again = corpus.takedown([Tombstone("source_id", "video-1", "one")], purge_versions=True)
    assert [(t.tag, t.purged) for t in again.tagged] == [("release", True)]
    assert corpus.tags("one/raw") == []
    assert [t.name for t in corpus.tags("two/raw")] == ["clean"]
    assert len(corpus.lance("one/raw").versions()) == 1
    assert ids(corpus, "one/raw") == {"one/0", "one/2"}


def test_purging_leaves_no_byte_of_the_clip_in_any_file(corpus, tmp_path):
    secret = "caption-of-a-person-who-objected-1b7c"
    put(corpus, "one/raw", "p", 0, rows=[clip_row("p", i, text=f"{secret}-{i}") for i in range(9)])
    corpus.maintain("one/raw", NOW)

    def holders(text: str) -> list[Path]:
        files = (p for p in (tmp_path / "warehouse/one").rglob("*") if p.is_file())
        return [p for p in files if text.encode() in p.read_bytes()]

    assert holders("video-p-4")
    corpus.takedown([Tombstone("source_id", "video-p-4")], purge_versions=True)
    assert holders("video-p-4") == []
    assert corpus.shards("one/raw")["p"] == 8


def test_a_shard_that_loses_its_last_row_stays_known_however_it_was_written(corpus):
    put(corpus, "one/raw", "last", 1)
    corpus.takedown([Tombstone("source_id", "video-last-0")])
    assert corpus.shards("one/raw") == {"last": 0, "s": 3}
    rows = clip_batches([clip_row("x", 0), clip_row("y", 0)])
    corpus.overwrite("one/raw", rows, schema=CLIP_SCHEMA, provenance=Provenance())
    corpus.takedown([Tombstone("source_id", "video-x-0")])
    assert corpus.shards("one/raw") == {"x": 0, "y": 1}


def test_tombstones_are_recorded_once_and_kept_with_their_reason(corpus):
    for _ in range(2):
        corpus.takedown([Tombstone("source_id", "video-1", "one")], reason="court order 7")
    stored = corpus._store.open(tombstones.TABLE).to_table().to_pylist()
    assert len(stored) == len({(r["kind"], r["source"], r["value"]) for r in stored})
    assert {r["reason"] for r in stored} == {"court order 7"}
    assert corpus.tables() == sorted(t for t in corpus.tables() if not t.startswith("_"))


def test_a_takedown_of_nothing_known_still_holds_for_what_comes_later(warehouse):
    stones = [Tombstone("source_id", "video-s-1")]
    with pytest.raises(WarehouseError, match=r"nothing in .* descends from video-s-1"):
        warehouse.takedown(stones)
    assert tombstones.load(warehouse._store).stones == frozenset()
    done = warehouse.takedown(stones, even_if_unknown=True)
    assert (done.clips, done.tables) == ((), ())
    put(warehouse, "x/raw", "s", 3)
    assert ids(warehouse, "x/raw") == {"s/0", "s/2"}


def test_a_table_that_a_killed_writer_began_is_none_and_is_in_nobodys_way(warehouse, tmp_path):
    """A kill between the first file of a new table and its first version leaves such a folder."""
    put(warehouse, "demo/raw", "0000", 3)
    begun = tmp_path / "warehouse" / "demo" / "begun.lance"
    (begun / "_transactions").mkdir(parents=True)
    (begun / "_transactions" / "0-1f2e.txn").write_bytes(b"\n")
    (begun / "_versions").mkdir()
    assert warehouse.tables() == ["demo/raw"]
    done = warehouse.takedown([Tombstone("source_id", "video-0000-1", "demo")])
    assert [t.rows for t in done.tables] == [1]
    put(warehouse, "demo/begun", "0000", 2)
    assert warehouse.tables() == ["demo/begun", "demo/raw"]
    assert sum(b.num_rows for b in warehouse.scan("demo/begun")) == 1
