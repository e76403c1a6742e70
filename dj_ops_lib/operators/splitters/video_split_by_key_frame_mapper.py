"""Splitter at key frames."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

from dj_ops_lib.clip import Clip, Span
from dj_ops_lib.needs import Frame, Frames, KeyFrames, Observer, Size
from dj_ops_lib.operator import Splitter, parameter


class VideoSplitByKeyFrameMapper(Splitter):
    """Cuts a clip at every key frame, the last piece reaching to its end.

    Pieces begin where the encoder put key frames, so that they can be copied without encoding,
    and end before the next one, where Data-Juicer's repeat frames of the next piece. Only key
    frames are decoded, and the first frame; Data-Juicer decodes all. What is shown before the
    first key frame is a piece, too, where Data-Juicer drops it. A clip with one key frame
    stays as it is, once; in Data-Juicer it is there twice if originals are kept, and pieces of a
    rotated file lie on their side.

    Source: Data-Juicer's operator of the same name.
    """

    version: ClassVar[str] = "2"

    keep_original_sample: bool = parameter(True, "keep the clip itself beside its pieces")

    @property
    def keeps_original(self) -> bool:
        """As asked by `keep_original_sample`."""
        return self.keep_original_sample

    def needs(self) -> Frames:
        """The times of key frames and of the first; their pictures do not matter: tiny ones."""
        return Frames(KeyFrames(with_first=True), Size(exact=(16, 16)), "gray")

    def observe(self, clip: Clip) -> Observer:
        """Collect the times of key frames."""
        return _KeyTimes(clip)


class _KeyTimes(Observer):
    def __init__(self, clip: Clip) -> None:
        self._span = clip.span
        self._bounds = [self._span.start_s]
        # What begins with a key frame is not cut there, however late that is shown.
        self._begun = False
        self._frame_s = 1 / clip.fps if clip.fps else 0.0

    def frame(self, frame: Frame) -> None:
        # Nearer than a frame there is none in between, and a piece without frames is none.
        room = frame.pts_s - self._bounds[-1] > 0.9 * self._frame_s
        room &= frame.pts_s < self._span.end_s
        if frame.key_frame and room and self._begun:
            self._bounds.append(frame.pts_s)
        self._begun = True

    def result(self) -> Sequence[Span]:
        bounds = list(self._bounds)
        if len(bounds) > 1 and self._span.end_s - bounds[-1] < 1.5 * self._frame_s:
            bounds.pop()  # a key frame that is the last frame, too
        bounds.append(self._span.end_s)
        return [Span(a, b) for a, b in itertools.pairwise(bounds)]
