"""The ffmpeg program: on PATH, else the one in the `imageio-ffmpeg` package.

It is called with a list of arguments, never through a shell.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import signal
import subprocess
import sys

from dj_ops_lib.errors import DjError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@functools.cache
def find_ffmpeg() -> str:
    """Path of an ffmpeg program.

    Raises:
        DjError: There is none.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        message = "no ffmpeg program: install ffmpeg, or `pip install imageio-ffmpeg`"
        raise DjError(message) from None


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; for `preexec_fn`, Linux only.

    A worker that is killed takes nothing along by itself: its ffmpeg would encode on, and nobody
    would hold it to its deadline.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_ffmpeg(*arguments: str) -> str:
    """Run it on files of one's own, overwriting; what it says on standard error.

    Raises:
        DjError: It fails.
    """
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        last = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise DjError(f"ffmpeg {' '.join(arguments)} fails: {last}")
    return done.stderr
