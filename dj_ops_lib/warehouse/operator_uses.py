"""Which measurements the tables of a source rest on, by the digest that their commits name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dj_ops_lib.warehouse.history import commits, effective
from dj_ops_lib.warehouse.provenance import Commit, OperatorUse
from dj_ops_lib.warehouse.result_schema import results_table
from dj_ops_lib.warehouse.store import Store
from dj_ops_lib.warehouse.versions import tags


def current_digests(store: Store, source: str) -> frozenset[str]:
    """Digests that a source's tables rest on as they are now, or as a tag keeps them."""
    return frozenset(
        use.digest
        for table in _tables(store, source)
        for version in (None, *(t.version for t in tags(store, table)))
        for commit in _last_ones(commits(store, table, store.open(table, version)))
        for use in _operators(commit)
        if use.digest
    )


def all_uses(store: Store, source: str) -> dict[str, OperatorUse]:
    """The operators by the digest of what they measure, of all commits of the source's tables."""
    return {
        use.digest: use
        for table in _tables(store, source)
        for commit in commits(store, table, store.open(table))
        for use in _operators(commit)
        if use.digest
    }


def _tables(store: Store, source: str) -> list[str]:
    own = results_table(source)
    return [t for t in store.tables() if t.startswith(f"{source}/") and t != own]


def _operators(commit: Commit) -> tuple[OperatorUse, ...]:
    return commit.provenance.operators if commit.provenance else ()


def _last_ones(history: Iterable[Commit]) -> Iterator[Commit]:
    """The commits whose rows are still there: each shard's last, and that of a whole table."""
    seen: set[str] = set()
    for commit in effective(history):
        if commit.shard is None or commit.shard not in seen:
            yield commit
        if commit.shard is not None:
            seen.add(commit.shard)
