"""Where things are on this machine, from the environment.

`DJ_DATA` (default `./data`) holds `<source>/` with official annotation files
and `videos/`; `DJ_WAREHOUSE` (default `./warehouse`) holds the Lance tables, a
path or `s3://`; `DJ_RENDERED` (default `./rendered`) holds the clips as files, a
path or `s3://`, too. Credentials of object stores are read by the store's client
from `AWS_*` variables and never pass through here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def data_root() -> Path:
    """Folder of the sources' files, absolute."""
    return Path(os.environ.get("DJ_DATA", "data")).resolve()


def warehouse_uri() -> str:
    """Where the tables are: an absolute path or an `s3://` URI."""
    return _place(os.environ.get("DJ_WAREHOUSE", "warehouse"))


def rendered_root() -> str:
    """Where all rendered clips are: an absolute path or an `s3://` URI."""
    return _place(os.environ.get("DJ_RENDERED", "rendered"))


def rendered_folder(source: str, recipe: str) -> str:
    """Where the clips are that a recipe renders from a source: likewise."""
    return f"{rendered_root()}/{source}/{recipe}"


def temporary_folder() -> Path:
    """Folder of this user among the machine's temporary files; what is in it is moved elsewhere."""
    return Path(tempfile.gettempdir(), f"dj-{os.getuid()}")


def _place(uri: str) -> str:
    return uri.rstrip("/") if "://" in uri else str(Path(uri).resolve())
