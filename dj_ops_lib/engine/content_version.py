"""A name for what the rows of a shard are, whoever wrote them and when."""

from __future__ import annotations

import hashlib

import pyarrow as pa


def content_version(rows: pa.Table) -> str:
    """Hash of a shard's rows: a rewrite that changes nothing makes nothing downstream stale.

    What fields say of themselves is no content, and Lance gives it back in any order.
    """
    sink = _HashSink()
    table = rows.sort_by("clip_id").combine_chunks()
    bare = pa.schema([field.remove_metadata() for field in table.schema])
    table = pa.Table.from_arrays(table.columns, schema=bare)
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return sink.hexdigest()


class _HashSink:
    """A file that keeps nothing but the hash of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def write(self, chunk: bytes) -> int:
        self._hash.update(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Nothing is open."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
