"""Where rendered files go: a folder, or a prefix of an object store.

A file gets its name when it is whole: by a rename from a folder beside it, or
by an upload, which an object store shows only when all of it is there. Not
here: what the files are named (`rendering.py`), how they are made (`render.py`).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from dj_ops_lib.errors import DjError, OutageError
from dj_ops_lib.faults import outage_of
from dj_ops_lib.media.access import ObjectStore
from dj_ops_lib.media.fetch import OBJECT_SCHEME
from dj_ops_lib.media.scratch import own_temporary_folder
from dj_ops_lib.placing import put_in_place
from dj_ops_lib.rendering import SCRATCH


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A file that is there.

    Attributes:
        uri: Path or `s3://` URI.
        size: Bytes.
    """

    uri: str
    size: int


class Destination(Protocol):
    """A place for rendered files.

    Attributes:
        uri: Absolute path or `s3://` URI, without a slash at the end.
    """

    uri: str

    @property
    def scratch(self) -> Path:
        """Local folder for what is being made."""

    def find(self, names: Iterable[str]) -> dict[str, Stored]:
        """Those of the files that are there, by name."""

    def put(self, made: Path, name: str) -> Stored:
        """Move a finished file there, replacing one of that name.

        Raises:
            OutageError: The place does not take it.
        """

    def is_there(self) -> bool:
        """Whether the place is, once something was made for it."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, as far as they are there."""


def destination(where: str, store: ObjectStore) -> Destination:
    """The place that a path or an `s3://` URI names.

    Args:
        where: Folder, or `s3://bucket/prefix`.
        store: Where `s3://` leads.

    Raises:
        DjError: It is another scheme.
    """
    if not where.strip():
        raise DjError("the place for rendered files has an empty name; give a folder or s3://...")
    if where.startswith(OBJECT_SCHEME):
        return Prefix(where.rstrip("/"), store)
    if "://" in where:
        raise DjError(f"{where}: rendered files go to a folder or to s3://bucket/prefix")
    return Folder(Path(where).absolute())


class Folder:
    """A local folder; what is being made is in a folder of it, so that a rename is enough."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = str(path)

    @property
    def scratch(self) -> Path:
        """On the same file system."""
        return self._path / SCRATCH

    def find(self, names: Iterable[str]) -> dict[str, Stored]:
        """See `Destination`."""
        found = {}
        for name in names:
            try:
                size = (self._path / name).stat().st_size
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _refused(self.uri, error) from error
            found[name] = Stored(str(self._path / name), size)
        return found

    def put(self, made: Path, name: str) -> Stored:
        """See `Destination`."""
        size = made.stat().st_size
        try:
            put_in_place(made, self._path / name)
        except OSError as error:
            if not made.exists():  # taken down meanwhile: the caller knows
                raise
            raise _refused(self.uri, error) from error
        return Stored(str(self._path / name), size)

    def is_there(self) -> bool:
        """See `Destination`."""
        return self._path.is_dir()

    def remove(self, names: Iterable[str]) -> None:
        """See `Destination`."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)


def _refused(place: str, error: OSError) -> DjError:
    return outage_of(error, place) or OutageError(
        f"{place}: {error.strerror}; files of clips cannot be kept there"
    )


_LOOKS_AT_ONCE = 16


class Prefix:
    """A prefix of an object store."""

    def __init__(self, uri: str, store: ObjectStore) -> None:
        self.uri = uri
        self._store = store

    @property
    def scratch(self) -> Path:
        """A folder of this user among the machine's temporary files.

        Raises:
            DjError: Somebody else's folder has that name.
        """
        return own_temporary_folder() / SCRATCH

    def find(self, names: Iterable[str]) -> dict[str, Stored]:
        """See `Destination`; a request a name, several at once."""
        from dj_ops_lib.media.object_store import object_size

        def look(name: str) -> tuple[str, int | None]:
            return name, object_size(f"{self.uri}/{name}", self._store)

        with concurrent.futures.ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            sizes = pool.map(look, names)
            return {n: Stored(f"{self.uri}/{n}", s) for n, s in sizes if s is not None}

    def is_there(self) -> bool:
        """See `Destination`; an upload says so itself."""
        return True

    def put(self, made: Path, name: str) -> Stored:
        """See `Destination`."""
        from dj_ops_lib.media.object_store import upload

        uri = f"{self.uri}/{name}"
        upload(made, uri, self._store)
        return Stored(uri, made.stat().st_size)

    def remove(self, names: Iterable[str]) -> None:
        """See `Destination`."""
        from dj_ops_lib.media.object_store import delete

        for name in names:
            delete(f"{self.uri}/{name}", self._store)
