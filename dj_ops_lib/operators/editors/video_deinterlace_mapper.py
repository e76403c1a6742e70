"""Editor: interlaced pictures become progressive."""

from __future__ import annotations

from typing import Literal

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.operator import Editor, EditResult, parameter

UPRIGHT_LINES = {90: ("cclock", "clock"), 270: ("clock", "cclock")}
"""By rotation: how a picture that was turned upright is turned to its lines and back."""


class VideoDeinterlaceMapper(Editor):
    """Makes interlaced pictures progressive: one picture for each, of its earlier field.

    The missing lines are made from those of the pictures before and after. By default only
    pictures are changed whose lines show it, whatever the file's header says. The number of
    pictures and their times stay. Later operators see the progressive pictures, where rendering
    alone would leave them with combs.

    It belongs before editors that scale or turn: after them there are no lines to be told apart.

    Source: FFmpeg's filters bwdif and yadif, and idet for the pictures that need it.
    """

    pictures: Literal["detected", "labelled", "all"] = parameter(
        "detected",
        "which are changed: those whose lines show it, those called interlaced, or all",
    )
    filter: Literal["bwdif", "yadif"] = parameter("bwdif", "FFmpeg's filter for the missing lines")
    parity: Literal["auto", "tff", "bff"] = parameter(
        "auto", "which field is earlier: as detected or labelled, the upper or the lower one"
    )

    def measure(self, clip: Clip) -> EditResult:
        """The edit; a clip that nothing is known of gets it, too, and stays as it is by it."""
        deint = "all" if self.pictures == "all" else "interlaced"
        options = (("deint", deint), ("mode", "send_frame"), ("parity", self.parity))
        edits = [Edit(self.filter, options), Edit("setparams", (("field_mode", "prog"),))]
        if self.pictures == "detected":
            edits.insert(0, Edit("idet"))
        if turns := UPRIGHT_LINES.get(clip.rotation or 0):
            first, last = (Edit("transpose", (("dir", way),)) for way in turns)
            edits = [first, *edits, last]
        return EditResult(tuple(edits), clip.width or 0, clip.height or 0)
