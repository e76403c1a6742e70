"""The manifest finds every shard's bytes, keeps shard names for good and notices changed files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.errors import SourceError
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.entry import Slice
from dj_ops_lib.sources.formats.csv_records import CsvRecords
from dj_ops_lib.sources.formats.json_lines import JsonLines
from dj_ops_lib.sources.formats.json_tables import JsonTables
from dj_ops_lib.sources.formats.layout import slice_digest
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.sources.manifest import ManifestRow, number_shards

FILE = "InternVid-10M-flt.jsonl"


def lines(first: int, count: int) -> bytes:
    return b"".join(
        json.dumps(
            {
                "YoutubeID": f"video{i:06d}",
                "Start_timestamp": "00:00:00",
                "End_timestamp": "00:00:01",
                "Caption": "x",
            }
        ).encode()
        + b"\n"
        for i in range(first, first + count)
    )


@pytest.fixture
def config(tmp_path: Path) -> SourceConfig:
    return SourceConfig(name="internvid", root=str(tmp_path), rows_per_shard=3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.write_bytes(lines(0, 8))
    return path


def ids(warehouse, shard: str) -> list[str]:
    batches = warehouse.read_shard("internvid/raw", shard, columns=["source_id"])
    return [row["source_id"] for batch in batches for row in batch.to_pylist()]


def test_shards_are_five_digits_and_cover_the_file_once(warehouse, config, file):
    manifest = write_manifest(warehouse, config)
    assert manifest.shards == ["00000", "00001", "00002"]
    assert manifest.rows == {"00000": 3, "00001": 3, "00002": 2}
    assert manifest.changed == manifest.shards
    assert manifest.file_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    for shard in manifest.shards:
        report = ingest_shard(warehouse, config, shard)
        assert (report.rows_in, report.kept) == (manifest.rows[shard], manifest.rows[shard])
    found = [i for shard in manifest.shards for i in ids(warehouse, shard)]
    assert found == [f"video{i:06d}" for i in range(8)]


def test_an_unchanged_file_indexed_again_changes_nothing(warehouse, config, file):
    first = write_manifest(warehouse, config)
    again = write_manifest(warehouse, config)
    assert again.shards == first.shards
    assert again.changed == []


def test_a_file_that_grew_keeps_its_shards_and_appends_new_ones(warehouse, config, file):
    write_manifest(warehouse, config)
    with file.open("ab") as more:
        more.write(lines(8, 5))
    manifest = write_manifest(warehouse, config)
    assert manifest.shards == ["00000", "00001", "00002", "00003", "00004"]
    assert manifest.changed == ["00002", "00003", "00004"]


def test_a_new_annotation_file_takes_new_shards_and_moves_none(tmp_path, warehouse, config, file):
    later = tmp_path / "InternVid-18M-aes.jsonl"
    later.write_bytes(lines(100, 2))
    config = config.model_copy(update={"annotations": (FILE, later.name)})
    first = write_manifest(warehouse, config)
    with file.open("ab") as more:
        more.write(lines(8, 2))  # one slice more, in the file that comes first
    manifest = write_manifest(warehouse, config)
    assert first.shards == ["00000", "00001", "00002", "00003"]
    assert manifest.rows == {"00000": 3, "00001": 3, "00002": 3, "00003": 2, "00004": 1}
    ingest_shard(warehouse, config, "00003")
    assert ids(warehouse, "00003") == ["video000100", "video000101"]


def test_a_file_that_shrank_leaves_empty_shards(warehouse, config, file):
    write_manifest(warehouse, config)
    ingest_shard(warehouse, config, "00002")
    file.write_bytes(lines(0, 3))
    manifest = write_manifest(warehouse, config)
    assert manifest.rows == {"00000": 3, "00001": 0, "00002": 0}
    report = ingest_shard(warehouse, config, "00002")
    assert (report.rows_in, report.rows_out) == (0, 0)
    assert ids(warehouse, "00002") == []


def test_a_file_that_changed_its_size_is_refused_until_it_is_indexed_again(warehouse, config, file):
    write_manifest(warehouse, config)
    with file.open("ab") as more:
        more.write(lines(8, 1))
    with pytest.raises(SourceError, match="materialize the manifest again") as refusal:
        ingest_shard(warehouse, config, "00000")
    assert str(file) in str(refusal.value)
    write_manifest(warehouse, config)
    ingest_shard(warehouse, config, "00000")


def test_changed_bytes_of_the_same_size_and_time_are_noticed(warehouse, config, file):
    write_manifest(warehouse, config)
    times = file.stat()
    file.write_bytes(file.read_bytes().replace(b"video000001", b"video00000!"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(SourceError, match="which make shard 00000, are not those"):
        ingest_shard(warehouse, config, "00000")
    ingest_shard(warehouse, config, "00001")


def test_a_copy_with_another_time_stamp_is_accepted(warehouse, config, file):
    write_manifest(warehouse, config)
    os.utime(file, ns=(1, 1))
    assert ingest_shard(warehouse, config, "00000").kept == 3


def test_what_is_missing_is_named(tmp_path, warehouse, config, file):
    with pytest.raises(SourceError, match="no manifest yet; materialize internvid/manifest first"):
        ingest_shard(warehouse, config, "00000")
    write_manifest(warehouse, config)
    with pytest.raises(SourceError, match="no shard '00009'"):
        ingest_shard(warehouse, config, "00009")
    file.unlink()
    with pytest.raises(SourceError, match="is gone since the manifest was made"):
        ingest_shard(warehouse, config, "00000")
    with pytest.raises(SourceError, match="are missing") as refusal:
        write_manifest(warehouse, config)
    assert str(file) in str(refusal.value)
    named = config.model_copy(update={"annotations": ("other.jsonl",)})
    with pytest.raises(SourceError, match=r"other\.jsonl is missing"):
        write_manifest(warehouse, named)


def test_official_files_that_describe_the_same_clips_are_not_both_read_unasked(
    tmp_path, warehouse, config, file
):
    (tmp_path / "InternVid-18M-aes.jsonl").write_bytes(lines(0, 2))
    with pytest.raises(SourceError, match="describe the same clips") as refusal:
        write_manifest(warehouse, config)
    assert f"{FILE} and InternVid-18M-aes.jsonl" in str(refusal.value)
    chosen = config.model_copy(update={"annotations": ("InternVid-18M-aes.jsonl",)})
    assert list(write_manifest(warehouse, chosen).files) == ["InternVid-18M-aes.jsonl"]


def test_an_empty_file_has_no_shards_and_its_hash_all_the_same(warehouse, config, file):
    file.write_bytes(b"")
    manifest = write_manifest(warehouse, config)
    assert manifest.shards == []
    assert manifest.file_sha256 == hashlib.sha256(b"").hexdigest()


class Endless(io.RawIOBase):
    """A file of `size` bytes that repeats one entry; nothing of it is in memory."""

    def __init__(self, head: bytes, entry: bytes, count: int) -> None:
        self.head, self.entry = head, entry
        self.size = len(head) + count * len(entry)
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        self.at = offset
        return offset

    def readinto(self, buffer: memoryview) -> int:
        wanted = min(len(buffer), self.size - self.at)
        if self.at < len(self.head):
            chunk = self.head[self.at :][:wanted]
        else:
            skip = (self.at - len(self.head)) % len(self.entry)
            repeats = (skip + wanted) // len(self.entry) + 1
            chunk = (self.entry * repeats)[skip : skip + wanted]
        buffer[: len(chunk)] = chunk
        self.at += len(chunk)
        return len(chunk)


LONG = b"v,\"['" + b"word " * 80_000 + b"\\n']\n\"\n"  # 400 kB in two lines


@pytest.mark.parametrize(
    ("layout", "head", "entry", "count"),
    [
        (JsonLines(), b"", b'{"a": "' + b"x" * 3000 + b'"}\n', 60_000),
        (CsvRecords(), b"videoID,caption\n", LONG, 400),
        (CsvRecords(), b"videoID,caption\n", b"v," + b"x" * 3000 + b"\n", 60_000),
    ],
)
def test_indexing_streams_a_large_file_in_a_small_constant_memory(layout, head, entry, count):
    file = io.BufferedReader(Endless(head, entry, count))
    tracemalloc.start()
    try:
        slices = list(layout.index(file, 1000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(part.rows for part in slices) == count
    assert slices[-1].end == len(head) + count * len(entry)
    assert len(head) + count * len(entry) > 150_000_000
    assert peak < 8_000_000


class Watched(io.FileIO):
    """A file that remembers which bytes were read from the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: list[tuple[int, int]] = []

    def readinto(self, buffer: memoryview) -> int:
        start = self.tell()
        count = super().readinto(buffer) or 0
        self.reads.append((start, start + count))
        return count


def test_a_shard_twelve_gigabytes_into_a_file_is_read_without_the_rest(tmp_path):
    path = tmp_path / "sparse.jsonl"
    content = lines(0, 50)
    begin = 12 * 2**30
    with path.open("wb") as file:
        file.seek(begin)
        file.write(content)
        file.truncate(begin + 2**30)
    part = Slice(begin, begin + len(content), 1, 1, 50)
    raw = Watched(path)
    with io.BufferedReader(raw) as file:
        slice_digest(file, part)
        found = list(JsonLines().entries(file, part))
    assert len(found) == 50
    assert all(entry.problem is None for entry in found)
    slack = io.DEFAULT_BUFFER_SIZE
    assert min(start for start, _ in raw.reads) >= begin - slack
    assert max(end for _, end in raw.reads) <= begin + len(content) + slack


def test_a_slice_of_a_two_table_file_is_read_without_the_rest(tmp_path):
    path = tmp_path / "tables.json"
    padding = "x" * 100_000
    videos = [{"video_id": f"video{i}", "url": padding} for i in range(20)]
    sentences = [{"video_id": f"video{i}", "caption": f"{i}", "more": padding} for i in range(20)]
    path.write_text(json.dumps({"videos": videos, "sentences": sentences}))
    layout = JsonTables("videos", "sentences", "video_id", "sen_id")
    with path.open("rb") as file:
        parts = list(layout.index(file, 2))
    raw = Watched(path)
    with io.BufferedReader(raw) as file:
        found = list(layout.entries(file, parts[3]))
    assert [(e.row, [c.fields["caption"] for c in e.companions]) for e in found] == [
        (7, ["6"]),
        (8, ["7"]),
    ]
    read = sum(end - start for start, end in raw.reads)
    assert read < 5 * len(padding)  # of forty


files = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=3)


@given(history=st.lists(files, min_size=1, max_size=5))
def test_a_shard_name_is_never_given_to_another_file_and_never_disappears(history):
    def slices(found: list[tuple[str, int]]) -> list[ManifestRow]:
        return [
            ManifestRow("", name, Slice(i, i + 1, i + 1, 1, 1), f"{name}{i}", 1, 1, "")
            for name, count in dict(found).items()
            for i in range(count)
        ]

    owners: dict[str, str] = {}
    rows: list[ManifestRow] = []
    for found in history:
        rows = number_shards(rows, slices(found))
        assert {row.shard for row in rows} >= set(owners)
        for row in rows:
            assert owners.setdefault(row.shard, row.annotation_file) == row.annotation_file
        assert len({row.shard for row in rows}) == len(rows)
        assert sorted(owners) == [f"{i:05d}" for i in range(len(owners))]
        live = sorted(row.digest for row in rows if row.part.rows)
        assert live == sorted(row.digest for row in slices(found))
