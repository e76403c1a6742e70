"""A takedown by id finds the error rows of entries that could not be read, too."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dj_ops_lib.cli.takedown import takedown
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.warehouse import Warehouse

X, OTHER = "Xid-_456789", "Xid-_456789b"

program = typer.Typer()
program.command("takedown")(takedown)

INTERNVID = [  # (line, whether the id can be told beyond doubt)
    (b'{"YoutubeID": "%s", "Start_timestamp": "x", "End_timestamp": "y", "Caption": "a"}', True),
    (b'{"YoutubeID": "%s", "Caption": "cut of', True),
    (b'{"YoutubeID": "%s", "Caption": "\xff"}', True),
    (b'{"YoutubeID": "%s", "Caption": "a", "Caption": "b"}', True),
    (b'{"YoutubeID": "%s", "Caption": [[[}', True),
    (b'["%s", "a"]', False),
    (b'{"YoutubeID": "%s"}{"YoutubeID": "abcdefghijk"}', False),
    (b'{"Youtube_ID": "%s", "Caption": "a"}', False),
    (b'{"url": "https://youtu.be/%s", "Caption": "\xff"}', False),
]
PANDA = [
    (b"%s,u,\"[['0:00:00', '0:00:01']]\",\"['a', 'b']\",[0.5]", True),
    (b"%s,u,1", True),
    (b"%s,u,\xff,a,b", True),
    (b'%s,"u', True),
    (b',https://youtu.be/%s,x,y,z', False),
]  # fmt: skip
SENTENCES = [
    (b'{"video_id": "%s", "caption": 5, "sen_id": 1}', True),
    (b'{"video_id": "%s", "caption": "nobody has it"}', True),
    (b'{"caption": "a", "vid": "%s"}', False),
]


def msr_vtt(sentences: list[bytes]) -> bytes:
    video = b'{"video_id": "own", "start time": 0, "end time": 1}'
    return b'{"videos": [' + video + b'], "sentences": [' + b", ".join(sentences) + b"]}"


CASES = {
    "internvid": ("InternVid-10M-flt.jsonl", INTERNVID, b"\n".join),
    "panda70m": (
        "panda70m_validation.csv",
        PANDA,
        lambda lines: b"videoID,url,timestamp,caption,matching_score\n" + b"\n".join(lines),
    ),
    "msr_vtt": ("train_val_videodatainfo.json", SENTENCES, msr_vtt),
}


def texts(warehouse: Warehouse, name: str) -> Iterator[tuple[str | None, str]]:
    """(source_id, everything that the row says) of every row."""
    for batch in warehouse.scan(f"{name}/raw"):
        for row in batch.to_pylist():
            held = base64.b64decode(json.loads(row["extra"]).get("raw_base64", ""))
            yield row["source_id"], repr(row) + held.decode("utf-8", "replace")


@pytest.mark.parametrize("name", CASES)
def test_no_row_holds_an_id_that_was_taken_down(
    name: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    file, entries, written = CASES[name]
    lines = [line % i.encode() for line, _ in entries for i in (X, OTHER)]
    (tmp_path / file).write_bytes(written(lines))
    config = SourceConfig(name=name, root=str(tmp_path))
    (shard,) = write_manifest(warehouse, config).shards
    ingest_shard(warehouse, config, shard)
    before = list(texts(warehouse, name))
    assert sum(OTHER in text for _, text in before) == len(entries)
    told = [source_id for source_id, text in before if OTHER in text]
    assert told == [OTHER if beyond_doubt else None for _, beyond_doubt in entries]

    arguments = ["--source-id", X, "--warehouse", warehouse.uri]
    done = CliRunner().invoke(program, arguments)
    assert done.exit_code == 0, done.output
    assert f"{len(entries)} rows removed" in done.output
    assert list(texts(warehouse, name)) == [
        (i, text) for i, text in before if X not in text.replace(OTHER, "")
    ]

    ingest_shard(warehouse, config, shard)  # nor does it come back
    assert not any(X in text.replace(OTHER, "") for _, text in texts(warehouse, name))
    assert sum(OTHER in text for _, text in texts(warehouse, name)) == len(entries)


def test_another_dataset_keeps_what_its_entries_quote(warehouse: Warehouse, tmp_path: Path) -> None:
    file, entries, written = CASES["internvid"]
    (tmp_path / file).write_bytes(written([line % X.encode() for line, _ in entries]))
    config = SourceConfig(name="internvid", root=str(tmp_path))
    (shard,) = write_manifest(warehouse, config).shards
    ingest_shard(warehouse, config, shard)
    arguments = ["--source-id", X, "--source", "panda70m", "--warehouse", warehouse.uri]
    CliRunner().invoke(program, arguments)
    assert len(list(texts(warehouse, "internvid"))) == len(entries)


def test_a_tagged_version_is_told_of(warehouse: Warehouse, tmp_path: Path) -> None:
    file, entries, written = CASES["internvid"]
    (tmp_path / file).write_bytes(written([line % X.encode() for line, _ in entries]))
    config = SourceConfig(name="internvid", root=str(tmp_path))
    (shard,) = write_manifest(warehouse, config).shards
    ingest_shard(warehouse, config, shard)
    warehouse.tag("internvid/raw", "published")
    (tmp_path / file).write_bytes(written([line % OTHER.encode() for line, _ in entries]))
    write_manifest(warehouse, config)
    ingest_shard(warehouse, config, shard)
    done = CliRunner().invoke(program, ["--source-id", X, "--warehouse", warehouse.uri])
    assert f"still holds {len(entries)} of its rows" in " ".join(done.output.split())
