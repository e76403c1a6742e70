"""Pictures for the tests of editors: textures to edit, and what an edited clip shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.needs import Every, Frame, Frames, Observer


def texture(seed: int, height: int = 96, width: int = 128, sigma: float = 1.5) -> np.ndarray:
    """A smooth random texture, BGR, of 40 to 160."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
    return cv2.normalize(blurred, None, 40, 160, cv2.NORM_MINMAX)


class _Keep(Observer):
    def __init__(self) -> None:
        self.images: list[np.ndarray] = []

    def frame(self, frame: Frame) -> None:
        self.images.append(frame.image.copy())


def pictures(clip: Clip) -> list[np.ndarray]:
    """Every picture of a clip after its edits, gray."""
    seen = _Keep()
    access = Access((str(Path(str(clip.video_uri)).parent),))
    decode(clip, [(Frames(Every(), None, "gray"), seen)], access)
    return seen.images
