"""One video of the corpus: what it shows, how it is written, what is wrong with it.

Which videos there are is `plan.py`; what the pipeline must say about them is
`truth.py`, which reads nothing but what is declared here.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Literal

from dj_ops_lib.demo.encode import BurntText, Encoding
from dj_ops_lib.demo.world import FPS, Shot

WIDTH, HEIGHT = 320, 192
"""Usual size; a multiple of 64 wide, where x264's bytes do not depend on the machine."""

PLAIN = Encoding()

Fate = Literal["whole", "truncated", "empty", "text", "missing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated clip of a video.

    Attributes:
        start: First frame.
        end: Frame after the last one; may lie past the end of the video on purpose.
        caption: The caption; None for the one that describes the shots truthfully.
    """

    start: int
    end: int
    caption: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One video file and its annotations.

    Attributes:
        source_id: Id in its dataset, and name of the file.
        feature: What it is in the corpus for, such as `hard_cuts` or `plain`.
        shots: What it shows; takes follow each other by hard cuts, or by a fade through
            black where one fades out and the next fades in.
        width: Coded width in pixels.
        height: Coded height in pixels.
        encoding: How it is written.
        titles: Text burnt into all frames.
        bar: Height in pixels of the black bars above and below, 0 for none.
        fate: What becomes of the file afterwards.
        copy_of: Id of the video of which the file is a copy, byte for byte.
        rescaled_from: Size at which it is drawn, if that is not the size at which it is shown.
        group: Name shared by videos that show the same.
        annotations: Its annotated clips; unused for MSR-VTT, where the file is the clip.
        captions: Captions to begin with, for MSR-VTT.
    """

    source_id: str
    feature: str
    shots: tuple[Shot, ...]
    width: int = WIDTH
    height: int = HEIGHT
    encoding: Encoding = PLAIN
    titles: tuple[BurntText, ...] = ()
    bar: int = 0
    fate: Fate = "whole"
    copy_of: str | None = None
    rescaled_from: tuple[int, int] | None = None
    group: str | None = None
    annotations: tuple[Annotation, ...] = ()
    captions: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Length in frames."""
        return sum(shot.frames for shot in self.shots)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        times = self.encoding.times_ms
        return (times[-1] + 1000 / FPS) / 1000 if times else self.frames / FPS

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height as shown: pixels made square, then turned."""
        width = round(self.width * self.encoding.sample_aspect_ratio)
        turned = self.encoding.rotation % 180 == 90
        return (self.height, width) if turned else (width, self.height)

    @property
    def drawn_size(self) -> tuple[int, int]:
        """Width and height at which the shots are drawn, upright and with square pixels."""
        return self.rescaled_from or self.display_size

    def takes(self) -> Iterable[tuple[int, int, Shot]]:
        """(first frame, frame after the last, shot) of each take."""
        start = 0
        for shot in self.shots:
            yield start, start + shot.frames, shot
            start += shot.frames

    def boundaries(self) -> list[tuple[int, bool]]:
        """(first frame of a take, whether it fades in from the take before) for all but the first.

        A hard cut is at one frame; a fade through black may be cut anywhere in the dark.
        """
        starts = [start for start, _, _ in self.takes()]
        fades = [a.fade_out > 0 and b.fade_in > 0 for a, b in itertools.pairwise(self.shots)]
        return list(zip(starts[1:], fades, strict=True))
