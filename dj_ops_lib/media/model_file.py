"""Which model a file holds: its content, so that another file measures again.

Nothing heavy is imported: names of measurements are made where recipes are loaded.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path


def file_identity(path: str) -> str:
    """`sha256:` and the digest of a file, or `missing`; read again only if the file changes."""
    try:
        facts = Path(path).stat()
    except OSError:
        return "missing"
    return _digest(path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=64)
def _digest(path: str, modified_ns: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
