"""Editor: cover faces."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.media.regions import REGION
from dj_ops_lib.needs import Fps, Frame, Frames, Observer, Size
from dj_ops_lib.operator import Column, Editor, EditResult, Resources, parameter

if TYPE_CHECKING:
    from dj_ops_lib.media.faces import Box, Detector, Track

FACE = pa.struct(
    [("track", pa.int32()), ("time_s", pa.float64())]
    + [(edge, pa.int32()) for edge in ("x1", "y1", "x2", "y2")]
)

LONG_EDGE = 640
"""The detector's own input: larger pictures would only be scaled down by it."""


MOST_PLACES = 1000
"""Places of all the faces of a clip: each is 90 bytes of an argument of the ffmpeg program, which
holds 128 kB. Where there are more, several samples share a place."""

FACE_SHARE = {"gaussian": 6, "mean": 3, "box": 3, "pixelate": 5}
"""Width of a face over the radius, or block. The detector no longer finds a face of eight blocks;
people still know a face by them that they know."""


class VideoFaceBlurMapper(Editor):
    """Covers faces with a blur or a mosaic.

    Faces are found in sampled frames by a `detector` (Data-Juicer uses a Haar cascade, which
    OpenCV 5 no longer has, so `cv_classifier` must be empty, and `scaleFactor` and
    `minNeighbors` have no effect) and followed through the clip: a face that is missed for up to
    `max_gap` stays covered, as it does one sample before it is first and after it is last seen.
    The boxes are stored. Without `radius` the blur fits the size of each face, where
    Data-Juicer's 2 pixels leave large faces recognizable. Sound and all else stays, where
    Data-Juicer loses the sound. `centerface` needs the extra `faces`, whose package carries the
    model; `yunet` needs its file.

    Source: Data-Juicer's operator of the same name; `media/faces.py` for the detectors.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_face_boxes", pa.list_(FACE), "faces found, by track and time", "px"),
    )
    resources: ClassVar[Resources] = Resources(memory_mb=800, model=True)

    cv_classifier: str = parameter("", "of Data-Juicer; must be empty", decides=True)
    blur_type: Literal["gaussian", "mean", "box", "pixelate"] = parameter(
        "gaussian", "what covers the faces"
    )
    radius: float | None = parameter(
        None, "radius of the blur or size of a block; default: by the face", unit="px", ge=0
    )
    detector: Literal["centerface", "yunet"] = parameter("centerface", "who finds faces")
    detector_model: str | None = parameter(
        None,
        "the ONNX file of yunet, a path; its content is part of what is measured",
        decides=True,
    )
    threshold: float = parameter(0.4, "least confidence of a face", ge=0.05, lt=1)
    sampling_fps: float = parameter(10, "frames looked at a second", unit="1/s", gt=0)
    max_gap: float = parameter(0.5, "longest time that a face may be missed", unit="s", ge=0)
    margin: float = parameter(0.25, "growth of a box on each side, of its size", ge=0, le=2)
    minSize: tuple[int, int] | None = parameter(  # noqa: N815 - Data-Juicer's name
        None, "smallest face, width and height", unit="px"
    )
    maxSize: tuple[int, int] | None = parameter(  # noqa: N815 - Data-Juicer's name
        None, "largest face, width and height", unit="px"
    )

    scaleFactor: float = parameter(  # noqa: N815 - Data-Juicer's name
        1.1, "of Data-Juicer's cascade; no effect", decides=True
    )
    minNeighbors: int = parameter(  # noqa: N815 - Data-Juicer's name
        3, "of Data-Juicer's cascade; no effect", decides=True
    )

    @pydantic.field_validator("minSize", "maxSize", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.field_validator("cv_classifier")
    @classmethod
    def _no_cascade(cls, value: str) -> str:
        if value:
            raise ValueError(
                "must be empty: OpenCV 5 has no Haar cascades; `detector: centerface` needs no "
                "file, `detector: yunet` takes an ONNX file as `detector_model`"
            )
        return value

    @pydantic.field_validator("detector_model")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        # Workers have another working directory.
        return None if value is None else str(Path(value).expanduser().absolute())

    @pydantic.model_validator(mode="after")
    def _detector_has_its_file(self) -> VideoFaceBlurMapper:
        if self.detector == "yunet" and self.detector_model is None:
            raise ValueError("yunet needs its file: give detector_model, from opencv_zoo on GitHub")
        if self.detector != "yunet" and self.detector_model is not None:
            raise ValueError(f"{self.detector} has its own file: leave detector_model out")
        return self

    @property
    def model_revision(self) -> str:
        """The detector and the content of its file; CenterFace's has one version only."""
        if self.detector_model is None:
            return self.detector
        from dj_ops_lib.media.model_file import file_identity

        return f"{self.detector} {file_identity(self.detector_model)}"

    def needs(self) -> Frames:
        """Sampled frames, no larger than the detector's input."""
        return Frames(Fps(self.sampling_fps), Size(max_long=LONG_EDGE), "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Find faces in each sampled frame and follow them."""
        from dj_ops_lib.media.faces import DETECTORS

        return _Faces(self, clip, DETECTORS[self.detector](self.threshold, self.detector_model))


class _Faces(Observer):
    def __init__(self, operator: VideoFaceBlurMapper, clip: Clip, detect: Detector) -> None:
        from dj_ops_lib.media.faces import Tracker

        self._operator = operator
        self._size = clip.width or 0, clip.height or 0
        self._detect = detect
        self._tracker = Tracker(operator.max_gap)
        self._times: list[float] = []

    def frame(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        across, down = self._size[0] / width, self._size[1] / height
        boxes = [
            (x1 * across, y1 * down, x2 * across, y2 * down)
            for x1, y1, x2, y2 in self._detect(frame.image)
        ]
        self._tracker.add(frame.time_s, [box for box in boxes if self._fits(box)])
        self._times.append(frame.time_s)

    def _fits(self, box: Box) -> bool:
        width, height = box[2] - box[0], box[3] - box[1]
        small, large = self._operator.minSize, self._operator.maxSize
        return (small is None or (width >= small[0] and height >= small[1])) and (
            large is None or (width <= large[0] and height <= large[1])
        )

    def result(self) -> EditResult:
        edits: list[Edit] = []
        rows: list[dict[str, float]] = []
        most = max(4, MOST_PLACES // max(1, len(self._tracker.tracks)))
        for number, track in enumerate(self._tracker.tracks):
            options = self._region(track, most)
            if options:
                edits.append(Edit(REGION, tuple(options.items())))
            for time_s, box in zip(track.times, track.boxes, strict=True):
                edges = zip(("x1", "y1", "x2", "y2"), map(round, box), strict=True)
                rows.append({"track": number, "time_s": time_s, **dict(edges)})
        return EditResult(tuple(edits), *self._size, {"video_face_boxes": rows})

    def _region(self, track: Track, most: int) -> dict[str, str]:
        """The moving region that covers a track, wide enough for all of it, in `most` places."""
        o = self._operator
        step = -(-len(track.boxes) // most)
        # From a sample to the next one the face is somewhere between its two boxes.
        spots = [
            _grown(functools.reduce(_around, track.boxes[i : i + step + 1]), o.margin)
            for i in range(0, len(track.boxes), step)
        ]
        limits = tuple(edge // 2 * 2 for edge in self._size)
        wide, high = (
            min(limit, -(-int(max(s[i + 2] - s[i] for s in spots) + 2) // 2) * 2)
            for i, limit in enumerate(limits)
        )
        if wide < 2 or high < 2:
            return {}
        before = [t for t in self._times if t < track.times[0]]
        after = [t for t in self._times if t > track.times[-1]]
        starts = [before[-1] if before else 0.0, *track.times[step::step]]
        places: list[list[str]] = [[], []]
        for start, spot in zip(starts, spots, strict=True):
            for i, (edge, limit) in enumerate(zip((wide, high), limits, strict=True)):
                corner = (spot[i] + spot[i + 2] - edge) / 2
                inside = min(max(0, round(corner / 2) * 2), limit - edge)
                places[i].append(f"{start:.6f}:{inside}")
        face = max(box[2] - box[0] for box in track.boxes)
        strength = o.radius if o.radius is not None else max(2.0, face / FACE_SHARE[o.blur_type])
        options = {"w": str(wide), "h": str(high), "x": " ".join(places[0])}
        options |= {"y": " ".join(places[1]), "effect": o.blur_type, "strength": f"{strength:g}"}
        options["from"] = f"{starts[0]:.6f}"
        if len(after) > 1:
            options["to"] = f"{after[1]:.6f}"
        return options


def _around(one: Box, other: Box) -> Box:
    corners = [f(a, b) for f, a, b in zip((min, min, max, max), one, other, strict=True)]
    return (corners[0], corners[1], corners[2], corners[3])


def _grown(box: Box, share: float) -> Box:
    x, y = (box[2] - box[0]) * share, (box[3] - box[1]) * share
    return (box[0] - x, box[1] - y, box[2] + x, box[3] + y)
