"""Editor: interlaced pictures become progressive."""

from __future__ import annotations

from typing import ClassVar, Literal

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter

UPRIGHT_LINES = {90: ("cclock", "clock"), 270: ("clock", "cclock")}
"""By rotation: how a picture that was turned upright is turned to its lines and back."""


class VideoDeinterlaceMapper(Editor):
    """Makes interlaced pictures progressive: one picture for each, of its earlier field.

    Clips are those in which `video_interlace_filter` found enough interlaced pictures, whatever
    the file's header says; let it keep them with `max_ratio: 1`. The missing lines are made from
    those of the pictures before and after. Pictures and their times stay as many and as they were.
    Later operators see the progressive pictures, where rendering alone would leave them with combs.

    It belongs before editors that scale or turn: after them there are no lines to be told apart.

    Source: FFmpeg's filters bwdif and yadif, and idet for the pictures that need it.
    """

    reads: ClassVar[tuple[str, ...]] = ("video_interlaced_ratio",)

    min_ratio: float = parameter(
        0.05, "share of interlaced pictures from which a clip is changed; 0: every clip", ge=0, le=1
    )
    pictures: Literal["detected", "all"] = parameter(
        "detected", "which of a clip's are changed: those whose lines show it, or all"
    )
    filter: Literal["bwdif", "yadif"] = parameter("bwdif", "FFmpeg's filter for the missing lines")
    parity: Literal["auto", "tff", "bff"] = parameter(
        "auto", "which field is earlier: as detected, the upper or the lower one"
    )

    def measure(self, clip: Clip) -> EditResult:
        """The edit, by the share of interlaced pictures."""
        ratio = clip.columns.get("video_interlaced_ratio")
        if ratio is None or ratio < self.min_ratio:
            return EditResult((), clip.width or 0, clip.height or 0)
        deint = "all" if self.pictures == "all" else "interlaced"
        options = (("deint", deint), ("mode", "send_frame"), ("parity", self.parity))
        edits = [Edit(self.filter, options), Edit("setparams", (("field_mode", "prog"),))]
        if self.pictures == "detected":
            edits.insert(0, Edit("idet"))
        if turns := UPRIGHT_LINES.get(clip.rotation or 0):
            first, last = (Edit("transpose", (("dir", way),)) for way in turns)
            edits = [first, *edits, last]
        return EditResult(tuple(edits), clip.width or 0, clip.height or 0)
