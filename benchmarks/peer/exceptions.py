"""Where the answers may differ: each exception with its words on the compatibility page."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from pathlib import Path

from .comparison import Difference

PAGE = Path(__file__).parents[2] / "docs/data-juicer-compat.md"


@dataclasses.dataclass(frozen=True)
class Known:
    """A difference that is meant.

    Attributes:
        operator: Pattern of the operator's name.
        what: What may differ.
        line: Words of the compatibility page that say so.
        files: Patterns of the files' names.
        given: Regular expression that the case's name holds, for some parameters only.
    """

    operator: str
    what: tuple[str, ...]
    line: str
    files: tuple[str, ...] = ("*",)
    given: str = ""

    def explains(self, found: Difference) -> bool:
        """Whether it is this one."""
        return (
            found.what in self.what
            and fnmatch.fnmatch(found.case.operator, self.operator)
            and any(fnmatch.fnmatch(found.file, pattern) for pattern in self.files)
            and re.search(self.given, found.case.name) is not None
        )


_TURNED = ("rotated.mp4", "turned.mp4", "anamorphic.mp4")
_CODED = "sizes are coded sizes"
_SQUARED = "squeezes a frame to the transposed shape"
_KEY = "video_split_by_key_frame_mapper"
_DURATION = "video_split_by_duration_mapper"
_SCENE = "video_split_by_scene_mapper"

KNOWN = (
    Known("video_resolution_filter", ("kept", "statistics"), _CODED, _TURNED),
    Known(
        "video_resolution_filter",
        ("kept",),
        "theirs asks for both, so a recipe with limits for one of them keeps nothing",
        given="reversed_range",
    ),
    Known("video_aspect_ratio_filter", ("kept", "statistics"), _CODED, _TURNED),
    Known(
        "video_aspect_ratio_filter",
        ("kept",),
        "16:9 fails `max_ratio: 16/9` and 4:3 fails `min_ratio: 4/3`",
        given=r"(min|max)_ratio: (4.3|16.9)",
    ),
    Known(
        "video_duration_filter",
        ("kept",),
        "theirs drops them with `video_backend: av`",
        ("same.mkv",),
        "video_backend: av",
    ),
    Known(
        "video_motion_score_filter",
        ("kept", "statistics"),
        _SQUARED,
        given=r"\b(size|max_size|divisible): ",
    ),
    Known("video_motion_score_filter", ("statistics",), _CODED, ("anamorphic.mp4",)),
    Known(
        "video_motion_score_filter",
        ("statistics",),
        "where the step is one frame, frame 1 is not compared with itself",
        given="sampling_fps: (12.5|100)",
    ),
    Known(
        "video_motion_score_filter",
        ("kept",),
        "which `min_score: -1` and `reversed_range` keep",
        ("broken.mp4",),
    ),
    Known(
        "video_motion_score_filter",
        ("kept",),
        "theirs never ends with either, and fills the memory",
        ("uneven.mp4",),
    ),
    Known(
        _SCENE,
        ("pieces",),
        "each detector has its own default threshold (theirs: 27 for all)",
        given="detector: (Adaptive|Threshold)Detector$",
    ),
    Known(_SCENE, ("kept",), "`weights` and `method` work", given="weights|method"),
    Known(_SCENE, ("kept",), "a parameter of another detector is refused", given="12, luma_only"),
    Known(_SCENE, ("frames",), "pieces keep a variable frame rate", ("uneven.mp4",)),
    Known(
        "video_split_by_[kd]*_mapper",
        ("frames", "cuts"),
        "theirs repeats up to five frames of the next piece",
    ),
    Known(
        "video_split_by_[kd]*_mapper",
        ("sizes",),
        "pieces of a rotated file are rotated",
        ("rotated.mp4",),
    ),
    Known(
        "video_split_by_[kd]*_mapper",
        ("pieces",),
        "a clip that is not cut is there once (theirs, with `keep_original_sample`: twice)",
        given="as it is$|split_duration: 2$",
    ),
    Known(_KEY, ("kept",), "some operators keep a file that they cannot read", ("broken.mp4",)),
    Known(
        _DURATION,
        ("pieces",),
        "no piece is without pictures",
        ("ntsc.mp4",),
    ),
    Known("video_resize_*_mapper", ("sizes", "picture"), _CODED, _TURNED),
    Known(
        "video_resize_aspect_ratio_mapper",
        ("sizes",),
        "a rendered clip has even edges",
        ("odd.mp4",),
    ),
    Known(
        "video_resize_aspect_ratio_mapper",
        ("kept",),
        "exact ratios work (theirs fails on `min_ratio: 16/9`, `max_ratio: 16/9`",
        given="min_ratio: 16/9, max_ratio: 16/9",
    ),
    Known("video_ffmpeg_wrapped_mapper", ("sizes", "picture"), _CODED, ("anamorphic.mp4",)),
    Known(
        "video_ffmpeg_wrapped_mapper",
        ("kept",),
        "some operators keep a file that they cannot read",
        ("broken.mp4",),
    ),
    Known(
        "video_remove_watermark_mapper",
        ("picture",),
        "with fewer frames than `min_frame_threshold` a pixel must be bright in all of them",
        ("marked.mp4",),
        "frame_num: 5",
    ),
    Known(
        "video_face_blur_mapper",
        ("picture",),
        "followed through the clip (theirs: a Haar cascade on each frame by itself",
        ("face.mp4",),
    ),
    Known("video_*_mapper", ("sound",), "sound, and everything else that is not edited, stays"),
    Known("audio_ffmpeg_wrapped_mapper", ("frames", "sizes"), "leaves nothing but the sound"),
)
"""All of them."""


def explanation(found: Difference) -> Known | None:
    """The exception that a difference falls under."""
    return next((known for known in KNOWN if known.explains(found)), None)
