"""One run at a time over a source's files: the second one is refused, by name of the first.

On a local warehouse the first holds a lock that the system takes from it when
it ends, however it ends. An object store has no such lock; there, and where a
file system does not lock, a run notices at its next step that another one
began after it, and stops.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from dj_ops_lib.errors import ConflictError
from dj_ops_lib.faults import explain
from dj_ops_lib.warehouse import Warehouse

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextlib.contextmanager
def sole_run(warehouse: Warehouse, source: str) -> Iterator[None]:
    """Hold the source for this process.

    Raises:
        ConflictError: Another run holds it; the message says which.
    """
    if "://" in warehouse.uri:
        yield
        return
    path = Path(warehouse.uri) / "_warehouse" / f"{source.replace('/', '-')}.run"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConflictError(
                f"another run works on '{source}' in {warehouse.uri}: {_told(file.read())}; wait "
                "for it, or give these videos a source of their own with --source NAME"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        try:
            file.truncate(0)
            os.write(file.fileno(), json.dumps(_holder()).encode())  # past the buffer, which fails
        except OSError as error:  # once more when the file is closed
            raise explain(error, str(path)) or error from error
        try:
            yield
        finally:
            file.truncate(0)


def check_sole(warehouse: Warehouse, source: str, run_id: str, since: int) -> None:
    """Stop if another run has put its files into the source's tables meanwhile.

    Args:
        warehouse: Where the tables are.
        source: Name of the source.
        run_id: Id of this run, in the history of `<source>/raw`.
        since: Version of `<source>/raw` before this run.

    Raises:
        ConflictError: One has.
    """
    for commit in warehouse.history(f"{source}/raw", since):
        written = commit.provenance
        if commit.changes_rows and written is not None and written.run_id != run_id:
            raise ConflictError(
                f"the run '{written.run_id}' began to work on '{source}' in {warehouse.uri} while "
                f"this one ('{run_id}') did; this one stops. Run again when that one is done, or "
                "with --source NAME"
            )


def name_of_run() -> str:
    """A name for this run by which people find it."""
    holder = _holder()
    return f"{holder['host']}-{holder['process']}-{holder['since']}"


def _holder() -> dict[str, str]:
    return {
        "process": str(os.getpid()),
        "host": socket.gethostname(),
        "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv)[:300],
    }


def _told(text: str) -> str:
    try:
        holder = json.loads(text)
        return (
            f"process {holder['process']} on {holder['host']} since {holder['since']} "
            f"({holder['command']})"
        )
    except (ValueError, KeyError, TypeError):
        return "it has just begun"
