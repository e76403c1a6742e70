"""Writing rows into fragments that nobody sees yet: checked, conforming, without what is gone."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, write_fragments

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import file_format
from dj_ops_lib.warehouse.counting import Counting, Recorded
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.schemas import conforming
from dj_ops_lib.warehouse.tombstones import Tombstones

if TYPE_CHECKING:
    import lance

    from dj_ops_lib.warehouse.store import Store


class Staged:
    """Fragments on their way into a table.

    Args:
        store: The warehouse.
        table: Name of the table.
        shard: The shard that all rows must name, None for any.
        declared: The schema of the batches.
        replacing: Whether they become the whole table, with the declared schema, rather than rows
            beside others, with the table's.

    Attributes:
        fragments: The fragments, once written.
        rows: Rows in them.
        withheld: Rows given that are not in them, because they were taken down.
        shards: Names of the shards that they hold, where rows of any shard are written.
    """

    def __init__(
        self,
        store: Store,
        table: str,
        shard: str | None,
        declared: pa.Schema,
        *,
        replacing: bool = False,
    ) -> None:
        self.fragments: list[FragmentMetadata] = []
        self.rows = 0
        self.withheld = 0
        self.kept = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.shards: set[str] = set()
        self._counting = Counting(declared, shard)
        self._store = store
        self._table = table
        self._shard = shard
        self._declared = declared
        self._replacing = replacing
        self._gone = Tombstones()
        self._written_schema = declared

    @property
    def histograms(self) -> Recorded:
        """How the statistics of the rows in the fragments are distributed, by shard."""
        return self._counting.record()

    def write(
        self, batches: Iterable[pa.RecordBatch], dataset: lance.LanceDataset, gone: Tombstones
    ) -> None:
        """Stream the batches into new fragments, without the rows that were taken down."""
        target = self._written_schema = self._declared if self._replacing else dataset.schema
        self._gone = gone
        self._stream(self._conforming(batches, target), target, dataset)

    def withhold(self, gone: Tombstones, dataset: lance.LanceDataset) -> None:
        """Write the fragments again without the rows that were taken down in the meantime."""
        if gone.version == self._gone.version:
            return
        self._gone = gone
        if self.fragments:
            self._stream(self._read_back(dataset), self._written_schema, dataset)

    def _stream(
        self, batches: Iterable[pa.RecordBatch], target: pa.Schema, dataset: lance.LanceDataset
    ) -> None:
        self.rows = self.kept = 0
        self.errors.clear()
        self.shards = set()
        self._counting.clear()
        failures: list[BaseException] = []
        reader = pa.RecordBatchReader.from_batches(target, self._kept(batches, failures))
        try:
            self.fragments = write_fragments(
                reader,
                dataset.uri if self._replacing else dataset,
                schema=target,
                mode="overwrite" if self._replacing else "append",
                storage_options=self._store.storage_options,
                **file_format.FORMAT,
            )
        except BaseException:
            if failures:  # Lance reports what the rows' own maker raised as an OSError with a text
                raise failures[0] from None
            raise

    def _kept(
        self, batches: Iterable[pa.RecordBatch], failures: list[BaseException]
    ) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                kept = self._gone.keep(batch)
                self.rows += kept.num_rows
                self.withheld += batch.num_rows - kept.num_rows
                self._count(kept)
                self._counting.add(kept)
                if self._shard is None and "shard" in kept.schema.names:
                    self.shards.update(pc.unique(kept.column("shard").drop_null()).to_pylist())
                yield kept
        except GeneratorExit:  # the writer stopped reading, for a reason of its own
            raise
        except BaseException as e:
            failures.append(e)
            raise

    def _count(self, batch: pa.RecordBatch) -> None:
        names = batch.schema.names
        if "keep" in names and pa.types.is_boolean(batch.schema.field("keep").type):
            self.kept += pc.sum(batch.column("keep")).as_py() or 0
        if "error" in names and pa.types.is_struct(batch.schema.field("error").type):
            classes = pc.struct_field(batch.column("error"), "class").drop_null()
            self.errors.update(
                {c["values"]: c["counts"] for c in pc.value_counts(classes).to_pylist()}
            )

    def recorded(self, provenance: Provenance, **fields: Any) -> Provenance:
        """The commit's record with what was counted while writing."""
        return dataclasses.replace(
            provenance,
            rows_out=self.rows,
            rows_withheld=self.withheld,
            rows_kept=self.kept,
            errors=dict(sorted(self.errors.items())),
            **fields,
        )

    def _read_back(self, dataset: lance.LanceDataset) -> Iterator[pa.RecordBatch]:
        for written in self.fragments:
            for file in written.files:
                reader = LanceFileReader(
                    f"{dataset.uri}/data/{file.path}", storage_options=self._store.storage_options
                )
                yield from reader.read_all().to_batches()

    def _conforming(
        self, batches: Iterable[pa.RecordBatch], target: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        for batch in conforming(batches, self._declared, target):
            if self._shard is not None:
                others = set(pc.unique(batch.column("shard")).to_pylist()) - {self._shard}
                if others:
                    raise WarehouseError(
                        f"rows of shard {others.pop()!r} were given for shard '{self._shard}' of "
                        f"table '{self._table}'; the column `shard` must name the shard"
                    )
            yield batch
