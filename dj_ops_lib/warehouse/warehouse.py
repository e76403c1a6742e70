"""The warehouse as everybody else sees it: a place, and what can be done there.

Here: the public methods and their documentation. Not here: how they do it; each
loads the module that does when it is called, so that holding a `Warehouse`
costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse.failures import told
from dj_ops_lib.warehouse.provenance import Commit, OperatorUse, Provenance

if TYPE_CHECKING:
    import datetime as dt

    import duckdb
    import lance
    import lancedb
    import polars as pl
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from dj_ops_lib.warehouse.diff import Diff
    from dj_ops_lib.warehouse.dropping import Dropped
    from dj_ops_lib.warehouse.explain import Explanation
    from dj_ops_lib.warehouse.histograms import Histograms
    from dj_ops_lib.warehouse.maintenance import Maintenance, Policy
    from dj_ops_lib.warehouse.rendered_files import Pruning
    from dj_ops_lib.warehouse.results_inventory import Chosen, Inventory, ResultsPruning
    from dj_ops_lib.warehouse.shard_results import ShardResults
    from dj_ops_lib.warehouse.store import Store
    from dj_ops_lib.warehouse.takedown import Takedown
    from dj_ops_lib.warehouse.tombstones import Tombstone
    from dj_ops_lib.warehouse.versions import Tag


@told
class Warehouse:
    """Lance tables under one local folder or `s3://bucket/prefix`.

    Holds no open handles and no state: it can be pickled, and used from threads and from spawned
    processes (Lance does not survive a fork).

    Args:
        uri: Where the tables are.
        storage_options: Passed to the object store's client, such as `aws_endpoint`,
            `aws_access_key_id`, `aws_secret_access_key`, `aws_region`, `allow_http`; what is
            missing comes from the environment. Never stored, never shown.

    Raises:
        WarehouseError: `uri` is empty.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        if not uri.strip():
            raise WarehouseError("the warehouse has an empty name; give a folder or s3://...")
        self.uri = uri.rstrip("/")
        self._options = dict(storage_options or {})

    def __repr__(self) -> str:
        return f"Warehouse({self.uri!r})"

    @property
    def _store(self) -> Store:
        from dj_ops_lib.warehouse.store import Store

        return Store(self.uri, self._options)

    # --- what is there -----------------------------------------------------------------------

    def address(self, table: str) -> str:
        """Path or URI of a table, such as `<uri>/msr_vtt/t2v/cleaned.lance`."""
        return self._store.address(table)

    def exists(self, table: str) -> bool:
        """Whether there is such a table."""
        return self._store.find(table) is not None

    def tables(self) -> list[str]:
        """Names of all tables, sorted."""
        return self._store.tables()

    def version(self, table: str) -> int:
        """Number of the latest version; 0 where there is no table yet."""
        dataset = self._store.find(table)
        return 0 if dataset is None else int(dataset.version)

    def schema(self, table: str, version: int | str | None = None) -> pa.Schema:
        """The table's columns, with their descriptions as field metadata."""
        return self._store.open(table, version).schema.remove_metadata()

    def shards(self, table: str, version: int | str | None = None) -> dict[str, int]:
        """Rows of every shard that was written, by name, sorted; 0 for one that is done, empty."""
        from dj_ops_lib.warehouse import read

        return read.shards(self._store, table, version)

    # --- writing -----------------------------------------------------------------------------

    def replace_shard(
        self,
        table: str,
        shard: str,
        batches: Iterable[pa.RecordBatch],
        *,
        schema: pa.Schema,
        provenance: Provenance,
        expected_version: int | None = None,
    ) -> int:
        """Make `batches` the rows of a shard, in one commit, creating the table if need be.

        Writers of other shards are never in the way. Of several writers of one shard, first
        writes included, exactly one wins. A process killed at any point leaves the old rows or
        the new ones. Rows that were taken down are withheld. Rows of shards that the source's
        manifest has retired, about entries that are this shard's now, leave in the same commit.

        Args:
            table: Name of the table.
            shard: Name of the shard, not empty; the column `shard` of every row must say the same.
            batches: The rows, streamed; none at all is a legal result and is remembered.
            schema: The columns of `batches`. New nullable columns are added to the table.
            provenance: What the commit says about itself; `shard` and `rows_out` are filled in.
            expected_version: If given, nothing else may have changed any row of the table since
                that version (0: the table was not there yet).

        Returns:
            The version that holds the rows.

        Raises:
            ConflictError: Another writer changed the shard after this call began, or the table
                after `expected_version`; the message says who. Nothing was changed.
            WarehouseError: The schema cannot become the table's, or rows are of another shard.
        """
        from dj_ops_lib.warehouse import write

        return write.replace_shard(
            self._store,
            table,
            shard,
            batches,
            schema=schema,
            provenance=provenance,
            expected_version=expected_version,
        )

    def overwrite(
        self,
        table: str,
        batches: Iterable[pa.RecordBatch],
        *,
        schema: pa.Schema,
        provenance: Provenance,
    ) -> int:
        """Make `batches` the whole table, in one commit, whatever its columns were before.

        Returns:
            The version that holds the rows.

        Raises:
            ConflictError: Another writer changed rows after this call began.
        """
        from dj_ops_lib.warehouse import write

        return write.overwrite(self._store, table, batches, schema=schema, provenance=provenance)

    def results(self, source: str, shard: str, stage: str) -> ShardResults:
        """What was measured of a shard's clips, for a stage that measures more of them."""
        from dj_ops_lib.warehouse.shard_results import ShardResults

        return ShardResults(self._store, source, shard, stage)

    def write_note(self, place: str, text: str) -> None:
        """Write a small file beside the tables, as a whole or not at all.

        Args:
            place: Path under the warehouse, such as `_jobs/<id>.json`.
            text: What it holds.

        Raises:
            WarehouseError: It cannot be written.
        """
        from dj_ops_lib.warehouse import plain_files

        plain_files.write(self._store, place, text.encode())

    def read_note(self, place: str) -> str | None:
        """What such a file holds, None where there is none."""
        from dj_ops_lib.warehouse import plain_files

        found = plain_files.read(self._store, place)
        return None if found is None else found.decode()

    # --- reading -----------------------------------------------------------------------------

    def read_shard(
        self,
        table: str,
        shard: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        version: int | str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of one shard; nothing for a shard that is empty or was never written.

        Args:
            table: Name of the table.
            shard: Name of the shard.
            columns: Columns to read, None for all.
            where: SQL condition, pushed down.
            version: Version number or tag, None for the latest.
        """
        from dj_ops_lib.warehouse import read

        return read.read_shard(
            self._store, table, shard, columns=columns, where=where, version=version
        )

    def scan(
        self,
        table: str,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        version: int | str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of the whole table; arguments as for `read_shard`."""
        from dj_ops_lib.warehouse import read

        return read.scan(self._store, table, columns=columns, where=where, version=version)

    def leaving(self, table: str, shard: str, version: int | str | None = None) -> pl.DataFrame:
        """The rows that will leave shards of an older layout when `shard` is made in a table.

        Returns:
            Their `shard` and `clip_id`.
        """
        from dj_ops_lib.warehouse import older_layouts

        dataset = self._store.open(table, version)
        found = older_layouts.successor(self._store, table, dataset.schema, shard)
        return older_layouts.NONE if found is None else found.leaving(dataset)

    def lazy(self, table: str, version: int | str | None = None) -> pl.LazyFrame:
        """The table as a Polars lazy frame; projection and filters are pushed down."""
        from dj_ops_lib.warehouse import read

        return read.lazy(self._store, table, version)

    def duckdb(
        self,
        table: str,
        connection: duckdb.DuckDBPyConnection | None = None,
        version: int | str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """The table as a DuckDB relation, on `connection` or a new one in memory."""
        from dj_ops_lib.warehouse import read

        return read.relation(self._store, table, connection, version)

    def lance(self, table: str, version: int | str | None = None) -> lance.LanceDataset:
        """The table as a plain `lance.dataset`."""
        return self._store.open(table, version)

    def lancedb(self, table: str) -> lancedb.table.Table:
        """The table as LanceDB opens it: `connect(<folder>).open_table(<stage>)`."""
        import lancedb

        folder, _, name = self._store.address(table).removesuffix(".lance").rpartition("/")
        return lancedb.connect(folder, storage_options=self._options or None).open_table(name)

    # --- history -----------------------------------------------------------------------------

    def history(self, table: str, since: int = 0) -> list[Commit]:
        """All commits of a table after version `since`, oldest first, cleaned-up ones included."""
        from dj_ops_lib.warehouse import history

        return history.commits(self._store, table, self._store.open(table), since)

    def last_commit(self, table: str, shard: str) -> Commit | None:
        """The commit that wrote a shard as it is; None where a whole table was written since."""
        from dj_ops_lib.warehouse import history

        return history.last_of_shard(self._store, table, self._store.open(table), shard)

    def history_relation(
        self,
        of: Literal["commits", "operators", "errors", "histograms"] = "commits",
        connection: DuckDBPyConnection | None = None,
        tables: Sequence[str] | None = None,
    ) -> DuckDBPyRelation:
        """The history of many tables as a DuckDB relation, to be joined, summed and filtered.

        `commits` has a row a commit; `operators` a row for each operator of a stage, in recipe
        order, with its parameters and thresholds; `errors` a row for each error class of a commit;
        `histograms` a row for each statistic of a shard whose rows a commit wrote or took away.
        `table`, `version` and `shard` join them; `current` says that the shard's rows are those of
        this commit. Columns, units and meaning: `history_relations.SCHEMAS`.

        Args:
            of: Which relation.
            connection: Where it lives, None for a new one in memory.
            tables: Names of tables, None for all.
        """
        from dj_ops_lib.warehouse import history_relations

        return history_relations.relation(self._store, of, connection, tables)

    def histograms(
        self,
        table: str,
        shards: Iterable[str] | None = None,
        version: int | str | None = None,
    ) -> Histograms:
        """How the statistics of a table's rows are distributed, as its commits recorded it.

        No row is read: the counts are those of the commit that last wrote the shard, or took
        rows from it.

        Args:
            table: Name of the table.
            shards: Names of shards, None for all.
            version: Version number or tag, None for the latest.
        """
        from dj_ops_lib.warehouse import histograms

        return histograms.histograms(self._store, table, shards, version)

    def explain(self, table: str, clip_id: str) -> Explanation:
        """Walk a clip back through its parents and tables to its annotation line.

        Args:
            table: Name of the table; of a clip that never came to it, the nearest table before it
                that has the clip is where the way begins.
            clip_id: The id, or enough of its beginning.

        Raises:
            WarehouseError: There is no such clip, or there are several; the message lists them.
        """
        from dj_ops_lib.warehouse import explain

        return explain.explain(self._store, table, clip_id)

    # --- versions ----------------------------------------------------------------------------

    def tag(self, table: str, name: str, version: int | str | None = None) -> Tag:
        """Name a version, the latest by default; tagged versions survive cleanup."""
        from dj_ops_lib.warehouse import versions

        return versions.tag(self._store, table, name, version)

    def untag(self, table: str, name: str) -> None:
        """Delete a tag; the version goes with the next cleanup if it is old."""
        from dj_ops_lib.warehouse import versions

        versions.untag(self._store, table, name)

    def tags(self, table: str) -> list[Tag]:
        """The tags of a table, sorted by name."""
        from dj_ops_lib.warehouse import versions

        return versions.tags(self._store, table)

    def restore(self, table: str, version: int | str) -> int:
        """Make the rows and columns of an old version current, without what was taken down.

        Its rows are written again in one commit; the versions in between stay.

        Returns:
            The new version.

        Raises:
            ConflictError: Another writer changed rows after this call began.
        """
        from dj_ops_lib.warehouse import write

        return write.restore(self._store, table, version)

    def diff(self, table: str, before: int | str, after: int | str | None = None) -> Diff:
        """What changed from one version to another: clips, and how every statistic moved."""
        from dj_ops_lib.warehouse import diff

        return diff.diff(self._store, table, before, after)

    # --- upkeep ------------------------------------------------------------------------------

    def tables_to_maintain(self, policy: Policy | None = None) -> list[str]:
        """Names of all tables, and of tables of results that only killed runs' files are of yet."""
        from dj_ops_lib.warehouse import maintenance

        return maintenance.due(self._store, policy)

    def maintain(self, table: str, policy: Policy | None = None) -> Maintenance:
        """Compact, refresh indices, archive history, clean up, as far as the policy asks.

        Safe beside running writers: what loses against them is left for next time.

        Raises:
            WarehouseError: A compaction did not hold the same rows as before; nothing was
                cleaned up.
        """
        from dj_ops_lib.warehouse import maintenance

        return maintenance.maintain(self._store, table, policy)

    def sources_with_results(self, source: str | None = None) -> list[str]:
        """The sources of which something was measured, sorted; or `source`, if it is one of them.

        Raises:
            WarehouseError: The source has no results.
        """
        from dj_ops_lib.warehouse import results_inventory

        return results_inventory.sources(self._store, source)

    def results_inventory(self, source: str | None = None) -> Inventory:
        """What is kept of measurements, and what waits to be, of one source or of all.

        Raises:
            WarehouseError: The source has no results.
        """
        from dj_ops_lib.warehouse import results_inventory

        return results_inventory.inventory(self._store, source)

    def prune_results(
        self, chosen: Chosen, *, source: str | None = None, remove: bool = False
    ) -> list[ResultsPruning]:
        """Find results that may go, and remove them when told to; safe beside running stages.

        What a table rests on, as it is now or as a tag keeps it, is not among them unless `chosen`
        says so. What is gone is measured again where it is wanted again.

        Args:
            chosen: Which.
            source: Only those of this source.
            remove: Remove them.

        Raises:
            WarehouseError: `chosen` says nothing or too much, or the source has no results.
        """
        from dj_ops_lib.warehouse import results_inventory

        return results_inventory.prune(self._store, chosen, source=source, remove=remove)

    def sample_results(self, source: str, *, share: float, seed: int) -> tuple[pa.Table, int]:
        """The results about a share of a source's clips, and how many there are in all.

        Args:
            source: Name of the source.
            share: Part of the clips, 0 to 1; at least one is chosen.
            seed: The same seed chooses the same clips of the same results.
        """
        from dj_ops_lib.warehouse import results_sample

        return results_sample.sample(self._store, source, share, seed)

    def clips_about(
        self, source: str, clip_ids: Sequence[str], signatures: Sequence[str]
    ) -> Iterator[pa.Table]:
        """Rows of the source's clips with one of these ids or signatures, table by table."""
        from dj_ops_lib.warehouse import results_sample

        return results_sample.clips_about(self._store, source, clip_ids, signatures)

    def operator_uses(self, source: str) -> dict[str, OperatorUse]:
        """The operators by the digest of what they measure, of all commits of a source's tables."""
        from dj_ops_lib.warehouse import operator_uses

        return operator_uses.all_uses(self._store, source)

    def takedown(
        self,
        stones: Iterable[Tombstone],
        *,
        reason: str = "",
        rendered: Sequence[str] = (),
        purge_versions: bool = False,
        even_if_unknown: bool = False,
    ) -> Takedown:
        """Remove every clip that descends from what is named, in every table, for good.

        Args:
            stones: What to take down: source ids, content identities, clips.
            reason: Kept beside the tombstones.
            rendered: Further folders of rendered files, local or `s3://`, named
                `<signature>.<suffix>`; those that the warehouse made are on record.
            purge_versions: Also delete the tags that still hold such clips, remove all untagged old
                versions whatever their age, and make deletions physical. Readers of old versions
                fail; run it when nothing else runs.
            even_if_unknown: Keep out also what no row is about, should it come later.

        Raises:
            WarehouseError: No row is about any of what is named; nothing was changed.
        """
        from dj_ops_lib.warehouse import takedown

        return takedown.takedown(
            self._store,
            stones,
            reason=reason,
            rendered=rendered,
            purge_versions=purge_versions,
            even_if_unknown=even_if_unknown,
        )

    def record_files(
        self,
        clips: pa.Table,
        uris: Sequence[str],
        *,
        made_for: str | None,
        provenance: Provenance,
    ) -> None:
        """Record files of clips that are about to be made, so that a takedown finds them.

        Args:
            clips: The clips; columns as in `clip.CLIP_SCHEMA`.
            uris: Where each clip's file will be, an absolute path or an `s3://` URI.
            made_for: Table whose rows will name them, None where no table will.
            provenance: What the commits say about themselves.
        """
        from dj_ops_lib.warehouse import files_made

        files_made.record(self._store, clips, uris, made_for=made_for, provenance=provenance)

    def drop(self, table: str, *, dry: bool = False) -> Dropped:
        """Remove a table with the files that only its rows name; its history stays archived.

        Args:
            table: Name of the table.
            dry: Only tell what would go.

        Raises:
            WarehouseError: There is no such table, or a part of it could not be removed.
        """
        from dj_ops_lib.warehouse import dropping

        return dropping.drop(self._store, table, dry=dry)

    def taken_down(self, clips: pa.Table) -> set[str]:
        """Signatures of clips that were taken down, without those that a clip has that stays.

        Who makes files of clips asks for this when the files have their names, and removes those
        that it names: a takedown records what it is about before it looks for files, so either it
        finds a file, or this finds its record.

        Args:
            clips: The clips; columns as in `clip.CLIP_SCHEMA`.
        """
        from dj_ops_lib.warehouse import rendered_files

        return rendered_files.taken_down(self._store, clips)

    def prune_files(
        self, folder: str, *, older_than: dt.timedelta, delete: bool = False
    ) -> Pruning:
        """Find rendered files that no table names in its latest or a tagged version.

        Run it when nothing renders: a file that was made long ago may be wanted again just now.

        Args:
            folder: Where files are, at any depth, local or `s3://`.
            older_than: Younger files are left alone: a run that is not finished made them.
            delete: Remove them.
        """
        from dj_ops_lib.warehouse import rendered_files

        return rendered_files.prune(self._store, folder, older_than=older_than, delete=delete)
