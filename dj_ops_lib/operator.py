"""What an operator is: five kinds, their parameters, what they need, what they add.

An operator is a frozen Pydantic model: its fields are its parameters, checked
when a recipe is loaded. It declares what it needs to see of a clip (`needs`),
which columns it reads and adds, and what it costs; the engine decides when and
how often anything is decoded. Operators are pure: no disk, no network, no
Dagster. One file each under `operators/<kind>/`, named as the operator;
`registry.py` finds them.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

import polars as pl
import pyarrow as pa
import pydantic
from pydantic_core import PydanticCustomError

from dj_ops_lib.clip import Clip, Edit, Span, digest
from dj_ops_lib.errors import MediaError
from dj_ops_lib.histograms import Edges, field_metadata
from dj_ops_lib.needs import HeaderOnly, Need, Observer

Columns = Mapping[str, Any]
"""Values for the columns that an operator declares, by name."""


def parameter(
    default: Any,
    description: str,
    *,
    unit: str | None = None,
    decides: bool = False,
    **constraints: Any,
) -> Any:
    """Declare a parameter: the default, what it means, its unit, and Pydantic's constraints.

    Args:
        default: The value where a recipe says nothing.
        description: One sentence.
        unit: Unit of the value, such as `s` or `px`.
        decides: True for thresholds: changing it recomputes decisions, not measurements.
        **constraints: `gt`, `ge`, `lt`, `le`, ... as for `pydantic.Field`.
    """
    extra: dict[str, Any] = {"unit": unit, "decides": decides}
    return pydantic.Field(default, description=description, json_schema_extra=extra, **constraints)


def is_no_limit(value: Any) -> bool:
    """Whether a threshold stands for "no limit", as Data-Juicer's `sys.maxsize` does."""
    return isinstance(value, int | float) and abs(value) >= min(sys.maxsize, sys.float_info.max)


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """A column that an operator adds.

    `plot` asks for histograms, in the commits' records and in the shard's metadata. Its edges suit
    the unit and the values that are known to occur, and stay: what was counted between others
    cannot be added.
    """

    name: str
    type: pa.DataType
    description: str
    unit: str | None = None
    plot: Edges | None = None

    def __post_init__(self) -> None:
        numeric = pa.types.is_integer(self.type) or pa.types.is_floating(self.type)
        if self.plot is not None and not numeric:
            raise TypeError(f"column '{self.name}' is {self.type}: only numbers have histograms")

    @property
    def field(self) -> pa.Field:
        """This column in an Arrow schema."""
        text = f"{self.description} [{self.unit}]" if self.unit else self.description
        metadata = {"description": text, **field_metadata(self.plot, self.unit)}
        return pa.field(self.name, self.type, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Resources:
    """What one clip costs at most; `model` puts the operator into the last wave."""

    cpu: float = 1.0
    gpu: float = 0.0
    memory_mb: int = 500
    model: bool = False


class Kind(enum.StrEnum):
    """The five kinds of operator."""

    FILTER = "filter"
    SPLITTER = "splitter"
    ANNOTATOR = "annotator"
    EDITOR = "editor"
    DEDUPLICATOR = "deduplicator"


class Operator(pydantic.BaseModel, ABC):
    """Base of the five kinds. Fields are parameters; class variables are the declaration."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True
    )

    name: ClassVar[str]
    kind: ClassVar[Kind]
    version: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()
    resources: ClassVar[Resources] = Resources()

    @pydantic.field_validator("*", mode="after")
    @classmethod
    def _is_number(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and math.isnan(number):
                raise ValueError("expected a number, not NaN")
            if isinstance(number, int) and not -sys.maxsize <= number <= sys.maxsize:
                raise ValueError(f"expected a whole number of at most {sys.maxsize}")
        return value

    @pydantic.model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        """Nothing lies between a minimum and a smaller maximum, so it is a slip of the pen."""
        fields = type(self).model_fields
        for low in (n for n in fields if n.startswith("min_")):
            high = f"max_{low.removeprefix('min_')}"
            if high not in fields:
                continue
            lowest, highest = (_limit(getattr(self, name)) for name in (low, high))
            if lowest is None or highest is None or lowest <= highest:
                continue
            given = self.model_fields_set & {low, high}
            if getattr(self, "reversed_range", False) and len(given) < 2:
                continue  # all lies outside of it, as in Data-Juicer
            blamed, other = (high, low) if high in given else (low, high)
            side = "below" if blamed == high else "above"
            untold = "" if other in given else ", its default"
            raise PydanticCustomError(
                "limits",
                "{reason}",
                {
                    "reason": f"it is {side} {other} {getattr(self, other)}{untold}, so that "
                    "nothing lies between them; swap them, or give both",
                    "parameter": blamed,
                },
            )
        return self

    def needs(self) -> Need:
        """What the operator must see of a clip, given its parameters."""
        return HeaderOnly()

    def observe(self, clip: Clip) -> Observer:
        """Begin to look at a clip; for operators that need more than its row."""
        raise TypeError(f"{self.name} needs nothing but the row: call its measure, not observe")

    @property
    def opens_media(self) -> bool:
        """Whether measuring opens the file or asks a model, so that it is worth keeping."""
        return self.resources.model or not isinstance(self.needs(), HeaderOnly)

    @property
    def results_are_kept(self) -> bool:
        """Whether what was measured goes into the source's results; failed attempts always do."""
        return self.opens_media

    @property
    def model_revision(self) -> str | None:
        """Id and revision of the model that the result depends on, if any."""
        return None

    def measuring_parameters(self) -> dict[str, Any]:
        """The parameters that change what is measured: all but the thresholds."""
        fields = type(self).model_fields
        return {k: v for k, v in self.model_dump(mode="json").items() if not _decides(fields[k])}

    @classmethod
    def deciding_names(cls) -> frozenset[str]:
        """Names of the thresholds."""
        return frozenset(k for k, field in cls.model_fields.items() if _decides(field))

    def deciding_parameters(self) -> dict[str, Any]:
        """The thresholds: parameters that only change what is decided."""
        fields = type(self).model_fields
        return {k: v for k, v in self.model_dump(mode="json").items() if _decides(fields[k])}

    def fingerprint(self, clip_signature: str = "") -> str:
        """Name of a measurement: equal fingerprints mean that a stored result can be reused.

        The operator's own digest followed by the clip's signature, so that a million of them are
        one concatenation of columns: hashing each took 6 us a row and operator (2026-11-22).
        """
        return self.digest() + clip_signature

    @classmethod
    def subject(cls, row: Mapping[str, Any]) -> str:
        """What a measurement is about: the clip's signature, and what else is read of its row.

        What an operator reads beside the picture belongs to what it measured: the signature does
        not cover captions or other operators' columns.

        Args:
            row: With `signature` and the columns of `reads`.
        """
        if not cls.reads:
            return row.get("signature") or ""
        return digest(*(_plain(row[name]) for name in ("signature", *cls.reads)))

    def digest(self) -> str:
        """Name of what is measured, whatever the clip: 32 hex digits."""
        return digest(
            "measurement", self.name, self.version, self.measuring_parameters(), self.model_revision
        )


def _plain(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    return value.hex() if isinstance(value, bytes) else value


def _limit(value: Any) -> float | Fraction | None:
    """A limit as a number, ratios such as `16:9` included; None for what is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            return Fraction(value.replace(":", "/").replace(" ", ""))
        except (ValueError, ZeroDivisionError):
            return None
    return value if isinstance(value, int | float) else None


def _decides(field: Any) -> bool:
    extra = field.json_schema_extra
    return bool(isinstance(extra, dict) and extra.get("decides"))


class Filter(Operator):
    """Measures a clip into statistic columns; keeps it where an expression over them holds."""

    kind: ClassVar[Kind] = Kind.FILTER

    min_closed_interval: bool = parameter(True, "the minimum itself is kept", decides=True)
    max_closed_interval: bool = parameter(True, "the maximum itself is kept", decides=True)
    reversed_range: bool = parameter(False, "keep what lies outside the range", decides=True)
    any_or_all: Literal["any", "all"] = parameter(
        "any", "of Data-Juicer's samples of several videos; a row is one clip", decides=True
    )

    def measure(self, clip: Clip) -> Columns:
        """The statistics of a clip whose row tells everything (`needs` is HeaderOnly)."""
        raise TypeError(f"{self.name} looks into the file: call observe, not measure")

    @abstractmethod
    def keep(self) -> pl.Expr:
        """Whether a row is kept, as a boolean expression over its columns."""

    def thresholds(self) -> Mapping[str, tuple[float | None, float | None]]:
        """(lowest, highest) kept value by statistic column, None for no limit; for charts."""
        return {}

    def in_range(self, value: pl.Expr, lowest: float, highest: float) -> pl.Expr:
        """Whether `value` lies in the range, by the interval parameters (not yet reversed)."""
        above = value >= lowest if self.includes_min(lowest) else value > lowest
        below = value <= highest if self.includes_max(highest) else value < highest
        return above & below

    def includes_min(self, lowest: Any) -> bool:
        """Whether the minimum belongs to the range, given the parameter's value."""
        return self._includes("min_", lowest, closed=self.min_closed_interval)

    def includes_max(self, highest: Any) -> bool:
        """Whether the maximum belongs to the range, given the parameter's value."""
        return self._includes("max_", highest, closed=self.max_closed_interval)

    def _includes(self, prefix: str, limit: Any, *, closed: bool) -> bool:
        """A closed interval keeps its edges also if it is reversed, as in Data-Juicer.

        There, a reversed range that ends at a default limit keeps that, too: the clips without
        any text, if those with much of it are asked for. Here a default limit is no edge.
        """
        if not self.reversed_range:
            return closed
        fields = type(self).model_fields.items()
        defaults = [f.default for name, f in fields if name.startswith(prefix)]
        return not closed or any(limit == d for d in defaults if not isinstance(d, bool))

    def reversible(self, kept: pl.Expr) -> pl.Expr:
        """`kept`, negated if `reversed_range` says so."""
        return ~kept if self.reversed_range else kept


MOST_PIECES = 50_000
"""Pieces that a clip may be cut into: a day in pieces of two seconds. Each is a row, 3 kB in memory
while its shard is made."""


def check_pieces(number: float, what: str) -> None:
    """Refuse to cut a clip into more than `MOST_PIECES`; better before they are made.

    Args:
        number: How many there would be.
        what: What makes so many, and what to change, for the message.

    Raises:
        MediaError: `too_many_pieces`.
    """
    if number > MOST_PIECES:
        raise MediaError(
            f"{number:.0f} pieces of one clip, more than the limit of {MOST_PIECES}: {what}",
            "too_many_pieces",
        )


class Splitter(Operator):
    """Cuts a clip into spans, at most `MOST_PIECES`; writes no files."""

    kind: ClassVar[Kind] = Kind.SPLITTER

    def measure(self, clip: Clip) -> Sequence[Span]:
        """The spans of a clip whose row tells everything; empty drops the clip.

        A single span equal to the clip's own leaves the clip as it is. An observer's result is
        the same.
        """
        raise TypeError(f"{self.name} looks into the file: call observe, not measure")

    @property
    def keeps_original(self) -> bool:
        """Whether the clip that was cut stays beside its pieces."""
        return False


class Annotator(Operator):
    """Adds columns: captions, tags, embeddings, labels.

    Observers may return anything small; `annotate` turns the results of many clips into
    columns at once, which is where models run in batches.
    """

    kind: ClassVar[Kind] = Kind.ANNOTATOR

    def measure(self, clip: Clip) -> Any:
        """What `annotate` gets for a clip whose row tells everything."""
        raise TypeError(f"{self.name} looks into the file: call observe, not measure")

    def annotate(self, clips: Sequence[Clip], observed: Sequence[Any]) -> Sequence[Columns]:
        """Columns for each of `clips`, from what was observed of each."""
        return observed


class Editor(Operator):
    """Changes pixels or sound by appending to the clip's edits; encodes nothing."""

    kind: ClassVar[Kind] = Kind.EDITOR

    def measure(self, clip: Clip) -> EditResult:
        """The edit of a clip whose row tells everything. An observer's result is the same."""
        raise TypeError(f"{self.name} looks into the file: call observe, not measure")


@dataclasses.dataclass(frozen=True, slots=True)
class EditResult:
    """Edits to append, the display size afterwards, and the operator's own columns."""

    edits: tuple[Edit, ...]
    width: int
    height: int
    columns: Columns = dataclasses.field(default_factory=dict)


class Deduplicator(Operator):
    """Measures a signature; says which clips repeat each other, and which of them is the better.

    Which one is kept follows from that, for all deduplicators alike (`engine/deduplication.py`).
    Every deduplicator stage has the columns `duplicate_of` and `duplicate_distance`.
    """

    kind: ClassVar[Kind] = Kind.DEDUPLICATOR

    def measure(self, clip: Clip) -> Columns:
        """The signature columns of a clip whose row tells everything."""
        raise TypeError(f"{self.name} looks into the file: call observe, not measure")

    @property
    @abstractmethod
    def compares(self) -> tuple[str, ...]:
        """The columns by which clips are compared.

        Clips that are equal in all of them repeat each other, at distance 0. One that has no
        value in the first repeats nothing.
        """

    @property
    def prefers(self) -> tuple[str, ...]:
        """The columns by which the better of two copies is told, higher is better.

        Empty: the one that was kept first stays, whatever comes later.
        """
        return ()

    def pairs(self, clips: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """Which clips repeat which known ones; says the same of both whoever is asked about whom.

        Args:
            clips: The columns of `compares`, null in none of the first.
            known: Likewise.

        Returns:
            A row a pair: `clip` and `known`, the row numbers, and `distance`, 0 for exact.
        """
        ours, theirs = (
            f.lazy().select(*self.compares).with_row_index(name)
            for f, name in ((clips, "clip"), (known, "known"))
        )
        found = ours.join(theirs, on=self.compares, nulls_equal=True)
        return found.select("clip", "known", distance=pl.lit(0.0)).collect()


DUPLICATE_COLUMNS = (
    Column("duplicate_of", pa.string(), "clip_id of the kept clip that this one repeats"),
    # A share of bits; unlike footage differs in half of them.
    Column(
        "duplicate_distance",
        pa.float64(),
        "distance to it; 0 is an exact copy",
        plot=Edges.linear(0, 0.5, 50),
    ),
)
