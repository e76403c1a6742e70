"""Splitter at scene changes."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import pydantic

from dj_ops_lib.clip import Clip, Span
from dj_ops_lib.needs import EVERY_SMALL, Every, Frame, Frames, Observer, Size
from dj_ops_lib.operator import Splitter, parameter

DETECTOR_PARAMETERS = {
    "ContentDetector": ("weights", "luma_only", "kernel_size"),
    "AdaptiveDetector": (
        *("window_width", "min_content_val", "weights", "luma_only", "kernel_size"),
    ),
    "ThresholdDetector": ("fade_bias", "add_final_scene", "method"),
    "histogram": ("bins",),
}
"""The parameters that only some detectors take, by detector."""

EVERY_AS_LIBRARY = Frames(Every(), Size(max_long=256, nearest=True), "bgr24", "linear")
"""Frames as `scene_manager` scales them: OpenCV's linear scaling of the converted picture."""

LARGEST_WEIGHT = 1000
"""Only the ratio of weights matters."""


class VideoSplitBySceneMapper(Splitter):
    """Cuts a clip at its scene changes, exact to the frame.

    PySceneDetect's detectors are fed from the stage's own single decode, on frames scaled to
    256 pixels by averaging, which other operators share; the library takes single pixels, so that
    scores differ and cuts near the threshold may (`library_scaling` gives its scores). Without
    `threshold` each detector uses its natural one (ContentDetector 27, AdaptiveDetector 3,
    ThresholdDetector 12, histogram 0.2); Data-Juicer uses 27 for all. A
    failure is the row's error, where Data-Juicer writes a path that does not exist. `weights`
    and `method` work, where Data-Juicer fails on any; its pieces have a constant frame rate.
    Parameters of another detector are refused, where Data-Juicer ignores them. `histogram`
    (PySceneDetect's HistogramDetector, for fades) and `verify` are additions.

    Source: Data-Juicer's operator of the same name; PySceneDetect 0.7.
    """

    detector: Literal["ContentDetector", "AdaptiveDetector", "ThresholdDetector", "histogram"] = (
        parameter("ContentDetector", "how scene changes are found")
    )
    threshold: float | None = parameter(
        None, "score from which a frame is a scene change; default: the detector's own", ge=0
    )
    min_scene_len: int = parameter(15, "shortest scene", unit="frames", ge=0)
    show_progress: bool = parameter(
        False, "of Data-Juicer, for its progress bar; no effect", decides=True
    )
    verify: bool = parameter(False, "cut also where a detector of another kind sees a change")
    weights: tuple[float, float, float, float] | None = parameter(
        None, "Content, Adaptive: weights of hue, saturation, luma and edges"
    )
    luma_only: bool | None = parameter(None, "Content, Adaptive: look at brightness only")
    kernel_size: int | None = parameter(
        None, "Content, Adaptive: odd size of the kernel that widens edges", unit="px", ge=3
    )
    window_width: int | None = parameter(
        None, "Adaptive: frames on each side that a frame is compared with", unit="frames", ge=1
    )
    min_content_val: float | None = parameter(
        None, "Adaptive: content score that a scene change has at least", ge=0
    )
    fade_bias: float | None = parameter(
        None, "Threshold: where in the black a cut is put, -1 its start, 1 its end", ge=-1, le=1
    )
    add_final_scene: bool | None = parameter(
        None, "Threshold: cut where the clip fades out at its end"
    )
    method: Literal["FLOOR", "CEILING"] | None = parameter(
        None, "Threshold: whether scenes are brighter or darker than the threshold"
    )
    library_scaling: bool = parameter(
        False, "scale frames as PySceneDetect does, for its very scores; another scaling a frame"
    )
    bins: int | None = parameter(None, "histogram: number of bins", ge=2, le=256)

    @pydantic.field_validator("weights", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.model_validator(mode="after")
    def _parameters_fit(self) -> VideoSplitBySceneMapper:
        allowed = DETECTOR_PARAMETERS[self.detector]
        for name in {n for names in DETECTOR_PARAMETERS.values() for n in names}:
            if getattr(self, name) is not None and name not in allowed:
                raise ValueError(f"'{name}' is not a parameter of {self.detector}")
        if self.kernel_size is not None and self.kernel_size % 2 == 0:
            raise ValueError("kernel_size must be odd")
        if self.weights is not None and not 0 < max(self.weights) <= LARGEST_WEIGHT:
            raise ValueError(f"weights are at most {LARGEST_WEIGHT}, and one is above 0")
        if self.weights is not None and min(self.weights) < 0:
            raise ValueError("weights must not be negative")
        return self

    def needs(self) -> Frames:
        """Every frame, small: the picture that others look at, too, or the library's own."""
        return EVERY_AS_LIBRARY if self.library_scaling else EVERY_SMALL

    def observe(self, clip: Clip) -> Observer:
        """Run the detector over the frames as they come."""
        verifier = _verifier(self.detector, self.min_scene_len) if self.verify else None
        return _SceneCuts(clip, _detector(self), verifier, self.min_scene_len)


def _detector(operator: VideoSplitBySceneMapper) -> Any:
    """PySceneDetect's detector with the operator's parameters, its own defaults elsewhere."""
    import scenedetect

    given = {n: getattr(operator, n) for n in DETECTOR_PARAMETERS[operator.detector]}
    arguments: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if "weights" in arguments:
        weights = arguments["weights"]
        arguments["weights"] = scenedetect.ContentDetector.Components(*weights)
    if "method" in arguments:
        arguments["method"] = scenedetect.ThresholdDetector.Method[arguments["method"]]
    if operator.threshold is not None:
        name = "adaptive_threshold" if operator.detector == "AdaptiveDetector" else "threshold"
        arguments[name] = operator.threshold
    name = "HistogramDetector" if operator.detector == "histogram" else operator.detector
    return getattr(scenedetect, name)(min_scene_len=operator.min_scene_len, **arguments)


def _verifier(detector: str, min_scene_len: int) -> Any:
    """The second opinion: a detector that looks at something else than the first."""
    import scenedetect

    if detector == "AdaptiveDetector":
        return scenedetect.HistogramDetector(min_scene_len=min_scene_len)
    return scenedetect.AdaptiveDetector(min_scene_len=min_scene_len)


class _SceneCuts(Observer):
    def __init__(self, clip: Clip, detector: Any, verifier: Any, min_scene_len: int) -> None:
        from scenedetect import FrameTimecode

        self._clip = clip
        self._detectors = [d for d in (detector, verifier) if d is not None]
        self._cuts: list[list[int]] = [[] for _ in self._detectors]
        self._min_scene_len = min_scene_len
        self._times = array("d")
        # Detectors count frames, and frame numbers are mapped back to the frames' own times, so
        # the rate is nominal and a variable frame rate is cut at the right frame, too.
        self._zero = FrameTimecode(0, fps=25.0)

    def frame(self, frame: Frame) -> None:
        now = self._zero + len(self._times)
        self._times.append(frame.pts_s)
        for detector, cuts in zip(self._detectors, self._cuts, strict=True):
            cuts += [c.frame_num for c in detector.process_frame(now, frame.image)]

    def result(self) -> Sequence[Span]:
        whole = self._clip.span
        if not self._times:
            return [whole]
        last = self._zero + (len(self._times) - 1)
        for detector, cuts in zip(self._detectors, self._cuts, strict=True):
            cuts += [c.frame_num for c in detector.post_process(last)]
        first, *others = self._cuts
        found = sorted({c for c in first if 0 < c < len(self._times)})
        for cut in sorted({c for cuts in others for c in cuts}):
            edges = [0, *found, len(self._times)]
            if all(abs(cut - e) >= max(self._min_scene_len, 1) for e in edges):
                found = sorted([*found, cut])
        bounds = [whole.start_s]
        for time_s in (self._times[c] for c in found):
            if bounds[-1] < time_s < whole.end_s:  # timestamps of a broken file may go back
                bounds.append(time_s)
        return [Span(a, b) for a, b in itertools.pairwise([*bounds, whole.end_s])]
