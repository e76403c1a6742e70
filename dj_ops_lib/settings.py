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

from dj_ops_lib.errors import OptionError


def data_root() -> Path:
    """Folder of the sources' files, absolute."""
    return Path(_given("DJ_DATA", "data")).resolve()


def warehouse_uri() -> str:
    """Where the tables are: an absolute path or an `s3://` URI."""
    return _place(_given("DJ_WAREHOUSE", "warehouse"))


def rendered_root() -> str:
    """Where all rendered clips are: an absolute path or an `s3://` URI."""
    return _place(_given("DJ_RENDERED", "rendered"))


def rendered_folder(source: str, recipe: str) -> str:
    """Where the clips are that a recipe renders from a source: likewise."""
    return f"{rendered_root()}/{source}/{recipe}"


def temporary_folder() -> Path:
    """Folder of this user among the machine's temporary files; what is in it is moved elsewhere."""
    return Path(tempfile.gettempdir(), f"dj-{os.getuid()}")


def _given(variable: str, default: str) -> str:
    """What a variable says; an empty one would mean the working directory, which nobody means."""
    value = os.environ.get(variable, default)
    if not value.strip():
        raise OptionError(f"{variable} is set and empty; unset it, or name a place")
    return value


def _place(uri: str) -> str:
    return uri.rstrip("/") if "://" in uri else str(Path(uri).resolve())
