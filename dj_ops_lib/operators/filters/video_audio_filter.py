"""Filter by sound."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.needs import Audio, Observer
from dj_ops_lib.operator import Column, Columns, Filter, parameter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RATE = 48_000
"""The sample rate that EBU R 128 is defined for."""

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Usual channel layout by number of channels."""


class VideoAudioFilter(Filter):
    """Keeps clips that have sound, enough of it, and of a usual loudness.

    Loudness is the integrated loudness of EBU R 128; silence is below `silence_level` for at
    least `silence_duration`. Without sound both are null, and `require_audio` alone decides.

    Source: FFmpeg's ebur128 and silencedetect filters, run on the decoded samples.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_has_audio", pa.bool_(), "whether there is sound"),
        Column("video_silence_ratio", pa.float64(), "share of the time that is silent", plot=True),
        Column("video_loudness", pa.float64(), "integrated loudness", "LUFS", plot=True),
    )

    require_audio: bool = parameter(True, "reject clips without sound", decides=True)
    min_silence_ratio: float = parameter(0, "smallest silent share kept", decides=True)
    max_silence_ratio: float = parameter(0.9, "largest silent share kept", decides=True)
    min_loudness: float = parameter(-70, "lowest loudness kept", unit="LUFS", decides=True)
    max_loudness: float = parameter(0, "highest loudness kept", unit="LUFS", decides=True)
    silence_level: float = parameter(
        -60, "level below which it is silent", unit="dBFS", lt=0, ge=-200
    )
    silence_duration: float = parameter(
        0.5, "shortest silence counted", unit="s", ge=0.001, le=86400
    )

    def needs(self) -> Audio:
        """All channels at the standard's rate."""
        return Audio(rate=RATE, mono=False)

    def observe(self, clip: Clip) -> Observer:
        """Run the two filters over the samples."""
        return _Sound(self)

    def keep(self) -> pl.Expr:
        """Sound in range, or none if that is allowed."""
        silence = self.in_range(
            pl.col("video_silence_ratio"), self.min_silence_ratio, self.max_silence_ratio
        )
        loudness = self.in_range(pl.col("video_loudness"), self.min_loudness, self.max_loudness)
        without = pl.lit(not self.require_audio)
        kept = pl.when("video_has_audio").then(silence & loudness).otherwise(without)
        return self.reversible(kept)

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """The limits by column."""
        return {
            "video_silence_ratio": (self.min_silence_ratio, self.max_silence_ratio),
            "video_loudness": (self.min_loudness, self.max_loudness),
        }


class _Sound(Observer):
    def __init__(self, operator: VideoAudioFilter) -> None:
        self._operator = operator
        self._graph: Any = None
        self._source: Any = None
        self._sink: Any = None
        self._layout = ""
        self._samples = 0
        self._silent_s = 0.0
        self._silent_since: float | None = None
        self._loudness: float | None = None

    def _open(self, channels: int) -> None:
        import av.filter

        o = self._operator
        self._layout = LAYOUTS.get(channels, f"{channels} channels")
        self._graph = av.filter.Graph()
        self._source = self._graph.add_abuffer(
            sample_rate=RATE, format="fltp", layout=self._layout, time_base=Fraction(1, RATE)
        )
        silence = self._graph.add(
            "silencedetect", noise=f"{o.silence_level}dB", duration=str(o.silence_duration)
        )
        loudness = self._graph.add("ebur128", metadata="1", framelog="quiet")
        self._sink = self._graph.add("abuffersink")
        self._graph.link_nodes(self._source, silence, loudness, self._sink).configure()

    def audio(self, samples: npt.NDArray[np.float32]) -> None:
        import av
        import numpy as np

        if not samples.size:
            return
        if self._graph is None:
            self._open(samples.shape[0])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", self._layout)
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = self._samples
        self._samples += samples.shape[1]
        self._source.push(frame)
        self._drain()

    def _drain(self) -> None:
        import av

        while True:
            try:
                facts = self._sink.pull().metadata
            except (av.BlockingIOError, av.EOFError):
                return
            if "lavfi.r128.I" in facts:
                self._loudness = float(facts["lavfi.r128.I"])
            if "lavfi.silence_start" in facts:
                self._silent_since = float(facts["lavfi.silence_start"])
            if "lavfi.silence_duration" in facts:
                self._silent_s += float(facts["lavfi.silence_duration"])
                self._silent_since = None

    def result(self) -> Columns:
        if not self._samples:
            names = (c.name for c in VideoAudioFilter.columns)
            return dict.fromkeys(names) | {"video_has_audio": False}
        self._source.push(None)
        self._drain()
        duration = self._samples / RATE
        if self._silent_since is not None:
            self._silent_s += duration - self._silent_since
        return {
            "video_has_audio": True,
            "video_silence_ratio": min(1.0, self._silent_s / duration),
            "video_loudness": self._loudness,
        }
