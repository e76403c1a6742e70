"""Which files `--videos` names, and what of a folder is left out."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dj_ops_lib.errors import SourceError
from dj_ops_lib.media.access import VIDEO_EXTENSIONS


@dataclasses.dataclass(frozen=True, slots=True)
class Videos:
    """What was found.

    Attributes:
        paths: The video files, sorted, absolute.
        roots: Files and folders in which links among them may end.
        left_out: How many files of a folder were not taken, by extension or by what they are.
    """

    paths: tuple[str, ...]
    roots: tuple[str, ...] = ()
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def find_videos(where: str, roots: Sequence[str] = ()) -> Videos:
    """The video files of a folder (at any depth), of a glob pattern, or the one that is named.

    A pattern is taken at its word: what it names is a video, whatever its suffix. A link that is
    named itself is followed; folders in a folder that are links are, if they end under `roots`.

    Raises:
        SourceError: There are none, a root is not there, or a folder cannot be entered: what is
            in there would be left out unseen.
    """
    if not where.strip():
        raise SourceError("--videos is empty; it takes a folder or a quoted glob pattern")
    for root in roots:
        if not Path(root).exists():
            raise SourceError(f"--root {root}: there is no such file or folder")
    left_out: collections.Counter[str] = collections.Counter()
    allowed = tuple(roots)
    if Path(where).is_dir():
        found = list(_videos_in(where, roots, left_out))
        missing = f"no file in {where} ends in .{', .'.join(VIDEO_EXTENSIONS)}; give a glob pattern"
    else:
        named = Path(where).is_file()
        matches = [where] if named else glob.glob(where, recursive=True)  # noqa: PTH207
        found = [p for p in matches if Path(p).is_file()]
        missing = f"nothing matches {where}; --videos takes a folder or a quoted glob pattern"
        if named and Path(where).is_symlink():
            allowed += (os.path.realpath(where),)
    if not found:
        raise SourceError(missing)
    return Videos(tuple(sorted(str(Path(p).absolute()) for p in found)), allowed, left_out)


def told(left_out: collections.Counter[str]) -> str:
    """What was left out, as one line."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(8))
    more = "" if len(left_out) <= 8 else f" and {len(left_out) - 8} kinds more"
    return f"left out: {kinds}{more}; a glob pattern takes files of any name"


def _videos_in(top: str, roots: Sequence[str], left_out: collections.Counter[str]) -> Iterator[str]:
    inside = [Path(os.path.realpath(r)) for r in roots]
    seen: set[str] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        with _entered(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    target = Path(os.path.realpath(entry.path))
                    if not entry.is_symlink() or any(target.is_relative_to(r) for r in inside):
                        waiting.append(entry.path)
                    else:
                        left_out["linked folder (--root allows one)"] += 1
                elif (suffix := _suffix(entry.name)) in VIDEO_EXTENSIONS:
                    yield entry.path
                else:
                    left_out[f"*.{suffix}" if suffix else "without extension"] += 1


def _entered(folder: str) -> Any:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise SourceError(
            f"{folder}: the folder cannot be entered: {error.strerror}; give this user the "
            "right to it, or name what to read by a quoted glob pattern"
        ) from None


def _suffix(name: str) -> str:
    return Path(name).suffix[1:].lower().encode("utf-8", "replace").decode()
