"""The results of one shard while a stage measures it: what is known, and what is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from dj_ops_lib.warehouse.failures import told
from dj_ops_lib.warehouse.provenance import Provenance
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA

if TYPE_CHECKING:
    from dj_ops_lib.warehouse.store import Store


@told
class ShardResults:
    """What is known of a shard's clips, and a place for what is measured now.

    Args:
        store: The warehouse.
        source: Name of the source.
        shard: Name of the shard.
        stage: The stage that measures, for the names of files.
    """

    def __init__(self, store: Store, source: str, shard: str, stage: str) -> None:
        self._store = store
        self._source = source
        self._shard = shard
        self._stage = stage
        self._files: dict[str, pa.Table] = {}

    @property
    def uri(self) -> str:
        """Where they are, for what is said of errors."""
        return f"{self._store.uri} (the results of '{self._source}')"

    def stored(self, operators: Sequence[str]) -> pa.Table:
        """What the table holds for the shard, of these operators."""
        from dj_ops_lib.warehouse import results

        return results.stored(self._store, self._source, self._shard, operators)

    def left_over(self) -> pa.Table:
        """What runs of the shard left that were killed, or still go on."""
        from dj_ops_lib.warehouse import results_spool

        for file in results_spool.files(self._store, self._source, self._shard):
            self._files[file.path] = file.results
        return pa.concat_tables([RESULT_SCHEMA.empty_table(), *self._files.values()])

    def elsewhere(self, subjects: pa.Array) -> pa.Table:
        """What the whole source knows about these subjects (`binary(16)`)."""
        from dj_ops_lib.warehouse import results

        return results.elsewhere(self._store, self._source, subjects)

    def add(self, measured: pa.Table) -> None:
        """Keep results in a file until they are folded; columns of `RESULT_SCHEMA`."""
        from dj_ops_lib.warehouse import results_spool

        path = results_spool.write(self._store, self._source, self._shard, self._stage, measured)
        if path is not None:
            self._files[path] = measured

    def fold(self, measured: pa.Table, provenance: Provenance) -> int:
        """Put into the table what is in files, and `measured`, which is not.

        Returns:
            How many files went with it.

        Raises:
            ConflictError: Other runs of the same shard were faster again and again.
        """
        from dj_ops_lib.warehouse import results, results_spool

        fresh = [*self._files.values(), measured]
        if any(t.num_rows for t in fresh):
            results.fold(self._store, self._source, self._shard, fresh, provenance)
        paths = list(self._files)
        results_spool.remove(self._store, paths)
        self._files.clear()
        return len(paths)
