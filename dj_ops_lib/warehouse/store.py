"""Where tables are: names to addresses, opening, listing, on disk and on S3.

Credentials of object stores come from the environment (`AWS_*`) or the storage
options, go to the store's client, and nowhere else: not into tables, not into
messages. `AWS_ENDPOINT` or the option `aws_endpoint` names another S3 server.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import lance
import pyarrow as pa
import pyarrow.fs

from dj_ops_lib.errors import DjError, WarehouseError
from dj_ops_lib.warehouse import file_format
from dj_ops_lib.warehouse.failures import as_warehouse_error
from dj_ops_lib.warehouse.layout import JOBS, SPOOL

INTERNAL = "_warehouse"
"""Folder of the warehouse's own tables: archived history and tombstones."""

_OPENINGS = 5
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")


@functools.cache
def _session() -> Any:
    # Lance's default is 6 GiB of index and 1 GiB of metadata cache for each handle; handles here
    # are opened for every operation, by several processes on one machine, and share this one.
    return lance.Session(  # type: ignore[attr-defined]
        index_cache_size_bytes=256 * 1024 * 1024, metadata_cache_size_bytes=128 * 1024 * 1024
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The place of a warehouse.

    Attributes:
        uri: A local path or an `s3://bucket/prefix` URI, without a slash at the end.
        options: Storage options as Lance takes them; hidden from `repr`, they hold secrets.
    """

    uri: str
    options: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    def address(self, table: str) -> str:
        """Path or URI of a table.

        Raises:
            WarehouseError: The name is not made of letters, digits, `_`, `-`, `.` and `/`.
        """
        if not _NAME.fullmatch(table) or ".." in table:
            raise WarehouseError(
                f"'{table}' is no table name; use <source>/<stage> or <source>/<recipe>/<stage>, "
                "made of letters, digits, '_', '-' and '.'"
            )
        return f"{self.uri}/{table}.lance"

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What every call of Lance gets beside an address."""
        return dict(self.options) or None

    def find(self, table: str, version: int | str | None = None) -> lance.LanceDataset | None:
        """The table, or None where there is none.

        Args:
            table: Name of the table.
            version: Version number or tag; None for the latest.

        Raises:
            WarehouseError: The table exists but not in that version.
        """
        address = self.address(table)
        for attempt in range(_OPENINGS):
            try:
                return lance.dataset(
                    address,
                    version=version,
                    storage_options=self.storage_options,
                    session=_session(),
                )
            except ValueError as e:
                if "not found" not in str(e).lower():
                    raise self._unreadable(table, version, e) from None
                # The latest version can be replaced and cleaned up between being looked up and
                # being read; then its manifest is missing, and another one is there.
                if version is not None or ".manifest" not in str(e) or attempt == _OPENINGS - 1:
                    break
            except OSError as e:
                raise self._unreadable(table, version, e) from None
        if version is not None and self.find(table) is not None:
            raise WarehouseError(f"table '{table}' has no version or tag {version!r}")
        return None

    def open(self, table: str, version: int | str | None = None) -> lance.LanceDataset:
        """The table.

        Raises:
            WarehouseError: There is no such table or version.
        """
        dataset = self.find(table, version)
        if dataset is None:
            raise WarehouseError(
                f"there is no table '{table}' in {self.uri}; `dj table list` names those that are "
                "there, and a run of its stage makes it"
            )
        return dataset

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows to one of the warehouse's own tables, creating it if need be."""
        for mode in ("create", "append") if self.find(table) is None else ("append",):
            try:
                lance.write_dataset(
                    rows,
                    self.address(table),
                    mode=mode,
                    storage_options=self.storage_options,
                    **file_format.FORMAT,
                )
            except OSError:
                # Another process created it first: then it is there to be appended to.
                if mode == "append" or self.find(table) is None:
                    raise
            else:
                return

    def _unreadable(self, table: str, version: object, error: Exception) -> DjError:
        at = "" if version is None else f" at version {version!r}"
        found = as_warehouse_error(error, f"table '{table}'{at} in {self.uri}")
        return found or WarehouseError(
            f"table '{table}'{at} in {self.uri} cannot be opened: {error}"
        )

    def tables(self) -> list[str]:
        """Names of all tables, sorted, without the warehouse's own.

        Raises:
            WarehouseError: The place cannot be listed.
        """
        try:
            return sorted(t for t in self._walk("") if not t.startswith(f"{INTERNAL}/"))
        except OSError as e:
            raise (as_warehouse_error(e, self.uri) or e) from None

    def _walk(self, folder: str) -> Iterator[str]:
        filesystem, root = self.filesystem()
        base = f"{root}/{folder}" if folder else root
        for entry in filesystem.get_file_info(
            pyarrow.fs.FileSelector(base, allow_not_found=True, recursive=False)
        ):
            if entry.type != pyarrow.fs.FileType.Directory:
                continue
            name = f"{folder}/{entry.base_name}" if folder else entry.base_name
            if name in {SPOOL, JOBS}:
                continue
            if name.endswith(".lance"):
                if _has_version(filesystem, entry.path):
                    yield name.removesuffix(".lance")
            else:
                yield from self._walk(name)

    def filesystem(self) -> tuple[Any, str]:
        """(pyarrow filesystem, path of the warehouse in it); for listing and deleting files."""
        if not self.uri.startswith("s3://"):
            return pyarrow.fs.LocalFileSystem(), self.uri
        wanted = {
            "access_key": "aws_access_key_id",
            "secret_key": "aws_secret_access_key",
            "session_token": "aws_session_token",
            "region": "aws_region",
            "endpoint_override": "aws_endpoint",
        }
        found = {ours: self._option(theirs) for ours, theirs in wanted.items()}
        endpoint = found["endpoint_override"] or self._option("aws_endpoint_url")
        if endpoint and endpoint.startswith("http://"):
            found["scheme"] = "http"
        if endpoint:
            found["endpoint_override"] = endpoint.split("://", 1)[-1].rstrip("/")
        given = {k: v for k, v in found.items() if v}
        # A small file is one request then, rather than the three of an upload in parts.
        return pyarrow.fs.S3FileSystem(**given, allow_delayed_open=True), self.uri[5:]

    def _option(self, name: str) -> str | None:
        short = name.removeprefix("aws_")
        return self.options.get(name) or self.options.get(short) or os.environ.get(name.upper())


def _has_version(filesystem: Any, folder: str) -> bool:
    """Whether a folder is a table already.

    One that is being created, or whose creator was killed, has files and no version.
    """
    versions = pyarrow.fs.FileSelector(f"{folder}/_versions", allow_not_found=True)
    return any(e.path.endswith(".manifest") for e in filesystem.get_file_info(versions))
