"""Feeding operators: clips made of known rows, frames, packets and sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import pytest

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import Frame, HeaderOnly, Observer
from dj_ops_lib.operator import Operator
from dj_ops_lib.recipe_file import make_operator


def a_clip(**columns: Any) -> Clip:
    """A clip of ten seconds at 25 frames a second, unless said otherwise."""
    row = {"width": 64, "height": 48, "fps": 25.0, "duration_s": 10.0, "num_frames": 250}
    return Clip("c", "test", "000", **(row | columns))


def feed_frames(operator: Operator, images: Iterable[np.ndarray], clip: Clip | None = None) -> Any:
    """The operator's result for these pictures, 25 a second, read-only as from the decoder."""
    images = list(images)
    clip = clip or a_clip(duration_s=len(images) / 25, num_frames=len(images))
    observer: Observer = operator.observe(clip)
    for index, image in enumerate(images):
        picture = np.array(image, np.uint8)
        picture.flags.writeable = False
        pts_s = (clip.start_s or 0.0) + index / 25
        observer.frame(Frame(picture, index / 25, pts_s, index, index == 0))
    return observer.result()


def is_kept(operator: Any, columns: Sequence[dict[str, Any]] | dict[str, Any]) -> list[bool]:
    """What the filter decides about rows with these columns."""
    rows = [columns] if isinstance(columns, dict) else list(columns)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.select(operator.keep().alias("keep"))["keep"].to_list()


@pytest.fixture(scope="session")
def op() -> Callable[..., Any]:
    """Make an operator: op("name", parameter=value)."""
    return lambda name, **parameters: make_operator(name, parameters)


@pytest.fixture(scope="session")
def clip() -> Callable[..., Clip]:
    """Make a clip: clip(column=value)."""
    return a_clip


@pytest.fixture(scope="session")
def feed() -> Callable[..., Any]:
    """Feed frames: feed(operator, images, clip=None)."""
    return feed_frames


@pytest.fixture(scope="session")
def kept() -> Callable[..., list[bool]]:
    """Decide: kept(filter, columns of a row, or of rows)."""
    return is_kept


def save_video(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    fps: int = 25,
    gop: int = 12,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    sample_aspect_ratio: Fraction | None = None,
    times_s: Sequence[float] | None = None,
    sound: np.ndarray | None = None,
    **options: str,
) -> Path:
    """Encode BGR pictures, and float stereo samples at 48 kHz if given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = gop
        fast = {"crf": "18", "preset": "ultrafast", "threads": "1", "sc_threshold": "0"}
        stream.options = (fast if codec == "libx264" else {}) | options
        voice = container.add_stream("aac", rate=48_000) if sound is not None else None
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
                if sample_aspect_ratio is not None:
                    stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")
            time_s = times_s[index] if times_s is not None else index / fps
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None and sound is not None:
            for start in range(0, sound.shape[1], 1024):
                block = np.ascontiguousarray(sound[:, start : start + 1024], np.float32)
                frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                frame.sample_rate, frame.pts = 48_000, start
                frame.time_base = Fraction(1, 48_000)
                container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
    return path


def clip_of(path: Path, **columns: Any) -> Clip:
    """The clip of a whole file, or of the span given as start_s and end_s."""
    header = dataclasses.asdict(probe(str(path), Access((str(path.parent),))))
    if "start_s" in columns:
        header["duration_s"] = columns["end_s"] - columns["start_s"]
        header["num_frames"] = None
    header["estimated_frames"] = round(header["duration_s"] * header["fps"])
    return Clip("c", "test", "000", video_uri=str(path), **(header | columns))


def look(operator: Operator, clip: Clip) -> Any:
    """What the operator finds in real bytes."""
    if isinstance(operator.needs(), HeaderOnly):
        return operator.measure(clip)  # type: ignore[attr-defined]
    observer = operator.observe(clip)
    access = Access((str(Path(str(clip.video_uri)).parent),))
    decode(clip, [(operator.needs(), observer)], access)
    return observer.result()


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Encode a file: write_video(path, images, ...)."""
    return save_video


@pytest.fixture(scope="session")
def file_clip() -> Callable[..., Clip]:
    """Probe a file: file_clip(path, start_s=..., end_s=..., edits=...)."""
    return clip_of


@pytest.fixture(scope="session")
def watch() -> Callable[..., Any]:
    """Decode a clip for one operator: watch(operator, clip)."""
    return look
