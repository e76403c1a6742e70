"""Editor: any FFmpeg video filter."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter
from dj_ops_lib.operators.editors.video_resize_resolution_mapper import SQUARE

SCALING = frozenset({"scale", "zscale"})
"""Filters that keep the shape of the picture by making its pixels oblong."""


class _FfmpegWrappedMapper(Editor):
    """What the editors of both streams share: one filter, its options, and their check."""

    stream: ClassVar[str]

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
    def _filter_is_allowed(self) -> Self:
        check_edit(self.stream, self.filter_name, self.filter_kwargs)
        return self


class VideoFfmpegWrappedMapper(_FfmpegWrappedMapper):
    """Applies one FFmpeg filter to the picture.

    The filters of `media/filter_rules.py` are allowed: from one picture to one picture, without
    files. Options are FFmpeg's, by name. What is scaled gets the size that is asked for, with
    square pixels, where Data-Juicer's sample aspect ratio shows the old shape. Sound and all else
    stays, where Data-Juicer keeps the filtered stream alone. `global_args` must be empty: the
    clip is encoded once, at export.

    Source: Data-Juicer's operator of the same name.
    """

    stream: ClassVar[str] = "video"

    def measure(self, clip: Clip) -> EditResult:
        """The edit, and the size that a picture of the row's size gets."""
        from dj_ops_lib.media.filter_rules import filtered_size

        if not clip.width or not clip.height:
            raise ValueError(f"clip {clip.clip_id}: its width and height are unknown")
        if self.filter_name is None:
            return EditResult((), clip.width, clip.height)
        edits = [Edit(self.filter_name, options(self.filter_kwargs))]
        if self.filter_name in SCALING:
            edits.append(SQUARE)
        chain = [(edit.filter, dict(edit.arguments)) for edit in edits]
        width, height = filtered_size(chain, clip.width, clip.height)
        return EditResult(tuple(edits), width, height)


def options(given: dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Options as FFmpeg reads them, sorted, so that the same options make the same edit."""
    text = {k: str(int(v)) if isinstance(v, bool) else str(v) for k, v in (given or {}).items()}
    return tuple(sorted(text.items()))


def check_edit(stream: str, name: str | None, given: dict[str, Any] | None) -> None:
    """Whether the filter is allowed and takes the options.

    Raises:
        ValueError: It is not or does not, or options are given without a filter.
    """
    if name is None:
        if given:
            raise ValueError("filter_kwargs without filter_name")
        return
    from dj_ops_lib.media.filter_rules import check_filter

    check_filter(stream, name, dict(options(given)))
