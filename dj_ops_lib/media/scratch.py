"""Folders in which clips are made, and the removal of those whose process has died.

A process holds an advisory lock on a file in its folder; the kernel lets go of
it when the process ends, however it ends. Not every file system that machines
share tells one of them what another has locked, so a folder's name says which
kernel, and which mount of it, knows. For anybody else the folder is dead when
nothing was written in it for a day. What follows the rename of a finished file
is not here (`destination.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from dj_ops_lib import settings
from dj_ops_lib.clip import digest
from dj_ops_lib.errors import DjError, OutageError
from dj_ops_lib.faults import outage_of

LOCK = "lock"

QUIET_S = 24 * 3600.0
"""Encoding writes every few seconds, and the clocks of two machines differ by less than this."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ATTEMPTS = 100


def own_temporary_folder() -> Path:
    """The folder of this user among the machine's temporary files, made if missing.

    Raises:
        DjError: Somebody else's folder has that name.
    """
    folder = settings.temporary_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise DjError(f"{folder} belongs to another user; set TMPDIR to a folder of your own")
    return folder


@contextlib.contextmanager
def scratch_folder(root: Path, signature: str) -> Iterator[Path]:
    """A new folder under `root` for making a clip; removed at the end, and `root` if empty.

    Args:
        root: Folder of such folders; made if missing.
        signature: The clip's; the folder's name begins with it, so that a takedown finds it.
    """
    folder, lock = _claim(root, signature)
    try:
        yield folder
    finally:
        os.close(lock)  # first: a network file system keeps an open file's folder from going
        shutil.rmtree(folder, ignore_errors=True)
        _remove_if_empty(root)


def sweep(root: Path) -> int:
    """Remove the folders under `root` whose processes have died; how many there were.

    Raises:
        OutageError: `root` cannot be looked into.
    """
    try:
        found = [Path(entry) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
        kernel = _kernel(root)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _refused(root, error) from error
    dead = [folder for folder in found if _is_dead(folder, kernel)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    _remove_if_empty(root)
    return len(dead)


def _claim(root: Path, signature: str) -> tuple[Path, int]:
    """A new folder and its lock.

    Until the lock is held, a sweep may take the folder for dead, and `root` may vanish with the
    last folder in it: then another one is made.
    """
    for _ in range(_ATTEMPTS):
        try:
            root.mkdir(parents=True, exist_ok=True)
            folder = root / f"{signature}.{_kernel(root)}.{uuid.uuid4().hex}"
            folder.mkdir()
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except (FileNotFoundError, FileExistsError):
            continue
        except OSError as error:
            raise _refused(root, error) from error
        if _locked(lock) is not False and (folder / LOCK).exists():
            return folder, lock
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
    raise OutageError(f"{root}: folders that are made there vanish at once; what removes them?")


def _refused(root: Path, error: OSError) -> DjError:
    return outage_of(error, str(root)) or OutageError(
        f"{root}: cannot be used: {error.strerror}; choose another place, or give this user the "
        "right to it"
    )


def _is_dead(folder: Path, kernel: str) -> bool:
    """Whether no process uses the folder; if so, none that is about to can any more."""
    here = folder.name.split(".")[1:2] == [kernel]
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:  # not there yet, or no more, or another user's
        return _quiet(folder)
    try:
        locked = _locked(lock)
        if locked is False or not ((here and locked) or _quiet(folder)):
            return False
        (folder / LOCK).unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def _locked(file: int) -> bool | None:
    """Take the lock: whether it was free; None where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _kernel(root: Path) -> str:
    """Names the kernel and the mount that know what is locked under `root`.

    The boot id, because containers share host names and machine ids; the device, because two
    mounts of one shared folder need not know of each other.
    """
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = str(uuid.getnode())
    return digest("kernel", boot, root.stat().st_dev)[:8]


def _quiet(folder: Path) -> bool:
    """Whether nothing was written in the folder for a day."""
    try:
        latest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # vanishing, or another user's
        return False
    return time.time() - latest > QUIET_S


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
