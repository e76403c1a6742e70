"""Splitter by duration."""

from __future__ import annotations

from collections.abc import Sequence

import pydantic

from dj_ops_lib.clip import Clip, Span
from dj_ops_lib.operator import Splitter, check_pieces, parameter

SMALLEST_PIECE_S = 1e-6
"""What remains below a microsecond is rounding of the duration, not footage."""

SHARE_OF_FRAME = 0.9
"""In less than this of a frame's duration no frame begins, rounding of time stamps included."""


class VideoSplitByDurationMapper(Splitter):
    """Cuts a clip into pieces of equal duration.

    Pieces start at 0, step, 2 * step, ... with step = split_duration - overlap_duration; the
    first that reaches the end is the last one. What is then left belongs to the piece before if
    no frame begins in it, where Data-Juicer writes a file without pictures. A clip no longer than
    `split_duration` stays as it is, once; in Data-Juicer it is there twice if originals are kept.
    Pieces hold the frames from their start to their end; Data-Juicer copies streams, so its
    pieces end up to five frames late, with gaps, and hide what lies before their start; with
    `video_backend: av`, those of a rotated file lie on their side.

    Source: Data-Juicer's operator of the same name.
    """

    split_duration: float = parameter(10, "duration of a piece", unit="s", gt=0)
    min_last_split_duration: float = parameter(
        0, "the last piece is dropped if it is shorter than this", unit="s"
    )
    keep_original_sample: bool = parameter(True, "keep the clip itself beside its pieces")
    overlap_duration: float = parameter(0, "time shared by neighbouring pieces", unit="s", ge=0)

    @pydantic.model_validator(mode="after")
    def _overlap_leaves_a_step(self) -> VideoSplitByDurationMapper:
        if self.split_duration - self.overlap_duration < SMALLEST_PIECE_S:
            raise ValueError("overlap_duration must be smaller than split_duration")
        return self

    @property
    def keeps_original(self) -> bool:
        """As asked by `keep_original_sample`."""
        return self.keep_original_sample

    def measure(self, clip: Clip) -> Sequence[Span]:
        """The pieces, from the row's span."""
        whole = clip.span
        duration = whole.end_s - whole.start_s
        if duration <= self.split_duration:
            return [whole]
        step = self.split_duration - self.overlap_duration
        check_pieces(
            (duration - self.split_duration) / step + 1,
            f"{duration:g} s are cut every {step:g} s; raise split_duration or lower "
            "overlap_duration",
        )
        spans: list[Span] = []
        start = 0.0
        while start + self.split_duration < duration - SMALLEST_PIECE_S:
            spans.append(Span(whole.start_s + start, whole.start_s + start + self.split_duration))
            start = len(spans) * step
        rest = duration - start
        if clip.fps and rest < SHARE_OF_FRAME / clip.fps:
            spans[-1] = Span(spans[-1].start_s, whole.end_s)
        elif rest >= max(self.min_last_split_duration, SMALLEST_PIECE_S):
            spans.append(Span(whole.start_s + start, whole.end_s))
        return spans
