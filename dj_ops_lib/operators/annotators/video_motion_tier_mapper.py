"""Annotator: what kind of motion a clip has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import Edges
from dj_ops_lib.needs import Fps, Frame, Frames, Observer, Size
from dj_ops_lib.operator import Annotator, Column, Columns, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GRID_PX = 4
"""Flow is looked at every this many pixels: a tenth of the time, the same means."""

CONSENSUS_PX = 0.5
"""Farthest that a point may lie from the camera's motion and count as moved by the camera."""


class VideoMotionTierMapper(Annotator):
    """Labels a clip by its motion.

    The labels, the first that fits: `static`; `shaky` (the camera's motion changes from sample
    to sample); `camera-driven` (one affine motion of the whole frame explains most of it); then
    by the speed of what moves against that: `tiny`, `medium`, `strong`. Speeds are means over
    the frame, in frame diagonals a second. A clip of one frame has no label.

    Source: this project. Motion is DIS optical flow on small frames; the camera's is an affine
    fit by RANSAC to it (M. A. Fischler and R. C. Bolles, CACM 1981, as in OpenCV).
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_motion_tier", pa.string(), "kind of motion"),
        # From a tenth of a pixel of a small frame to ten diagonals a second, eight bins a decade.
        Column(
            "video_motion_speed",
            pa.float64(),
            "mean speed",
            "diagonal/s",
            plot=Edges.log(1e-4, 10, 40),
        ),
        Column("video_motion_variance", pa.float64(), "variance of the speed over the frame"),
        Column("video_motion_camera", pa.float64(), "mean speed of the affine fit", "diagonal/s"),
        Column("video_motion_residual", pa.float64(), "mean speed against it", "diagonal/s"),
        Column("video_motion_jitter", pa.float64(), "change of the camera's speed", "diagonal/s"),
    )

    sampling_fps: float = parameter(8, "frames compared a second", unit="1/s", gt=0)
    static_speed: float = parameter(0.002, "static below this", unit="diagonal/s", ge=0)
    shaky_speed: float = parameter(
        0.02, "shaky from this change of the camera's speed on", unit="diagonal/s", ge=0
    )
    shaky_share: float = parameter(
        0.7, "shaky from this change, as a share of the camera's speed, on", ge=0
    )
    camera_share: float = parameter(
        0.7, "camera-driven where the affine fit explains this share of the speed", ge=0, le=1
    )
    tiny_speed: float = parameter(0.01, "tiny below this residual speed", unit="diagonal/s", ge=0)
    strong_speed: float = parameter(
        0.06, "strong from this residual speed on", unit="diagonal/s", ge=0
    )

    def needs(self) -> Frames:
        """Sampled frames in the size that other operators look at."""
        return Frames(Fps(self.sampling_fps), Size(max_long=256), "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Split the flow between sampled frames into the camera's and the rest."""
        return _Motion(self)

    def tier(self, speed: float, camera: float, residual: float, jitter: float) -> str:
        """The label for these statistics."""
        if speed < self.static_speed:
            return "static"
        if jitter >= max(self.shaky_speed, self.shaky_share * camera):
            return "shaky"
        if residual <= (1 - self.camera_share) * speed:
            return "camera-driven"
        if residual < self.tiny_speed:
            return "tiny"
        return "medium" if residual < self.strong_speed else "strong"


class _Motion(Observer):
    def __init__(self, operator: VideoMotionTierMapper) -> None:
        from dj_ops_lib.media.optical_flow import DisFlow

        self._operator = operator
        self._flow = DisFlow()
        self._previous: npt.NDArray[np.uint8] | None = None
        self._time_s = 0.0
        self._sums = [0.0] * 4
        self._pairs = 0
        self._turn = 0.0
        self._turns = 0
        self._centre: tuple[float, float] | None = None

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        gray = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
        elapsed = frame.time_s - self._time_s
        if self._previous is not None and elapsed > 0:
            self._compare(self._flow(self._previous, gray), elapsed)
        self._previous, self._time_s = gray, frame.time_s

    def _compare(self, flow: npt.NDArray[np.float32], elapsed: float) -> None:
        import numpy as np

        height, width = flow.shape[:2]
        scale = 1 / (math.hypot(height, width) * elapsed)
        y, x = np.mgrid[0:height:GRID_PX, 0:width:GRID_PX]
        points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
        moved = flow[::GRID_PX, ::GRID_PX].reshape(-1, 2).astype(np.float64)
        camera, centre = _camera_motion(points, moved, (width / 2, height / 2))
        lengths = np.hypot(*moved.T) * scale
        of_pair = (
            lengths.mean(),
            lengths.var(),
            np.hypot(*camera.T).mean() * scale,
            np.hypot(*(moved - camera).T).mean() * scale,
        )
        self._sums = [total + float(one) for total, one in zip(self._sums, of_pair, strict=True)]
        self._pairs += 1
        now = (centre[0] * scale, centre[1] * scale)
        if self._centre is not None:
            self._turn += math.dist(now, self._centre)
            self._turns += 1
        self._centre = now

    def result(self) -> Columns:
        names = [c.name for c in VideoMotionTierMapper.columns]
        if not self._pairs:
            return dict.fromkeys(names)
        speed, variance, camera, residual = (total / self._pairs for total in self._sums)
        jitter = self._turn / self._turns if self._turns else 0.0
        tier = self._operator.tier(speed, camera, residual, jitter)
        values = (tier, speed, variance, camera, residual, jitter)
        return dict(zip(names, values, strict=True))


def _camera_motion(
    points: npt.NDArray[np.float64], moved: npt.NDArray[np.float64], middle: tuple[float, float]
) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    """The affine motion that most points agree on: at each point, and in the middle."""
    import cv2
    import numpy as np

    affine: Any = None
    if len(points) >= 3:
        affine, _ = cv2.estimateAffine2D(
            points, points + moved, method=cv2.RANSAC, ransacReprojThreshold=CONSENSUS_PX
        )
    if affine is None:  # too few points, or nothing that they agree on
        shift = np.median(moved, axis=0)
        return np.broadcast_to(shift, moved.shape), (float(shift[0]), float(shift[1]))
    camera = points @ affine[:, :2].T + affine[:, 2] - points
    centre = affine[:, :2] @ np.array(middle) + affine[:, 2] - np.array(middle)
    return camera, (float(centre[0]), float(centre[1]))
