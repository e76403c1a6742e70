"""Putting a finished local file in its place, so that it survives a loss of power as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def put_in_place(made: Path, final: Path) -> None:
    """Rename `made` to `final` once its bytes are on the disk, and make the rename last, too.

    Without it, ext4 and XFS may keep the name and lose the bytes: an empty file that passes for a
    finished one.
    """
    _sync(made, os.O_RDONLY)
    made.replace(final)
    _sync(final.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
