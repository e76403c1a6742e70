"""Feeding operators: clips made of known rows, frames, packets and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from dj_ops_lib.clip import Clip
from dj_ops_lib.operator import Frame, Observer, Operator
from dj_ops_lib.recipe import make_operator


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
