"""Filter by the share of the picture that text covers."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MissingExtraError, ModelError
from dj_ops_lib.histograms import SHARE
from dj_ops_lib.needs import Frame, Frames, Observer, Size, Uniform
from dj_ops_lib.operator import Column, Columns, Filter, Resources, parameter

MODEL = "PP-OCRv6_det_small.onnx"

LONG_EDGE = 960
"""Pixels of a frame's long edge that are looked at. RapidOCR's default enlarges the short edge to
736 instead, and then sees text in fur and stones: 27 % of twelve photographs of 320x180 were text
then and 0.6 % now, for 0.48 and 0.03 s of a core a frame, with text found as well (2026-11-22)."""

HIGHEST_LINE = 0.35
"""Height of a line of text over the frame's short edge: what is higher is texture, which is
sometimes taken for one text the size of the frame."""


class VideoOcrAreaRatioFilter(Filter):
    """Keeps clips whose pictures text covers only a small share of.

    The ratio is the area of the union of all text boxes over that of the frame, so it is never
    above 1 (Data-Juicer adds overlapping boxes up); the mean over sampled frames. The detector
    is PaddleOCR's, not EasyOCR's, and finds text in any language, so `languages_to_detect` is
    accepted and changes nothing. It looks at frames of at most 960 pixels; boxes higher than
    0.35 of the short edge are texture and do not count. Needs the extra `ocr`; its package
    carries the model.

    Source: Data-Juicer's operator of the same name; the RapidOCR package and its PP-OCRv6
    detection model.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_ocr_area_ratio", pa.float64(), "share covered by text", plot=SHARE),
    )
    version: ClassVar[str] = "2"
    resources: ClassVar[Resources] = Resources(memory_mb=1000, model=True)

    min_area_ratio: float = parameter(0, "smallest share kept", decides=True)
    max_area_ratio: float = parameter(1.0, "largest share kept", decides=True)
    frame_sample_num: int = parameter(3, "number of frames looked at", ge=1)
    languages_to_detect: str | tuple[str, ...] = parameter(
        ("ch_sim", "en"), "of Data-Juicer; text of any language is found", decides=True
    )

    @pydantic.field_validator("languages_to_detect", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @property
    def model_revision(self) -> str:
        """The model, and the package that reads its output."""
        try:
            return f"{MODEL} of rapidocr {importlib.metadata.version('rapidocr')}"
        except importlib.metadata.PackageNotFoundError:
            return MODEL

    def needs(self) -> Frames:
        """A few frames of the size that the detector looks at."""
        return Frames(Uniform(self.frame_sample_num), Size(max_long=LONG_EDGE), "bgr24")

    def observe(self, clip: Clip) -> Observer:
        """Detect text in each frame as it comes."""
        return _TextArea(text_detector())

    def keep(self) -> pl.Expr:
        """Share in range."""
        value = pl.col("video_ocr_area_ratio")
        return self.reversible(self.in_range(value, self.min_area_ratio, self.max_area_ratio))

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits."""
        return {"video_ocr_area_ratio": (self.min_area_ratio, self.max_area_ratio)}


@functools.cache
def text_detector() -> Any:
    """The detector, loaded once a process; never downloads.

    Raises:
        MissingExtraError: The package is not installed.
        ModelError: The package came without its model.
    """
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None or importlib.util.find_spec("onnxruntime") is None:
        raise MissingExtraError("video_ocr_area_ratio_filter", "ocr")
    model = Path(spec.origin).parent / "models" / MODEL
    if not model.is_file():
        raise ModelError(f"{model} is missing; reinstall the package: pip install rapidocr")
    from rapidocr import RapidOCR

    threads = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,
            "Global.use_rec": False,
            "Det.model_path": str(model),
            "Det.limit_type": "max",
            "Det.limit_side_len": LONG_EDGE,
            f"{threads}.intra_op_num_threads": 1,
            f"{threads}.inter_op_num_threads": 1,
        }
    )


class _TextArea(Observer):
    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._total = 0.0
        self._frames = 0

    def frame(self, frame: Frame) -> None:
        import cv2
        import numpy as np

        found = self._detector(frame.image.copy(), use_det=True, use_cls=False, use_rec=False)
        covered = np.zeros(frame.image.shape[:2], np.uint8)
        for corners in found.boxes if found.boxes is not None else ():
            _, edges, _ = cv2.minAreaRect(corners.astype(np.float32))
            if min(edges) > HIGHEST_LINE * min(covered.shape):
                continue
            # A box from pixel 10 to pixel 20 covers 10 pixels, but fillPoly includes its last.
            inside = np.where(corners > corners.mean(axis=0), corners - 1, corners)
            cv2.fillPoly(covered, [np.round(inside).astype(np.int32)], [1])
        self._total += float(covered.mean())
        self._frames += 1

    def result(self) -> Columns:
        return {"video_ocr_area_ratio": self._total / self._frames if self._frames else None}
