"""The protocol by which every change of rows is committed: compare and swap.

Lance rebases two concurrent commits unless they touch the same fragment. That
would let two first writes of a shard both succeed, since neither removes
anything. So every commit of ours also touches, unchanged, the fragment with the
lowest id: two commits that were prepared at the same version then always
conflict, and a commit that succeeds was prepared at the version just before it
(index and storage changes aside). A table without fragments is committed to with
`Overwrite` without retries, which is strict in itself. The argument, and the
alternatives that were tried: docs/adr/0003-warehouse-commit-protocol.md.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Sequence

import lance
from lance.commit import CommitConflictError
from lance.dataset import Transaction
from lance.fragment import FragmentMetadata

from dj_ops_lib.errors import ConflictError
from dj_ops_lib.warehouse.history import commits
from dj_ops_lib.warehouse.provenance import Commit
from dj_ops_lib.warehouse.store import Store

_ATTEMPTS = 1000
"""Attempts before a writer gives up, some fifteen minutes: each loss is another's progress."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Fragments to take out, to shrink and to add.

    Attributes:
        removed: Ids of fragments that go wholly.
        updated: Fragments that got a new deletion file.
        added: New fragments.
    """

    removed: Sequence[int] = ()
    updated: Sequence[FragmentMetadata] = ()
    added: Sequence[FragmentMetadata] = ()


def settle(
    store: Store,
    table: str,
    attempt: Callable[[lance.LanceDataset], lance.LanceDataset | None],
) -> lance.LanceDataset:
    """Try to commit on top of the latest version until it succeeds.

    Waits a random, growing time between attempts, at most a second.

    Args:
        store: The warehouse.
        table: Name of the table.
        attempt: Prepares a commit at the version given and makes it, or returns None because
            another was first.

    Returns:
        The committed version.

    Raises:
        ConflictError: A thousand attempts were lost.
    """
    for number in range(_ATTEMPTS):
        if number:
            time.sleep(random.uniform(0, min(1.0, 0.005 * 2**number)))  # noqa: S311 (jitter)
        latest = store.open(table)
        try:
            done = attempt(latest)
        except (OSError, ValueError):
            # A version whose files were cleaned up while it was read cannot be built upon; the
            # next attempt reads a newer one. A lasting fault is not followed by a newer version.
            if store.open(table).version == latest.version:
                raise
            continue
        if done is not None:
            return done
    raise ConflictError(
        f"table '{table}': other writers were first in {_ATTEMPTS} attempts; run fewer writers"
    )


def publish(
    dataset: lance.LanceDataset, change: Change, properties: dict[str, str]
) -> lance.LanceDataset | None:
    """Commit `change`, prepared at `dataset`, if nobody changed rows since.

    Returns:
        The new version, or None if another commit was first.
    """
    operation: lance.LanceOperation.BaseOperation
    ids = dataset.fragment_ids()
    if not ids:
        operation = lance.LanceOperation.Overwrite(dataset.lance_schema, list(change.added))
        retries = 0
    else:
        updated = list(change.updated)
        anchor = min(ids)
        if anchor not in change.removed and anchor not in {f.id for f in updated}:
            updated.append(fragment(dataset, anchor).metadata)
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=list(change.removed),
            updated_fragments=updated,
            new_fragments=list(change.added),
        )
        retries = 20
    return swap(dataset, operation, properties, retries)


def fragment(dataset: lance.LanceDataset, fragment_id: int) -> lance.LanceFragment:
    """The fragment with this id, which the dataset has."""
    found = dataset.get_fragment(fragment_id)
    assert found is not None
    return found


def swap(
    dataset: lance.LanceDataset,
    operation: lance.LanceOperation.BaseOperation,
    properties: dict[str, str],
    retries: int = 0,
) -> lance.LanceDataset | None:
    """Commit an operation prepared at `dataset`; None if a conflicting commit was first."""
    transaction = Transaction(dataset.version, operation, transaction_properties=properties)
    try:
        return lance.LanceDataset.commit(dataset, transaction, max_retries=retries)
    except OSError as e:
        if lost(e):
            return None
        raise


def lost(error: OSError) -> bool:
    """Whether an error of Lance says that another commit was first.

    Compaction and index commits say so in a plain OSError (pylance 14.0.2).
    """
    return isinstance(error, CommitConflictError) or "commit conflict" in str(error).lower()


def is_done(
    store: Store,
    table: str,
    dataset: lance.LanceDataset,
    started: int,
    *,
    shard: str | None,
    token: str = "",
) -> bool:
    """Check that nobody changed what the writer is about to replace, or that it did so itself.

    An object store may answer that a manifest is there already when it was this writer's own
    request, repeated after a lost answer, that put it there.

    Args:
        store: The warehouse.
        table: Name of the table.
        dataset: The version about to be built upon.
        started: The version that the writer's decision rests on.
        shard: Only changes of this shard count; None: any change of rows counts.
        token: What the writer's own commit would carry among its details.

    Returns:
        Whether the writer's own commit is among those made since.

    Raises:
        ConflictError: Somebody else was first; the message says who.
    """
    if dataset.version <= started:
        return False
    since = commits(store, table, dataset, started)
    if len(since) < dataset.version - started:
        raise ConflictError(
            f"table '{table}': what happened between versions {started} and {dataset.version} is "
            "not known any more, since versions were cleaned up without `dj table maintain`; read "
            "the latest version and decide again"
        )
    for commit in since:
        if token and commit.details.get("token") == token:
            return True
        if commit.changes_rows and (
            shard is None
            or shard in {commit.shard, *commit.taken_from}
            or commit.kind in {"overwrite", "restore"}
        ):
            raise ConflictError(_message(table, commit, started, shard))
    return False


def _message(table: str, rival: Commit, started: int, shard: str | None) -> str:
    what = f"shard '{shard}' of table '{table}'" if shard else f"table '{table}'"
    made_by = rival.provenance
    who = f"run '{made_by.run_id}'" if made_by and made_by.run_id else "another writer"
    where = f" of shard '{rival.shard}'" if rival.shard and shard is None else ""
    return (
        f"{what} was changed after version {started}: {who} committed version {rival.version} "
        f"({rival.kind}{where}) first, its rows stand and ours were not written; read version "
        f"{rival.version} and decide again"
    )
