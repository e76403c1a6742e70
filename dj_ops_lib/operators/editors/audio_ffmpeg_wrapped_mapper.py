"""Editor: any FFmpeg audio filter."""

from __future__ import annotations

from typing import Any

import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter
from dj_ops_lib.operators.editors.video_ffmpeg_wrapped_mapper import check_edit, options


class AudioFfmpegWrappedMapper(Editor):
    """Applies one FFmpeg filter to the sound of a clip; a clip without sound stays as it is.

    The filters of `media/filter_rules.py` are allowed: from sound to sound of the same length,
    without files. Options are FFmpeg's, by name. The picture stays, where Data-Juicer keeps the
    filtered stream alone. `global_args` must be empty: the clip is encoded once, at export.

    Source: Data-Juicer's operator of the same name.
    """

    filter_name: str | None = parameter(None, "FFmpeg's name of the filter; none does nothing")
    filter_kwargs: dict[str, str | int | float | bool] | None = parameter(
        None, "options of the filter by name"
    )
    global_args: tuple[()] | None = parameter(None, "of Data-Juicer; must be empty")
    capture_stderr: bool = parameter(True, "of Data-Juicer; no effect", decides=True)
    overwrite_output: bool = parameter(True, "of Data-Juicer; no effect", decides=True)

    @pydantic.field_validator("global_args", mode="before")
    @classmethod
    def _no_arguments(cls, value: Any) -> Any:
        if value not in (None, [], ()):
            raise ValueError("must be empty: nothing is encoded here; set encoders at export")
        return None

    @pydantic.model_validator(mode="after")
    def _filter_is_allowed(self) -> AudioFfmpegWrappedMapper:
        check_edit("audio", self.filter_name, self.filter_kwargs)
        return self

    def measure(self, clip: Clip) -> EditResult:
        """The edit; the picture's size is the row's."""
        size = clip.width or 0, clip.height or 0
        if self.filter_name is None or not clip.has_audio:
            return EditResult((), *size)
        return EditResult((Edit(self.filter_name, options(self.filter_kwargs), "audio"),), *size)
