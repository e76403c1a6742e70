"""Replacing one shard, or a whole table, in one commit.

New fragments are written first and are invisible; one commit then swaps them
for the old ones. A process that dies before it leaves files that nobody refers
to, which maintenance removes; one that dies after it has done its work.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Iterator

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.commit import CommitConflictError
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, write_fragments

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import tombstones
from dj_ops_lib.warehouse.commit import Change, attempts, fragment, publish, refuse_rivals, swap
from dj_ops_lib.warehouse.history import TABLE_ID
from dj_ops_lib.warehouse.provenance import Provenance, encode
from dj_ops_lib.warehouse.schemas import additions, conform
from dj_ops_lib.warehouse.store import Store
from dj_ops_lib.warehouse.tombstones import Tombstones


def replace_shard(
    store: Store,
    table: str,
    shard: str,
    batches: Iterable[pa.RecordBatch],
    *,
    schema: pa.Schema,
    provenance: Provenance,
    expected_version: int | None = None,
) -> int:
    """See `Warehouse.replace_shard`."""
    _check_declared(table, shard, schema)
    found = store.find(table)
    started = found.version if found is not None else 0
    base, rival_shard = (started, shard) if expected_version is None else (expected_version, None)
    if found is not None:
        refuse_rivals(store, table, found, base, shard=rival_shard)
    dataset = _evolved(store, table, found or _created(store, table, schema), schema)
    gone = tombstones.load(store)
    written = _Written(store, table, shard, schema)
    written.write(batches, dataset, gone)
    for latest in attempts(store, table):
        refuse_rivals(store, table, latest, base, shard=rival_shard)
        gone = written.withhold(tombstones.load(store, gone), latest)
        removed, updated = occupied(latest, f"shard = {literal(shard)}")
        record = dataclasses.replace(provenance, shard=shard, rows_out=written.rows)
        done = publish(
            latest, Change(removed, updated, written.fragments), encode("replace", record)
        )
        if done is not None:
            return int(done.version)
    raise AssertionError("attempts ends by returning or raising")


def overwrite(
    store: Store,
    table: str,
    batches: Iterable[pa.RecordBatch],
    *,
    schema: pa.Schema,
    provenance: Provenance,
) -> int:
    """See `Warehouse.overwrite`."""
    found = store.find(table)
    started = found.version if found is not None else 0
    dataset = found or _created(store, table, schema)
    target = schema.with_metadata(dataset.schema.metadata)
    gone = tombstones.load(store)
    written = _Written(store, table, None, schema, target)
    written.write(batches, dataset, gone)
    for latest in attempts(store, table):
        refuse_rivals(store, table, latest, started, shard=None)
        gone = written.withhold(tombstones.load(store, gone), latest)
        record = dataclasses.replace(provenance, rows_out=written.rows)
        operation = lance.LanceOperation.Overwrite(target, written.fragments)
        done = swap(latest, operation, encode("overwrite", record))
        if done is not None:
            return int(done.version)
    raise AssertionError("attempts ends by returning or raising")


def occupied(dataset: lance.LanceDataset, where: str) -> tuple[list[int], list[FragmentMetadata]]:
    """The fragments that hold rows of `where`.

    Returns:
        Ids of those that hold nothing else, and the others with those rows deleted (their
        deletion files are written, nothing is committed).
    """
    scanner = dataset.scanner(filter=where, columns=[], with_row_address=True)
    counts: dict[int, int] = {}
    for batch in scanner.to_batches():
        fragments = pc.shift_right(batch.column("_rowaddr"), pa.scalar(32, pa.uint64()))
        for entry in pc.value_counts(fragments):
            key = entry["values"].as_py()
            counts[key] = counts.get(key, 0) + entry["counts"].as_py()
    removed: list[int] = []
    updated: list[FragmentMetadata] = []
    for fragment_id, count in sorted(counts.items()):
        old = fragment(dataset, fragment_id)
        left = None if count == old.metadata.num_rows else old.delete(where)
        if left is None:
            removed.append(fragment_id)
        else:
            updated.append(left)
    return removed, updated


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


class _Written:
    """Fragments on their way into a table."""

    def __init__(
        self,
        store: Store,
        table: str,
        shard: str | None,
        declared: pa.Schema,
        target: pa.Schema | None = None,
    ) -> None:
        self.fragments: list[FragmentMetadata] = []
        self.rows = 0
        self._store = store
        self._table = table
        self._shard = shard
        self._declared = declared
        self._replacing = target
        self._gone = Tombstones()
        self._written_schema = declared

    def write(
        self, batches: Iterable[pa.RecordBatch], dataset: lance.LanceDataset, gone: Tombstones
    ) -> None:
        target = self._written_schema = self._replacing or dataset.schema
        conforming = (conform(batch, self._declared, target) for batch in self._checked(batches))
        self._gone = gone
        self._stream(conforming, target, dataset)

    def withhold(self, gone: Tombstones, dataset: lance.LanceDataset) -> Tombstones:
        """Write the fragments again without the rows that were taken down in the meantime."""
        if gone.version != self._gone.version:
            self._gone = gone
            if self.fragments:
                self._stream(self._read_back(dataset), self._written_schema, dataset)
        return gone

    def _stream(
        self, batches: Iterable[pa.RecordBatch], target: pa.Schema, dataset: lance.LanceDataset
    ) -> None:
        self.rows = 0
        kept = (self._counted(self._gone.keep(batch)) for batch in batches)
        self.fragments = write_fragments(
            pa.RecordBatchReader.from_batches(target, kept),
            dataset if self._replacing is None else dataset.uri,
            schema=target,
            mode="append" if self._replacing is None else "overwrite",
            storage_options=self._store.storage_options,
        )

    def _read_back(self, dataset: lance.LanceDataset) -> Iterator[pa.RecordBatch]:
        for written in self.fragments:
            for file in written.files:
                reader = LanceFileReader(
                    f"{dataset.uri}/data/{file.path}", storage_options=self._store.storage_options
                )
                yield from reader.read_all().to_batches()

    def _counted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.rows += batch.num_rows
        return batch

    def _checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if self._shard is not None and batch.num_rows:
                others = pc.unique(batch.column("shard")).to_pylist()
                if others != [self._shard]:
                    raise WarehouseError(
                        f"rows of shard {others[0]!r} were given for shard '{self._shard}' of "
                        f"table '{self._table}'; the column `shard` must name the shard"
                    )
            yield batch


def _check_declared(table: str, shard: str, schema: pa.Schema) -> None:
    if not shard:
        raise WarehouseError(f"table '{table}': the name of a shard cannot be empty")
    position = schema.get_field_index("shard")
    if position < 0 or not pa.types.is_string(schema.field(position).type):
        raise WarehouseError(
            f"table '{table}': the stage's schema needs a string column `shard` to be replaced "
            "by shard"
        )


def _created(store: Store, table: str, schema: pa.Schema) -> lance.LanceDataset:
    """The table, empty, unless another process is faster; rows come with a commit of their own."""
    metadata = {**(schema.metadata or {}), TABLE_ID: uuid.uuid4().hex.encode()}
    try:
        return lance.write_dataset(
            schema.with_metadata(metadata).empty_table(),
            store.address(table),
            mode="create",
            storage_options=store.storage_options,
            transaction_properties=encode("create"),
        )
    except (CommitConflictError, OSError):
        found = store.find(table)
        if found is None:
            raise
        return found


def _evolved(
    store: Store, table: str, dataset: lance.LanceDataset, schema: pa.Schema
) -> lance.LanceDataset:
    """The table with every column of the stage; shards that lack one hold null there."""
    if not additions(table, dataset.schema, schema):
        return dataset
    for latest in attempts(store, table):
        new = additions(table, latest.schema, schema)
        if not new:
            return latest
        try:
            latest.add_columns(new)
        except (CommitConflictError, OSError, ValueError):
            # Another process added the same column, or committed rows, in between; the next
            # round finds out which. A lasting fault has not changed the table and is raised.
            if store.open(table).version == latest.version:
                raise
    raise AssertionError("attempts ends by returning or raising")
