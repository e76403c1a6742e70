"""Tags, and making an old version the current one again.

A tag is a name for a version; a tagged version survives cleanup. Checking out
is reading with `version=<number or tag>`, which every reading method takes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dj_ops_lib.errors import WarehouseError

if TYPE_CHECKING:
    from dj_ops_lib.warehouse.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Tag:
    """A name for a version of a table."""

    name: str
    version: int


def tag(store: Store, table: str, name: str, version: int | str | None = None) -> Tag:
    """See `Warehouse.tag`."""
    dataset = store.open(table, version)
    try:
        dataset.tags.create(name, dataset.version)
    except (OSError, ValueError) as e:
        existing = {t.name: t.version for t in tags(store, table)}
        if name in existing:
            raise WarehouseError(
                f"table '{table}' has the tag '{name}' already, at version {existing[name]}; "
                "choose another name, or delete the tag first"
            ) from None
        raise WarehouseError(f"table '{table}' cannot be tagged '{name}': {e}") from None
    return Tag(name, int(dataset.version))


def untag(store: Store, table: str, name: str) -> None:
    """See `Warehouse.untag`."""
    if name not in {t.name for t in tags(store, table)}:
        raise WarehouseError(f"table '{table}' has no tag '{name}'")
    store.open(table).tags.delete(name)


def tags(store: Store, table: str) -> list[Tag]:
    """See `Warehouse.tags`."""
    listed = store.open(table).tags.list()
    return sorted((Tag(n, int(t["version"])) for n, t in listed.items()), key=lambda t: t.name)
