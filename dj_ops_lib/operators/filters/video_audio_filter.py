"""Filter by sound."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.histograms import SHARE, Edges
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

    Loudness is the integrated loudness of EBU R 128; silence is below `silence_level` in all
    channels for at least `silence_duration`, as FFmpeg's silencedetect counts it, and whatever
    of the clip comes before its sound begins or after it ends. Without sound both are null, and
    `require_audio` alone decides.

    Source: FFmpeg's ebur128, run on the decoded samples, and the definition of its silencedetect.
    """

    version: ClassVar[str] = "2"

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_has_audio", pa.bool_(), "whether there is sound"),
        Column("video_silence_ratio", pa.float64(), "share of the time that is silent", plot=SHARE),
        # BS.1770 counts nothing below -70 LUFS; delivery norms are -14 to -31.
        Column(
            "video_loudness",
            pa.float64(),
            "integrated loudness",
            "LUFS",
            plot=Edges.linear(-70, 0, 35),
        ),
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
        """Measure loudness and silences as the samples come."""
        return _Sound(self, clip)

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
    def __init__(self, operator: VideoAudioFilter, clip: Clip) -> None:
        self._length = round((clip.duration_s or 0.0) * RATE)
        self._silences = _Silences(operator.silence_level, operator.silence_duration)
        self._loudness: _Loudness | None = None

    def audio(self, samples: npt.NDArray[np.float32]) -> None:
        if not samples.size:
            return
        if self._loudness is None:
            self._loudness = _Loudness(samples.shape[0])
        self._loudness.take(samples)
        self._silences.take(samples)

    def result(self) -> Columns:
        if self._loudness is None:
            names = (c.name for c in VideoAudioFilter.columns)
            return dict.fromkeys(names) | {"video_has_audio": False}
        return {
            "video_has_audio": True,
            "video_silence_ratio": self._silences.share(self._length),
            "video_loudness": self._loudness.result(),
        }


class _Silences:
    """The samples between loud ones, counted where there are enough of them in a row.

    Counted here, as silencedetect does: its own findings are metadata of the frame that they
    end in, and 160 of 200 silences were lost or misplaced by the filters and frames after it
    (2026-11-25).
    """

    def __init__(self, level: float, duration: float) -> None:
        self._level = 10 ** (level / 20)
        self._shortest = max(1, round(duration * RATE))
        self._position = 0
        self._last_loud = -1
        self._silent = 0

    def take(self, samples: npt.NDArray[np.float32]) -> None:
        """The next samples: (channels, n); silent where no channel reaches the level."""
        import numpy as np

        loud = np.flatnonzero((np.abs(samples) >= self._level).any(axis=0))
        if loud.size:
            at = np.concatenate([[self._last_loud], loud + self._position])
            gaps = np.diff(at) - 1
            self._silent += int(gaps[gaps >= self._shortest].sum())
            self._last_loud = int(at[-1])
        self._position += samples.shape[1]

    def share(self, length: int) -> float:
        """The silent share of a clip of `length` samples, or of as many as came if more did."""
        length = max(length, self._position)
        rest = length - self._last_loud - 1
        return (self._silent + (rest if rest >= self._shortest else 0)) / length


class _Loudness:
    """EBU R 128 by FFmpeg's ebur128."""

    def __init__(self, channels: int) -> None:
        import av.filter

        self._layout = LAYOUTS.get(channels, f"{channels} channels")
        self._samples = 0
        self._integrated: float | None = None
        graph: Any = av.filter.Graph()
        self._source = graph.add_abuffer(
            sample_rate=RATE, format="fltp", layout=self._layout, time_base=Fraction(1, RATE)
        )
        loudness = graph.add("ebur128", metadata="1", framelog="quiet")
        self._sink = graph.add("abuffersink")
        graph.link_nodes(self._source, loudness, self._sink).configure()
        self._graph = graph

    def take(self, samples: npt.NDArray[np.float32]) -> None:
        """The next samples: (channels, n)."""
        import av
        import numpy as np

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
                self._integrated = float(facts["lavfi.r128.I"])

    def result(self) -> float | None:
        """Integrated loudness in LUFS; None where too little came to tell."""
        self._source.push(None)
        self._drain()
        return self._integrated
