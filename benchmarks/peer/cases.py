"""Which recipes both sides run: each operator with a grid of parameters, over fitting files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .videos import COPIES, DAMAGED, VIDEOS

Parameters = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """One operator with parameters on files.

    Attributes:
        operator: Its name.
        parameters: As they stand in the recipe.
        files: Names of the files, in the order in which both sides get them.
    """

    operator: str
    parameters: Parameters
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """The operator and its parameters, as a reader of a table wants them."""
        given = ", ".join(f"{k}: {_plain(v)}" for k, v in self.parameters.items())
        return f"{self.operator} {given or 'as it is'}"

    def recipe(self, folder: Path) -> str:
        """The recipe file that both sides read; the peer's pieces and results go to `folder`.

        The peer works on one file at a time: it drops the whole batch in which one fails.
        """
        runtime = {"num_proc": None, "auto_op_parallelism": False, "batch_size": 1}
        runtime["skip_op_error"] = True  # the default of the peer's own command
        if self.operator.endswith("_mapper"):
            runtime["save_dir"] = str(folder)
        process = [{self.operator: {**self.parameters, **runtime}}]
        return yaml.safe_dump({"project_name": "peer", "process": process}, sort_keys=False)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{k}={v}" for k, v in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mp4(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.mp4" for name in names)


ALL = (*_mp4(*VIDEOS), *COPIES[:2], *DAMAGED[:1])
MOVING = (
    *_mp4("still", "moving", "tall", "square", "odd", "tiny", "turned", "anamorphic", "ntsc"),
    *_mp4("sparse", "one_frame"),
    "broken.mp4",
)
TIMED = (
    *_mp4("plain", "fast", "cuts", "fades", "uneven", "ntsc", "sparse", "one_frame", "rotated"),
    "broken.mp4",
)
SCENES = (
    *_mp4("plain", "cuts", "fades", "ending", "uneven", "ntsc", "sparse", "one_frame"),
    "broken.mp4",
)
SIZED = _mp4("plain", "fast", "wide", "tall", "square", "tiny", "odd", "rotated", "anamorphic")
OPEN: Parameters = {"min_closed_interval": False, "max_closed_interval": False}
BACK: Parameters = {"reversed_range": True}

_MOTION_SCORE_OF_MOVING = 2.5
"""Lies between the scores of slow and fast files."""

GRID: dict[str, tuple[tuple[str, ...], list[Parameters]]] = {
    "video_resolution_filter": (
        ALL,
        [
            {},
            {"min_width": 320},
            {"min_width": 321},
            {"max_width": 320},
            {"max_width": 319},
            {"min_height": 180},
            {"max_height": 180},
            {"max_height": 179, "any_or_all": "all"},
            {"min_width": 160, "max_width": 320, "min_height": 120, "max_height": 180},
            {"min_width": 160, "max_width": 320, **OPEN},
            {"min_width": 160, "max_width": 320, **BACK},
            {"min_width": 240, "max_width": 240, "min_height": 180, "max_height": 180, **BACK},
            {"min_width": 240, "max_width": 300, "min_height": 100, "max_height": 160, **BACK},
        ],
    ),
    "video_aspect_ratio_filter": (
        ALL,
        [
            {},
            {"min_ratio": "16/9"},
            {"min_ratio": "16:9", "any_or_all": "all"},
            {"max_ratio": "16/9"},
            {"min_ratio": "4/3", "max_ratio": "16/9"},
            {"min_ratio": "1/1", "max_ratio": "2.0"},
            {"min_ratio": 0.5, "max_ratio": 1.5},
            {"min_ratio": 1, "max_ratio": 2},
            {"min_ratio": "4:3", "max_ratio": "16:9", **OPEN},
            {"min_ratio": "1/2", "max_ratio": "1/1", "max_closed_interval": False},
            {"min_ratio": "1/1", "max_ratio": "1/1", **BACK},
            {"min_ratio": "1/2", "max_ratio": "3/2", **BACK},
            {"min_ratio": "1/1", "max_ratio": "3/2", **BACK, **OPEN},
        ],
    ),
    "video_duration_filter": (
        ALL,
        [
            {},
            {"min_duration": 3},
            {"min_duration": 2.002},
            {"max_duration": 4},
            {"max_duration": 2.4, "any_or_all": "all"},
            {"min_duration": 4, "max_duration": 4},
            {"min_duration": 2, "max_duration": 4, **OPEN},
            {"min_duration": 2, "max_duration": 4, **BACK},
            {"min_duration": 2, "max_duration": 4, **BACK, **OPEN},
            {"min_duration": 3, "video_backend": "av"},
        ],
    ),
    "video_motion_score_filter": (
        MOVING,
        [
            {},
            {"min_score": _MOTION_SCORE_OF_MOVING},
            {"max_score": _MOTION_SCORE_OF_MOVING, "any_or_all": "all"},
            {"min_score": -1.0},
            {"min_score": -1.0, "min_closed_interval": False},
            {"min_score": 0.25, "max_score": _MOTION_SCORE_OF_MOVING, **BACK},
            {"sampling_fps": 1},
            {"sampling_fps": 5},
            {"sampling_fps": 12.5},
            {"sampling_fps": 100},
            {"size": 96},
            {"size": [96]},
            {"size": [96, 128]},
            {"size": [128, 96]},
            {"max_size": 128},
            {"size": 120, "max_size": 128},
            {"divisible": 16},
            {"divisible": 8, "size": 90},
            {"relative": True, "min_score": 0.005},
            {"relative": True, "size": 90, "min_score": 0.005},
            {"pyr_scale": 0.7},
            {"levels": 1},
            {"winsize": 9},
            {"iterations": 1},
            {"poly_n": 7},
            {"poly_sigma": 1.5},
            {"flags": 256},
            {"if_output_optical_flow": False},
        ],
    ),
    "video_split_by_scene_mapper": (
        SCENES,
        [
            {},
            {"threshold": 10},
            {"threshold": 60.0},
            {"min_scene_len": 0},
            {"min_scene_len": 5},
            {"min_scene_len": 45},
            {"luma_only": True},
            {"weights": [1.0, 0.5, 1.0, 0.2]},
            {"weights": [1.0, 0.5, 1.0, 0.2], "kernel_size": 5},
            {"show_progress": True},
            {"detector": "AdaptiveDetector"},
            {"detector": "AdaptiveDetector", "threshold": 3.0},
            {"detector": "AdaptiveDetector", "threshold": 3.0, "min_scene_len": 5},
            {"detector": "AdaptiveDetector", "threshold": 3.0, "window_width": 4},
            {"detector": "AdaptiveDetector", "threshold": 3.0, "min_content_val": 60.0},
            {"detector": "AdaptiveDetector", "threshold": 3.0, "luma_only": True},
            {"detector": "ThresholdDetector"},
            {"detector": "ThresholdDetector", "threshold": 12},
            {"detector": "ThresholdDetector", "threshold": 12, "fade_bias": -1.0},
            {"detector": "ThresholdDetector", "threshold": 12, "fade_bias": 1.0},
            {"detector": "ThresholdDetector", "threshold": 27, "add_final_scene": True},
            {"detector": "ThresholdDetector", "threshold": 27, "min_scene_len": 60},
            {"detector": "ThresholdDetector", "threshold": 200, "method": "CEILING"},
            {"detector": "ThresholdDetector", "threshold": 12, "luma_only": True},
        ],
    ),
    "video_split_by_key_frame_mapper": (
        TIMED,
        [
            {},
            {"keep_original_sample": False},
            {"keep_original_sample": False, "video_backend": "ffmpeg"},
        ],
    ),
    "video_split_by_duration_mapper": (
        TIMED,
        [
            {},
            {"split_duration": 2},
            {"split_duration": 1, "keep_original_sample": False},
            {"split_duration": 1.5, "keep_original_sample": False},
            {"split_duration": 4, "keep_original_sample": False},
            {"split_duration": 1.5, "min_last_split_duration": 1, "keep_original_sample": False},
            {"split_duration": 3, "min_last_split_duration": 1, "keep_original_sample": False},
            {"split_duration": 2, "overlap_duration": 0.5, "keep_original_sample": False},
            {"split_duration": 2, "overlap_duration": 1, "keep_original_sample": False},
            {"split_duration": 1.5, "keep_original_sample": False, "video_backend": "av"},
        ],
    ),
    "video_resize_resolution_mapper": (
        (*SIZED, "broken.mp4"),
        [
            {},
            {"max_width": 200},
            {"max_height": 100},
            {"min_width": 0, "max_height": 101},
            {"min_width": 350},
            {"min_height": 200},
            {"min_width": 200, "max_width": 300, "min_height": 100, "max_height": 160},
            {"max_width": 200, "force_original_aspect_ratio": "decrease"},
            {"max_width": 200, "max_height": 100, "force_original_aspect_ratio": "decrease"},
            {"min_width": 350, "min_height": 300, "force_original_aspect_ratio": "increase"},
            {
                "max_height": 100,
                "force_original_aspect_ratio": "increase",
                "force_divisible_by": 16,
            },
            {
                "max_height": 100,
                "force_original_aspect_ratio": "Decrease",
                "force_divisible_by": 16,
            },
            {"max_height": 100, "force_divisible_by": 16},
        ],
    ),
    "video_resize_aspect_ratio_mapper": (
        (*SIZED, "broken.mp4"),
        [
            {},
            {"min_ratio": "3/4", "max_ratio": "4/3"},
            {"min_ratio": "3/4", "max_ratio": "4/3", "strategy": "decrease"},
            {"min_ratio": "3:4", "max_ratio": "4:3", "strategy": "Decrease"},
            {"min_ratio": "16/9"},
            {"max_ratio": "1/1", "strategy": "decrease"},
            {"min_ratio": "16/9", "max_ratio": "16/9"},
            {"min_ratio": "16/9", "max_ratio": "16/9", "strategy": "decrease"},
            {"min_ratio": 0.8, "max_ratio": 1.5},
        ],
    ),
    "video_ffmpeg_wrapped_mapper": (
        _mp4("plain", "fast", "tall", "rotated", "anamorphic", "broken"),
        [
            {},
            {"filter_name": "scale", "filter_kwargs": {"width": 160, "height": 90}},
            {"filter_name": "hflip", "filter_kwargs": {}},
            {"filter_name": "crop", "filter_kwargs": {"w": 100, "h": 80}},
            {"filter_name": "crop", "filter_kwargs": {"w": 100, "h": 80, "x": 10, "y": 20}},
            {"filter_name": "transpose", "filter_kwargs": {"dir": 1}},
            {"filter_name": "negate", "filter_kwargs": {}, "capture_stderr": False},
            {"filter_name": "pad", "filter_kwargs": {"w": 400, "h": 400}},
        ],
    ),
    "audio_ffmpeg_wrapped_mapper": (
        _mp4("plain"),
        [
            {},
            {"filter_name": "volume", "filter_kwargs": {"volume": 0.5}},
            {"filter_name": "lowpass", "filter_kwargs": {"f": 200}},
        ],
    ),
    "video_remove_watermark_mapper": (
        _mp4("marked", "plain", "broken"),
        [
            {},
            {"roi_strings": ["0,0,0.2,0.15"]},
            {"roi_strings": ["(0, 0, 64, 28)"], "roi_type": "pixel"},
            {"roi_strings": ["[0,0,64,28]"], "roi_type": "pixel", "frame_num": 8},
            {"roi_strings": ["0,0,0.2,0.15"], "frame_num": 5},
            {"roi_strings": ["0,0,0.2,0.15"], "detection_method": "pixel_diversity"},
        ],
    ),
    "video_face_blur_mapper": (
        _mp4("face", "plain", "broken"),
        [
            {},
            {"radius": 8},
            {"blur_type": "box", "radius": 10},
            {"blur_type": "mean"},
            {"minSize": [40, 40], "maxSize": [300, 300]},
            {"scaleFactor": 1.2, "minNeighbors": 2},
        ],
    ),
    "video_deduplicator": (
        ("plain.mp4", "same.mp4", "fast.mp4", "same.mkv", "again.mp4", "broken.mp4"),
        [{}, {"consider_text": True}],
    ),
}
"""For each operator: files, and sets of parameters."""

WITHOUT_PEER = {
    "video_ocr_area_ratio_filter": "its EasyOCR downloads a model when it is made",
}
"""Operators that both have and that cannot be compared offline."""


def cases() -> list[Case]:
    """All of them."""
    made = [
        Case(operator, parameters, files)
        for operator, (files, grid) in GRID.items()
        for parameters in grid
    ]
    # By themselves, because the peer does not come to an end with them.
    made.append(Case("video_motion_score_filter", {"sampling_fps": 3}, ("uneven.mp4",)))
    made.append(Case("video_motion_score_filter", {"sampling_fps": 4}, ("cut_off.mp4",)))
    return made


def file_names() -> list[str]:
    """All files that a case asks for, `plain.mp4` first because others are made of it."""
    return sorted({f for case in cases() for f in case.files}, key=lambda f: (f != "plain.mp4", f))
