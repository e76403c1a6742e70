"""Editor: any FFmpeg audio filter."""

from __future__ import annotations

from typing import ClassVar

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import EditResult
from dj_ops_lib.operators.editors.video_ffmpeg_wrapped_mapper import _FfmpegWrappedMapper, options


class AudioFfmpegWrappedMapper(_FfmpegWrappedMapper):
    """Applies one FFmpeg filter to the sound of a clip; a clip without sound stays as it is.

    The filters of `media/filter_rules.py` are allowed: from sound to sound of the same length,
    without files. Options are FFmpeg's, by name. The picture stays, where Data-Juicer keeps the
    filtered stream alone. `global_args` must be empty: the clip is encoded once, at export.

    Source: Data-Juicer's operator of the same name.
    """

    stream: ClassVar[str] = "audio"

    def measure(self, clip: Clip) -> EditResult:
        """The edit; the picture's size is the row's."""
        size = clip.width or 0, clip.height or 0
        if self.filter_name is None or not clip.has_audio:
            return EditResult((), *size)
        return EditResult((Edit(self.filter_name, options(self.filter_kwargs), "audio"),), *size)
