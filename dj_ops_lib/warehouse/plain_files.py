"""Small files beside the tables: there as a whole or not at all, on disk and on S3."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.fs

from dj_ops_lib.errors import WarehouseError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.placing import put_in_place
from dj_ops_lib.warehouse.store import Store


def write(store: Store, place: str, content: bytes) -> str:
    """Put a file under the warehouse, in place of one of that name.

    Returns:
        Its path, as the store's file system takes it.

    Raises:
        WarehouseError: It cannot be written.
    """
    filesystem, root = store.filesystem()
    path = f"{root}/{place}"
    try:
        if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
            _put_in_place(Path(path), content)
        else:
            with filesystem.open_output_stream(path) as stream:
                stream.write(content)
    except OSError as error:
        raise outage_of(error, path) or WarehouseError(
            f"{path} cannot be written: {error}; the warehouse must be writable and have room"
        ) from None
    return path


def read(store: Store, place: str) -> bytes | None:
    """What a file holds; None where there is none.

    Raises:
        WarehouseError: It cannot be read.
    """
    filesystem, root = store.filesystem()
    try:
        with filesystem.open_input_file(f"{root}/{place}") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise outage_of(error, f"{root}/{place}") or WarehouseError(
            f"{root}/{place} cannot be read: {error}"
        ) from None


def _put_in_place(path: Path, content: bytes) -> None:
    """A crash of the system leaves the file whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
    put_in_place(partial, path)
