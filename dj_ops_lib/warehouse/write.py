"""Replacing one shard, or a whole table, in one commit.

New fragments are written first and are invisible; one commit then swaps them
for the old ones. A process that dies before it leaves files that nobody refers
to, which maintenance removes; one that dies after it has done its work.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

import lance
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.fragment import FragmentMetadata

from dj_ops_lib.errors import ConflictError, WarehouseError
from dj_ops_lib.histograms import of_field
from dj_ops_lib.warehouse import file_format, older_layouts, tombstones
from dj_ops_lib.warehouse.commit import Change, fragment, is_done, publish, settle, swap
from dj_ops_lib.warehouse.counting import Recorded, left_behind
from dj_ops_lib.warehouse.locate import TABLE_ID, holders, literal, located, remember
from dj_ops_lib.warehouse.provenance import Provenance, encode
from dj_ops_lib.warehouse.schemas import additions
from dj_ops_lib.warehouse.staging import Staged
from dj_ops_lib.warehouse.store import Store


def replace_shard(
    store: Store,
    table: str,
    shard: str,
    batches: Iterable[pa.RecordBatch],
    *,
    schema: pa.Schema,
    provenance: Provenance,
    expected_version: int | None = None,
    rests_on: int | None = None,
) -> int:
    """See `Warehouse.replace_shard`.

    With `rests_on`, a version of this table that the rows were made from, a change of the same
    shard since then is a conflict, too.
    """
    _check_declared(table, shard, schema)
    found = store.find(table)
    started = found.version if found is not None else 0
    base, rival_shard = (started, shard) if expected_version is None else (expected_version, None)
    if rests_on is not None:
        base, rival_shard = rests_on, shard
    if base > started:
        raise ConflictError(
            f"table '{table}' was expected at version {base} and is at version {started}; it was "
            "made anew since"
        )
    if found is not None:
        is_done(store, table, found, base, shard=rival_shard)
    dataset = _evolved(store, table, found or _created(store, table, schema), schema)
    successor = older_layouts.successor(store, table, dataset.schema, shard)
    written = Staged(store, table, shard, schema)
    if successor is not None:
        batches = successor.noting(batches)
    written.write(batches, dataset, tombstones.load(store))
    token = uuid.uuid4().hex

    def attempt(latest: lance.LanceDataset) -> lance.LanceDataset | None:
        if is_done(store, table, latest, base, shard=rival_shard, token=token):
            return latest
        written.withhold(tombstones.load(store), latest)
        where, held = f"shard = {literal(shard)}", holders(latest, shard)
        took: Mapping[str, int] = {}
        left: Recorded = {}
        if successor is not None and len(leaving := successor.leaving(latest)):
            took = older_layouts.counts(leaving)
            gone = older_layouts.condition(leaving)
            left = left_behind(latest, gone)
            where = f"{where} OR {gone}"
            held = located(latest, where, {*held, *(i for s in took for i in holders(latest, s))})
        removed, updated = emptied(latest, where, held)
        record = written.recorded(provenance, shard=shard)
        change = Change(removed, updated, written.fragments)
        details = {"took": took} if took else {}
        counted = {**left, **written.histograms}
        said = encode("replace", record, counted, token=token, **details)
        done = publish(latest, change, said)
        if done is not None and done.version == latest.version + 1:
            remember(done, latest, shard)
        return done

    return int(settle(store, table, attempt).version)


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
    written = Staged(store, table, None, target, replacing=True)
    written.write(batches, dataset, tombstones.load(store))
    token = uuid.uuid4().hex

    def attempt(latest: lance.LanceDataset) -> lance.LanceDataset | None:
        if is_done(store, table, latest, started, shard=None, token=token):
            return latest
        written.withhold(tombstones.load(store), latest)
        record = written.recorded(provenance)
        operation = lance.LanceOperation.Overwrite(target, written.fragments)
        shards = sorted(written.shards)
        said = encode("overwrite", record, written.histograms, token=token, shards=shards)
        return swap(latest, operation, said)

    return int(settle(store, table, attempt).version)


def restore(store: Store, table: str, version: int | str) -> int:
    """See `Warehouse.restore`."""
    old = store.open(table, version)
    started = store.open(table).version
    schema = old.schema
    written = Staged(store, table, None, schema, replacing=True)
    written.write(old.scanner().to_batches(), old, tombstones.load(store))
    token = uuid.uuid4().hex

    def attempt(latest: lance.LanceDataset) -> lance.LanceDataset | None:
        if is_done(store, table, latest, started, shard=None, token=token):
            return latest
        written.withhold(tombstones.load(store), latest)
        operation = lance.LanceOperation.Overwrite(schema, written.fragments)
        # Lance's own Restore is not strict: it undoes a commit that was made a moment before
        # without a word (seen 2026-11-22, pylance 14.0.2), and it knows no tombstones.
        said = encode(
            "restore", histograms=written.histograms, version=int(old.version), token=token
        )
        return swap(latest, operation, said)

    return int(settle(store, table, attempt).version)


def emptied(
    dataset: lance.LanceDataset, where: str, held: Mapping[int, int]
) -> tuple[list[int], list[FragmentMetadata]]:
    """Take the rows of a condition out of the fragments that hold them.

    Args:
        dataset: The table.
        where: The condition.
        held: Rows of it by fragment id.

    Returns:
        Ids of the fragments that hold nothing else, and the others with those rows deleted (their
        deletion files are written, nothing is committed).
    """
    removed: list[int] = []
    updated: list[FragmentMetadata] = []
    for fragment_id, count in held.items():
        old = fragment(dataset, fragment_id)
        left = None if count == old.metadata.num_rows else old.delete(where)
        if left is None:
            removed.append(fragment_id)
        else:
            updated.append(left)
    return removed, updated


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
            **file_format.FORMAT,
        )
    except (CommitConflictError, OSError):
        found = store.find(table)
        if found is None:
            raise
        return found


def _evolved(
    store: Store, table: str, dataset: lance.LanceDataset, schema: pa.Schema
) -> lance.LanceDataset:
    """The table with every column of the stage; shards that lack one hold null there.

    What fields say of their statistics becomes what the stage says, for whoever counts rows that
    are there already (a takedown, a shard decided again) has only the table to ask.
    """
    if not additions(table, dataset.schema, schema) and not _said_anew(dataset.schema, schema):
        return dataset

    def attempt(latest: lance.LanceDataset) -> lance.LanceDataset | None:
        new = additions(table, latest.schema, schema)
        if new:
            latest.add_columns(new)
            latest = store.open(table)
        anew = _said_anew(latest.schema, schema)
        if anew:
            latest.update_field_metadata(anew)
        return store.open(table)

    return settle(store, table, attempt)


def _said_anew(stored: pa.Schema, declared: pa.Schema) -> dict[str, dict[str, str | None]]:
    """The metadata of fields whose statistic is told of differently in the table."""
    return {
        f.name: {k.decode(): v.decode() for k, v in (f.metadata or {}).items()}
        for f in declared
        if f.name in stored.names and of_field(f) not in (None, of_field(stored.field(f.name)))
    }
