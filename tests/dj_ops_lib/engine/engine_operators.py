"""Operators that misbehave, or that tell how often they were asked; for tests of the engine.

A module of its own, because worker processes import operators by name.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip, Edit, Span
from dj_ops_lib.errors import MissingExtraError
from dj_ops_lib.histograms import SECONDS, Edges
from dj_ops_lib.needs import Every, Frame, Frames, Need, Observer, Size, Uniform
from dj_ops_lib.operator import (
    Annotator,
    Column,
    Columns,
    Editor,
    EditResult,
    Filter,
    Splitter,
    parameter,
)

SMALL = Size(exact=(16, 16))


def note(log: str, line: str) -> None:
    """Append one line; O_APPEND keeps lines of several processes whole."""
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def noted(log: str | Path) -> list[str]:
    """The lines noted so far."""
    path = Path(log)
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def loaded_packages() -> list[str]:
    """Top-level packages that this process has imported."""
    return sorted({name.partition(".")[0] for name in sys.modules})


class _Brightness(Observer):
    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def frame(self, frame: Frame) -> None:
        self.sum += float(frame.image.mean())
        self.count += 1

    def result(self) -> Any:
        return {"brightness": self.sum / max(1, self.count), "frames_seen": self.count}


class BrightnessFilter(Filter):
    """Mean luma over all frames; notes every clip that it is shown."""

    name: ClassVar[str] = "brightness_filter"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("brightness", pa.float64(), "mean luma", plot=Edges.linear(0, 256, 64)),
        Column("frames_seen", pa.int64(), "frames decoded"),
    )
    log: str = ""
    least: float = parameter(0.0, "darkest kept", decides=True)
    gain: float = 1.0

    def needs(self) -> Need:
        return Frames(Every(), SMALL, "gray")

    def observe(self, clip: Clip) -> Observer:
        note(self.log, clip.source_id or "")
        return _Brightness()

    def keep(self) -> pl.Expr:
        return pl.col("brightness") >= self.least

    def thresholds(self) -> dict[str, tuple[float | None, float | None]]:
        return {"brightness": (self.least, None)}


class _Middle(Observer):
    value: float | None = None

    def frame(self, frame: Frame) -> None:
        self.value = float(frame.image.mean())

    def result(self) -> Any:
        return {"middle": self.value}


class MiddleFilter(Filter):
    """Luma of the middle frame."""

    name: ClassVar[str] = "middle_filter"
    columns: ClassVar[tuple[Column, ...]] = (Column("middle", pa.float64(), "middle luma"),)
    log: str = ""
    most: float = parameter(255.0, "brightest kept", decides=True)
    gain: float = 1.0

    def needs(self) -> Need:
        return Frames(Uniform(1), SMALL, "gray")

    def observe(self, clip: Clip) -> Observer:
        note(self.log, clip.source_id or "")
        return _Middle()

    def keep(self) -> pl.Expr:
        return pl.col("middle") <= self.most


class LengthFilter(Filter):
    """Duration, from the row."""

    name: ClassVar[str] = "length_filter"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("length", pa.float64(), "duration", "s", plot=SECONDS),
    )
    least: float = parameter(0.0, "shortest kept", decides=True)

    def measure(self, clip: Clip) -> Columns:
        return {"length": clip.duration_s}

    def keep(self) -> pl.Expr:
        return pl.col("length") >= self.least


class HalvesSplitter(Splitter):
    """Cuts at the middle, after having looked at the frames."""

    name: ClassVar[str] = "halves_mapper"
    log: str = ""
    keep_original_sample: bool = False
    none_below: float = 0.0
    shift: float = 0.0

    def needs(self) -> Need:
        return Frames(Uniform(1), SMALL, "gray")

    def observe(self, clip: Clip) -> Observer:
        note(self.log, clip.source_id or "")
        return _Halves(self, clip)

    @property
    def keeps_original(self) -> bool:
        return self.keep_original_sample


class _Halves(Observer):
    def __init__(self, operator: HalvesSplitter, clip: Clip) -> None:
        self.operator, self.clip = operator, clip

    def result(self) -> Sequence[Span]:
        span = self.clip.span
        if span.end_s - span.start_s < self.operator.none_below:
            return []
        middle = (span.start_s + span.end_s) / 2 + self.operator.shift
        return [Span(span.start_s, middle), Span(middle, span.end_s)]


class PiecesSplitter(Splitter):
    """Cuts into pieces of a length, from the row."""

    name: ClassVar[str] = "pieces_mapper"
    length: float = 10.0

    def measure(self, clip: Clip) -> Sequence[Span]:
        spans, start, end = [], clip.span.start_s, clip.span.end_s
        while start < end - 1e-6:
            spans.append(Span(start, min(end, start + self.length)))
            start += self.length
        return spans


class ShrinkEditor(Editor):
    """Scales to half the size."""

    name: ClassVar[str] = "shrink_mapper"
    columns: ClassVar[tuple[Column, ...]] = (Column("shrunk_from", pa.int32(), "width before"),)

    def measure(self, clip: Clip) -> EditResult:
        width, height = (clip.width or 0) // 2, (clip.height or 0) // 2
        edit = Edit("scale", (("w", str(width)), ("h", str(height))))
        return EditResult((edit,), width, height, {"shrunk_from": clip.width})


class WordsAnnotator(Annotator):
    """Counts the words of the text: reads a column that the signature does not cover."""

    name: ClassVar[str] = "words_mapper"
    columns: ClassVar[tuple[Column, ...]] = (Column("words", pa.int64(), "number of words"),)
    reads: ClassVar[tuple[str, ...]] = ("text",)

    def measure(self, clip: Clip) -> Any:
        return {"words": len((clip.text or "").split())}


class _Flow(Observer):
    def __init__(self) -> None:
        import cv2

        self.flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.before: Any = None
        self.frames = 0

    def frame(self, frame: Frame) -> None:
        if self.before is not None:
            self.flow.calc(self.before, frame.image, None)
        self.before = frame.image.copy()
        self.frames += 1

    def result(self) -> Any:
        return {"flow_frames": self.frames}


class FlowFilter(Filter):
    """DIS optical flow, asked of OpenCV without a look at the picture's shape."""

    name: ClassVar[str] = "flow_filter"
    columns: ClassVar[tuple[Column, ...]] = (Column("flow_frames", pa.int64(), "frames"),)

    def needs(self) -> Need:
        return Frames(Every(), Size(), "gray")

    def observe(self, clip: Clip) -> Observer:
        return _Flow()

    def keep(self) -> pl.Expr:
        return pl.col("flow_frames") > 0


class _Trouble(Observer):
    def __init__(self, operator: TroubleFilter, clip: Clip) -> None:
        self.operator, self.clip = operator, clip

    def frame(self, frame: Frame) -> None:
        kind = self.operator.victims.get(self.clip.source_id or "")
        note(self.operator.log, self.clip.source_id or "")
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "hang":
            time.sleep(3600)
        elif kind == "bomb":
            blocks = []
            while True:
                blocks.append(bytearray(64 * 2**20))
        elif kind == "extra":
            raise MissingExtraError("trouble", "models")
        elif kind == "raise":
            raise ValueError("no such luck")

    def result(self) -> Any:
        return {"trouble": 0}


class TroubleFilter(Filter):
    """Crashes, hangs, allocates without end or raises on chosen clips."""

    name: ClassVar[str] = "trouble_filter"
    columns: ClassVar[tuple[Column, ...]] = (Column("trouble", pa.int64(), "nothing"),)
    victims: dict[str, str]
    log: str = ""

    def needs(self) -> Need:
        return Frames(Uniform(1), SMALL, "gray")

    def observe(self, clip: Clip) -> Observer:
        return _Trouble(self, clip)

    def keep(self) -> pl.Expr:
        return pl.col("trouble") == 0
