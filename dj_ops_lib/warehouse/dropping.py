"""Removing a table as a whole, with the files that were made for it."""

from __future__ import annotations

import dataclasses

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.warehouse.files_made import recorded
from dj_ops_lib.warehouse.history import archive
from dj_ops_lib.warehouse.rendered_files import named_files
from dj_ops_lib.warehouse.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Dropped:
    """What went, or would go.

    Attributes:
        table: Name of the table.
        rows: Rows of its latest version.
        files: Paths or URIs of the clips' files, sorted.
    """

    table: str
    rows: int
    files: tuple[str, ...]


def drop(store: Store, table: str, *, dry: bool) -> Dropped:
    """See `Warehouse.drop`."""
    dataset = store.open(table)
    elsewhere = named_files(store, besides=table)
    files = sorted(u for u, made_for in recorded(store).items() if made_for == table)
    files = [u for u in files if u not in elsewhere]
    found = Dropped(table, dataset.count_rows(), tuple(files))
    if dry:
        return found
    archive(store, table, dataset)
    filesystem, root = store.filesystem()
    address = f"{root}/{table}.lance"
    try:
        filesystem.delete_dir(address)
    except OSError as error:
        raise outage_of(error, address) or WarehouseError(
            f"table '{table}' cannot be removed: {error}"
        ) from None
    for uri in files:
        folder, _, name = uri.rpartition("/")
        place, path = Store(folder, store.options).filesystem()
        try:
            place.delete_file(f"{path}/{name}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WarehouseError(f"{uri} cannot be removed: {error}") from None
    return found
