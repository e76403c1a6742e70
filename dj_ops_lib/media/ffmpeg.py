"""Finding the ffmpeg program: on PATH, else the one in the `imageio-ffmpeg` package."""

from __future__ import annotations

import functools
import shutil

from dj_ops_lib.errors import DjError


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
