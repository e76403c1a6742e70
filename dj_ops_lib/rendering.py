"""How clips become files: what a recipe's `render:` may say, the files' names, the columns added.

Here, below recipes, media and warehouse alike, because recipes check it, media
obeys it, and the warehouse finds files by name. Not here: rendering
(`media/render.py`) and the stage (`engine/rendering.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pyarrow as pa
import pydantic

from dj_ops_lib.clip import digest
from dj_ops_lib.operator import Column

RENDERED = "rendered"
"""Name of the stage, and of its table."""

RENDERED_COLUMNS = (
    Column("rendered_uri", pa.string(), "path of the clip's own file"),
    Column("rendered_bytes", pa.int64(), "size of the clip's own file in bytes"),
)

SCRATCH = ".rendering"
"""Folder beside the files for what is being made; folders in it are named by signature, too."""

_Word = Annotated[str, pydantic.Field(min_length=1)]


class Rendering(pydantic.BaseModel):
    """How clips become files.

    Attributes:
        cut: `exact` encodes where a copy would not be exact; `copy` begins at the key frame
            before the clip instead, if nothing was edited and the pictures are plain as they are.
        pictures: `plain`: upright, square pixels, progressive, of standard dynamic range, in all
            files. `as_stored`: turned, oblong, interlaced, HDR and labelled so, as the video's
            are, but for clips whose pictures were edited; no two files need be alike.
        video_codec: Encoder, as ffmpeg names it.
        preset: Its preset.
        crf: Its quality, lower is better; 18 is visually lossless for x264.
        pixel_format: What it is given.
        audio_codec: Encoder of the sound.
        audio_bit_rate: Bits per second of the sound.
        threads: Encoder threads; a worker has one core.
        deadline_s: Longest that ffmpeg may run, in seconds.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True
    )

    cut: Literal["exact", "copy"] = "exact"
    pictures: Literal["plain", "as_stored"] = "plain"
    video_codec: _Word = "libx264"
    preset: _Word = "medium"
    crf: Annotated[int, pydantic.Field(ge=0, le=63)] = 18
    pixel_format: _Word = "yuv420p"
    audio_codec: _Word = "aac"
    audio_bit_rate: pydantic.PositiveInt = 128_000
    threads: pydantic.PositiveInt = 1
    deadline_s: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] = 3600.0

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults and shows in a file."""
        default = Rendering()
        return {
            k: v
            for k, v in self.model_dump().items()
            if k not in {"threads", "deadline_s"} and v != getattr(default, k)
        }

    def name(self, signature: str) -> str:
        """File name of a clip: its signature, and a mark where the defaults were changed."""
        changed = self.changed()
        return f"{signature}.{digest(changed)[:8]}.mp4" if changed else f"{signature}.mp4"


def signature_in(name: str) -> str:
    """The signature that names a rendered file, or the folder in which it is being made."""
    return name.partition(".")[0]
