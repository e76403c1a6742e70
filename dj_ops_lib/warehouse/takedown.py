"""Taking clips down everywhere: tables, rendered files, and what old versions still hold.

Tombstones come first, so that from then on no writer brings the rows back; then
every table gets a commit that removes what is there. That commit is made even
where nothing is found: it makes every writer that has read the older
tombstones lose and read again (see `tombstones.py`). Rendered files come last:
what gets its name after that, its maker removes (`rendered_files.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.warehouse import quoted, rendered_files, results_spool, tombstones
from dj_ops_lib.warehouse.commit import Change, publish, settle
from dj_ops_lib.warehouse.counting import left_behind
from dj_ops_lib.warehouse.locate import located
from dj_ops_lib.warehouse.maintenance import purge
from dj_ops_lib.warehouse.provenance import encode
from dj_ops_lib.warehouse.store import Store
from dj_ops_lib.warehouse.tombstones import Tombstone, Tombstones, condition
from dj_ops_lib.warehouse.versions import tags, untag
from dj_ops_lib.warehouse.write import emptied

if TYPE_CHECKING:
    import lance


@dataclasses.dataclass(frozen=True, slots=True)
class TaggedVersion:
    """A tagged version that held rows of what was taken down."""

    table: str
    tag: str
    version: int
    rows: int
    purged: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Touched:
    """One table from which rows were removed.

    Attributes:
        table: Name of the table.
        version: Version without them.
        rows: Rows removed.
        old_versions: Untagged older versions that may still hold them until cleanup.
    """

    table: str
    version: int
    rows: int
    old_versions: int


@dataclasses.dataclass(frozen=True, slots=True)
class Takedown:
    """What a takedown did.

    Attributes:
        stones: What was asked for.
        clips: Ids of the clips that descend from it, sorted.
        tables: Tables from which rows were removed.
        files: Rendered files removed, and folders in which one was being made.
        tagged: Tagged versions that hold, or held, such rows.
        unknown: What was asked for and nothing descends from.
        left: Files that are still there, with the reason.
    """

    stones: tuple[Tombstone, ...]
    clips: tuple[str, ...]
    tables: tuple[Touched, ...]
    files: tuple[str, ...]
    tagged: tuple[TaggedVersion, ...]
    unknown: tuple[Tombstone, ...] = ()
    left: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class _Found:
    """What descends from what was asked for: clips, their contents, files that are known."""

    clips: set[str] = dataclasses.field(default_factory=set)
    signatures: set[str] = dataclasses.field(default_factory=set)
    uris: set[str] = dataclasses.field(default_factory=set)

    def note(self, batch: pa.RecordBatch) -> None:
        """Take the contents and files of rows that go."""
        for column, into in (
            ("signature", self.signatures),
            ("uri", self.uris),
            (rendered_files.URI, self.uris),
        ):
            if column in batch.schema.names:
                into.update(batch.column(column).drop_null().to_pylist())


def takedown(
    store: Store,
    stones: Iterable[Tombstone],
    *,
    reason: str = "",
    rendered: Sequence[str] = (),
    purge_versions: bool = False,
    even_if_unknown: bool = False,
) -> Takedown:
    """See `Warehouse.takedown`."""
    asked = tuple(dict.fromkeys(stones))
    unknown = () if even_if_unknown else tuple(s for s in asked if not _is_known(store, s))
    if len(unknown) == len(asked):
        raise WarehouseError(
            f"nothing in {store.uri} descends from {', '.join(s.value for s in unknown)}, and "
            "nothing was changed; correct the id or the warehouse, or say --even-if-unknown to "
            "keep out what may come later"
        )
    asked = tuple(s for s in asked if s not in unknown)
    tombstones.append(store, asked, reason)
    found = _Found()
    _descendants(store, asked, found)
    # A clip is named beside its origin: its row in `raw` does not know the content of its file.
    everything = Tombstones(
        stones=frozenset(asked) | {Tombstone("clip", clip) for clip in found.clips}
    )
    tombstones.append(store, everything.stones, reason)
    touched = []
    results_spool.take_down(store, everything)
    for table in store.tables():
        removed = _removed(store, table, everything, reason, found)
        if removed is not None:
            touched.append(removed)
    tagged = _tagged(store, everything, purge_versions)
    if purge_versions:
        for table in store.tables():
            purge(store, table)
    files = rendered_files.remove(store, rendered, found.signatures, found.uris)
    return Takedown(
        asked,
        tuple(sorted(found.clips)),
        tuple(touched),
        tuple(files.removed),
        tuple(tagged),
        unknown,
        tuple(files.left),
    )


def _is_known(store: Store, stone: Tombstone) -> bool:
    """Whether a row of any table, in its latest or a tagged version, is about it."""
    if stone in tombstones.load(store).stones:
        return True  # taken down before: what was left then is looked for again
    only = Tombstones(stones=frozenset([stone]))
    for table in store.tables():
        for version in (None, *(t.version for t in tags(store, table))):
            dataset = store.open(table, version)
            where = condition(_with_quoted(dataset, only), dataset.schema.names)
            if where and dataset.count_rows(filter=where):
                return True
    return results_spool.knows(store, only)


def _descendants(store: Store, asked: Iterable[Tombstone], found: _Found) -> None:
    """All clips of what was asked for, through all tables until nothing new is found."""
    stones = frozenset(asked)
    while True:
        known = len(found.clips)
        matching = Tombstones(stones=stones | {Tombstone("clip", c) for c in found.clips})
        for table in store.tables():
            dataset = store.open(table)
            for batch in _matching_rows(dataset, _with_quoted(dataset, matching)):
                if "clip_id" in batch.schema.names:
                    found.clips.update(batch.column("clip_id").to_pylist())
        if len(found.clips) == known:
            return


def _with_quoted(dataset: lance.LanceDataset, stones: Tombstones) -> Tombstones:
    """`stones`, and the clips whose unreadable entries quote what they name."""
    names = dataset.schema.names
    wanted = ["clip_id", "source", *quoted.COLUMNS]
    if not set(wanted) <= set(names) or not any(s.kind == "source_id" for s in stones.stones):
        return stones
    found: set[str] = set()
    for batch in dataset.scanner(columns=wanted, filter=quoted.CONDITION).to_batches():
        mask = stones.quoting(batch)
        if mask is not None:
            found.update(batch.column("clip_id").filter(mask).to_pylist())
    return Tombstones(stones=stones.stones | {Tombstone("clip", clip) for clip in found})


def _matching_rows(dataset: lance.LanceDataset, stones: Tombstones) -> list[pa.RecordBatch]:
    names = dataset.schema.names
    where = condition(stones, names)
    if where is None:
        return []
    wanted = [c for c in ("clip_id", "signature", "uri", rendered_files.URI) if c in names]
    return list(dataset.scanner(columns=wanted, filter=where).to_batches())


def _removed(
    store: Store, table: str, stones: Tombstones, reason: str, found: _Found
) -> Touched | None:
    rows = 0

    def attempt(latest: lance.LanceDataset) -> lance.LanceDataset | None:
        nonlocal rows
        here = _with_quoted(latest, stones)
        batches = _matching_rows(latest, here)
        rows = sum(b.num_rows for b in batches)
        for batch in batches:
            found.note(batch)
        where = condition(here, latest.schema.names)
        change, left = Change(), None
        if rows and where:
            change = Change(*emptied(latest, where, located(latest, where)))
            left = left_behind(latest, where)
        said = encode("takedown", histograms=left, rows=rows, reason=reason)
        return publish(latest, change, said)

    done = settle(store, table, attempt)
    if not rows:
        return None
    tagged = {t.version for t in tags(store, table)}
    older = [v["version"] for v in done.versions() if v["version"] < done.version]
    return Touched(table, int(done.version), rows, sum(v not in tagged for v in older))


def _tagged(store: Store, stones: Tombstones, purge_versions: bool) -> list[TaggedVersion]:
    found = []
    for table in store.tables():
        for tag in tags(store, table):
            dataset = store.open(table, tag.version)
            where = condition(_with_quoted(dataset, stones), dataset.schema.names)
            rows = dataset.count_rows(filter=where) if where else 0
            if rows:
                if purge_versions:
                    untag(store, table, tag.name)
                found.append(TaggedVersion(table, tag.name, tag.version, rows, purge_versions))
    return found
