"""Histograms whose edges a column declares once, so that their counts add up.

Over shards, runs, sources and versions alike: the counts of two shards, added, are those of their
rows together. Here: edges, counts, sums, and how edges travel in an Arrow field. Not here:
counting (`warehouse/counting.py`), where counts are kept (`warehouse/histograms.py`), and drawing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pyarrow as pa

_EDGES, _UNIT = b"edges", b"unit"


@dataclasses.dataclass(frozen=True, slots=True)
class Edges:
    """The bins of one statistic, and one more at either end for what lies outside.

    A bin holds its lower edge and not its upper one; the last one holds both, as in
    `numpy.histogram`.

    Attributes:
        scale: Whether the edges are evenly apart, or their logarithms are.
        low: Lowest edge, in the statistic's unit.
        high: Highest edge.
        bins: Number of bins between them.

    Raises:
        ValueError: Such bins cannot be.
    """

    scale: Literal["linear", "log"]
    low: float
    high: float
    bins: int

    def __post_init__(self) -> None:
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not (finite and self.low < self.high and self.bins >= 1):
            raise ValueError(f"edges need low < high and a bin at least, not {self}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"logarithmic edges need low > 0, not {self}")

    @classmethod
    def linear(cls, low: float, high: float, bins: int) -> Edges:
        """Bins of equal width."""
        return cls("linear", float(low), float(high), bins)

    @classmethod
    def log(cls, low: float, high: float, bins: int) -> Edges:
        """Bins of equal ratio; what is 0 or negative lies below them."""
        return cls("log", float(low), float(high), bins)

    @property
    def values(self) -> tuple[float, ...]:
        """All edges, one more than bins, lowest first."""
        return _values(self)

    def position(self, value: float) -> float:
        """Where a value lies on the scale, in bins from `low`; may lie outside."""
        if self.scale == "linear":
            return (value - self.low) / (self.high - self.low) * self.bins
        if value <= 0:
            return -math.inf
        return math.log(value / self.low) / math.log(self.high / self.low) * self.bins


@functools.lru_cache(maxsize=256)
def _values(edges: Edges) -> tuple[float, ...]:
    # To twelve digits: 0.3 is an edge rather than 0.30000000000000004, and the last bit of a
    # power is not the same on every machine.
    shares = (i / edges.bins for i in range(edges.bins + 1))
    if edges.scale == "linear":
        found = (edges.low + (edges.high - edges.low) * s for s in shares)
    else:
        found = (edges.low * (edges.high / edges.low) ** s for s in shares)
    return tuple(float(f"{v:.12g}") for v in found)


SHARE = Edges.linear(0, 1, 50)
"""Shares of something: two hundredths a bin, so that the usual limits are edges."""

SECONDS = Edges.log(0.1, 10_000, 40)
"""Durations from a few frames to three hours, eight bins a decade."""

PIXELS = Edges.log(16, 16_384, 40)
"""Widths and heights from the smallest that codecs take to 16K, four bins an octave."""

FRAME_RATE = Edges.linear(0, 120, 60)
"""Frames a second, two a bin: 23.976, 24 and 25 are apart from 29.97 and 30, from 50, from 60."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bars:
    """What is drawn of a histogram between its edges.

    Attributes:
        first: The bin that the first bar begins with, from 0.
        step: Bins a bar.
        counts: Rows a bar.
        kept: Likewise, of the rows that are kept.
    """

    first: int
    step: int
    counts: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def end(self) -> int:
        """The bin that the last bar ends before; may lie behind the last bin."""
        return self.first + self.step * len(self.counts)


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """How one statistic is distributed over rows.

    Attributes:
        column: Name of the statistic.
        edges: The bins.
        counts: Rows below the lowest edge, then rows a bin, then rows above the highest edge:
            two more than bins. Infinities are below and above.
        kept: Likewise, of the rows that are kept.
        nan: Rows whose value is no number.
        null: Rows without a value.
        unit: Unit of the statistic, if any.
    """

    column: str
    edges: Edges
    counts: tuple[int, ...]
    kept: tuple[int, ...]
    nan: int = 0
    null: int = 0
    unit: str | None = None

    @property
    def below(self) -> int:
        """Rows below the lowest edge."""
        return self.counts[0]

    @property
    def above(self) -> int:
        """Rows above the highest edge."""
        return self.counts[-1]

    @property
    def values(self) -> int:
        """Rows that have a number."""
        return sum(self.counts)

    def bars(self, most: int) -> Bars:
        """The bins from the first to the last that has rows, merged to so many bars at most."""
        every, kept = self.counts[1:-1], self.kept[1:-1]
        filled = [i for i, count in enumerate(every) if count] or [0, self.edges.bins - 1]
        first, end = filled[0], filled[-1] + 1
        step = -(-(end - first) // most)
        own = [slice(start, start + step) for start in range(first, end, step)]
        return Bars(
            first, step, tuple(sum(every[s]) for s in own), tuple(sum(kept[s]) for s in own)
        )

    def __add__(self, other: Histogram) -> Histogram:
        """The histogram of both's rows.

        Raises:
            ValueError: They are of different statistics, or have different edges.
        """
        if (self.column, self.edges) != (other.column, other.edges):
            raise ValueError(
                f"histograms of '{self.column}' over {self.edges} and of '{other.column}' over "
                f"{other.edges} cannot be added"
            )
        return Histogram(
            self.column,
            self.edges,
            tuple(map(sum, zip(self.counts, other.counts, strict=True))),
            tuple(map(sum, zip(self.kept, other.kept, strict=True))),
            self.nan + other.nan,
            self.null + other.null,
            other.unit,
        )

    def to_record(self) -> dict[str, Any]:
        """As JSON values: the edges' fields among its own, counts from the `first` that is not 0.

        Most bins of most shards are empty: 17 statistics take 4 KB instead of 6 (2026-11-26).
        """
        record = dataclasses.asdict(self)
        filled = [i for i, count in enumerate(self.counts) if count] or [0, -1]
        shown = slice(filled[0], filled[-1] + 1)
        counts, kept = self.counts[shown], self.kept[shown]
        return {
            **record.pop("edges"),
            **record,
            "first": shown.start,
            "counts": counts,
            "kept": kept,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Histogram:
        """The histogram that `to_record` gave."""
        edges = Edges(record["scale"], record["low"], record["high"], record["bins"])
        before = (0,) * record["first"]
        after = (0,) * (edges.bins + 2 - record["first"] - len(record["counts"]))
        counts, kept = ((*before, *record[name], *after) for name in ("counts", "kept"))
        nan, null = record["nan"], record["null"]
        return cls(record["column"], edges, counts, kept, nan, null, record["unit"])


def total(histograms: Iterable[Histogram]) -> tuple[Histogram, ...]:
    """One histogram a statistic, sorted; one for each of its edges where these were changed."""
    found: dict[tuple[str, Edges], Histogram] = {}
    for one in histograms:
        key = one.column, one.edges
        found[key] = found[key] + one if key in found else one
    return tuple(found[k] for k in sorted(found, key=lambda k: (k[0], *dataclasses.astuple(k[1]))))


def field_metadata(edges: Edges | None, unit: str | None) -> dict[str, str]:
    """What an Arrow field says of the statistic, beside its description."""
    said = {_UNIT.decode(): unit} if unit else {}
    if edges is not None:
        said[_EDGES.decode()] = json.dumps(dataclasses.asdict(edges))
    return said


def of_field(field: pa.Field) -> tuple[Edges, str | None] | None:
    """The edges and the unit that a field names; None where it is no statistic to be counted."""
    metadata = field.metadata or {}
    if _EDGES not in metadata:
        return None
    unit = metadata.get(_UNIT)
    return Edges(**json.loads(metadata[_EDGES])), unit.decode() if unit is not None else None
