"""Parameters of Data-Juicer's operators that concern its runtime and its files, not the clips.

They are accepted wherever an operator is named (`process:`, `stages:`, `dj op -p`), and each says
in a line what it does here. Not here: parameters that mean something, which are the operator's own
fields, and reading recipe files (`recipe_file.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = "a clip's text is in the columns `text` and `captions`"
_MEDIA = "a clip's file is in the column `video_uri`"
_SCHEDULED = "the engine schedules by what it measured; `dj run --workers` says how many processes"
_FILES = "cutting and editing write no files; `render:` says what is made at the end, and how"

EVERYWHERE: Mapping[str, str] = {
    "text_key": _TEXT,
    "image_key": _MEDIA,
    "audio_key": _MEDIA,
    "video_key": _MEDIA,
    "image_bytes_key": _MEDIA,
    "system_key": _TEXT,
    "instruction_key": _TEXT,
    "prompt_key": _TEXT,
    "query_key": _TEXT,
    "response_key": _TEXT,
    "history_key": _TEXT,
    "index_key": "a clip is named by `clip_id`",
    "input_columns": "an operator's class declares what it reads",
    "output_columns": "an operator's class declares what it makes",
    "work_dir": "tables and files go where `--warehouse` and DJ_RENDERED say",
    "stats_export_path": "statistics are columns of the stage's table",
    "skip_op_error": "a clip that fails is a row with its error, and the others go on",
    "accelerator": _SCHEDULED,
    "adaptive_batching": _SCHEDULED,
    "auto_op_parallelism": _SCHEDULED,
    "batch_mode": _SCHEDULED,
    "batch_size": _SCHEDULED,
    "cpu_required": _SCHEDULED,
    "gpu_required": _SCHEDULED,
    "mem_required": _SCHEDULED,
    "memory": _SCHEDULED,
    "num_cpus": _SCHEDULED,
    "num_gpus": _SCHEDULED,
    "num_proc": _SCHEDULED,
    "ray_execution_mode": _SCHEDULED,
    "runtime_env": _SCHEDULED,
    "turbo": _SCHEDULED,
    "show_progress": "progress is shown in a terminal, always",
    "video_backend": "FFmpeg's libraries read every file",
    "save_dir": _FILES,
    "save_field": _FILES,
    "output_format": _FILES,
    "ffmpeg_extra_args": _FILES,
    "legacy_split_by_text_token": "a row is one clip, so its text is not divided among videos",
}
"""By parameter of any operator: why it does nothing here."""

OF_ONE: Mapping[tuple[str, str], str] = {
    ("video_motion_score_filter", "optical_flow_key"): "flow fields are not kept",
}
"""Likewise, by operator and parameter that only it has."""

UNLESS_NULL: Mapping[tuple[str, str], str] = {
    ("video_motion_score_filter", "frame_field"): "a clip has a video, which is what is measured",
    ("video_motion_score_filter", "original_fps"): "a clip has a video, which has its frame rate",
}
"""Likewise, but only null does nothing: any other value asks for something that is not done."""


def why_idle(operator: str, parameter: str, value: Any) -> str | None:
    """Why a parameter of Data-Juicer's does nothing here; None: it is none of those."""
    one = (operator, parameter)
    if value is None and one in UNLESS_NULL:
        return UNLESS_NULL[one]
    return OF_ONE.get(one) or EVERYWHERE.get(parameter)


def remark(operator: str, parameter: str, why: str) -> str:
    """The line that says so."""
    return f"{operator}: {parameter} does nothing here: {why}"
