"""What is known of clips already, found by fingerprint, whichever stage it was measured for.

Two places: the shard of the stage's own table, whose commit names what each
operator measured (columns, so that a million rows are decided again in
seconds), and the source's results. Not here: what is measured now
(`recorded_results.py`), how results are kept (`warehouse/results.py`).
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import ERROR
from dj_ops_lib.operator import Operator
from dj_ops_lib.warehouse import ShardResults

FINGERPRINT, RESULT = "_fingerprint", "_result"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFailure:
    """An attempt that failed before.

    Attributes:
        error: The row's `error`.
        of_this_run: Whether this run, before it was interrupted, made the attempt.
        payload: What was found all the same.
    """

    error: dict[str, Any]
    of_this_run: bool
    payload: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class KnownResults:
    """Measurements and failed attempts, by operator and fingerprint.

    Args:
        results: The shard's results; read when something is asked that the columns do not tell.
        operators: Names of the operators that will ask.
    """

    def __init__(self, results: ShardResults | None = None, operators: Sequence[str] = ()) -> None:
        self._results = results
        self._operators = tuple(operators)
        self._columns: dict[str, list[pl.DataFrame]] = {}
        self._stored: pl.DataFrame | None = None

    def add_columns(self, operator: Operator, rows: pl.DataFrame, prints: pl.Series) -> None:
        """Remember what the rows of a stage's table hold of `operator`.

        A row that holds nothing in all of its columns may not have been measured: it is not known.

        Args:
            operator: The operator.
            rows: With its columns.
            prints: The fingerprints of its measurements of these rows.
        """
        names = [c.name for c in operator.columns]
        found = rows.select(
            prints.alias(FINGERPRINT), pl.lit(None, pl.String).alias(RESULT), *names
        ).filter(pl.any_horizontal(pl.col(n).is_not_null() for n in names))
        if len(found):
            self._columns.setdefault(operator.name, []).append(found)

    def lookup(self, operator: Operator, fingerprints: pl.Series) -> pl.DataFrame:
        """What is known, one row for each fingerprint, in order.

        Returns:
            `_found` (bool), `_result` and the operator's columns, null where not found.
        """
        found = self._in_columns(operator, fingerprints)
        missing = (~found["_found"]).arg_true()
        if self._results is None or not len(missing) or not operator.opens_media:
            return found
        places, values = self._in_results(operator, fingerprints.gather(missing))
        if not len(places):
            return found
        fresh = values.with_columns(pl.lit(True).alias("_found")).select(found.columns)
        order = pl.int_range(len(found), dtype=pl.Int64, eager=True)
        order = order.scatter(missing.gather(places), pl.Series(range(len(fresh))) + len(found))
        return pl.concat([found, fresh])[order]

    def _in_columns(self, operator: Operator, fingerprints: pl.Series) -> pl.DataFrame:
        known = self._columns.get(operator.name)
        if not known:
            empty = empty_columns(operator, len(fingerprints))
            return empty.with_columns(pl.lit(False).alias("_found"))
        stored = known[0] if len(known) == 1 else pl.concat(known)
        if len(stored) == len(fingerprints) and stored[FINGERPRINT].equals(fingerprints):
            # The usual case of deciding again: the same clips in the same order (2026-11-22).
            return stored.drop(FINGERPRINT).with_columns(pl.lit(True).alias("_found"))
        stored = stored.unique(FINGERPRINT, keep="first").with_columns(pl.lit(True).alias("_found"))
        wanted = fingerprints.alias(FINGERPRINT).to_frame()
        joined = wanted.join(stored, on=FINGERPRINT, how="left", maintain_order="left")
        return joined.drop(FINGERPRINT).with_columns(pl.col("_found").fill_null(False))

    def _in_results(
        self, operator: Operator, fingerprints: pl.Series
    ) -> tuple[list[int], pl.DataFrame]:
        """Positions in `fingerprints` that have a result, and what it says."""
        hits = _with_places(fingerprints, self._load().filter(pl.col("error").is_null()))
        places: list[int] = []
        payloads: list[Mapping[str, Any]] = []
        names = {c.name for c in operator.columns}
        for place, payload in hits.select("_place", "payload").iter_rows():
            columns = json.loads(payload or "{}")
            if names <= columns.keys():  # else from a version of the operator with fewer columns
                places.append(place)
                payloads.append(columns)
        kept = hits.filter(pl.col("_place").is_in(places))
        arrays: dict[str, pa.Array] = {RESULT: kept["result"].to_arrow().cast(pa.string())}
        for column in operator.columns:
            decoded = [_decoded(p[column.name], column.type) for p in payloads]
            arrays[column.name] = pa.array(decoded, column.type)
        return places, pl.DataFrame(pa.table(arrays))

    def search_elsewhere(self, fingerprints: pl.Series) -> bool:
        """Look for results in the source's other shards; whether any of these was found."""
        if self._results is None or not len(fingerprints):
            return False
        subjects = fingerprints.str.slice(32).str.decode("hex", strict=False).drop_nulls().unique()
        subjects = subjects.filter(subjects.bin.size() == 16)
        found = _prepared(self._results.elsewhere(subjects.to_arrow().cast(pa.binary(16))))
        found = found.filter(pl.col(FINGERPRINT).is_in(fingerprints.implode()))
        found = found.filter(pl.col("error").is_null())
        self._stored = pl.concat([self._load(), found])
        return not found.is_empty()

    def failures(self, fingerprints: pl.Series) -> dict[int, StoredFailure]:
        """Failed attempts, by position in `fingerprints`."""
        if self._results is None or not len(fingerprints):
            return {}
        failed = self._load().filter(pl.col("error").is_not_null())
        hits = _with_places(fingerprints, failed) if len(failed) else failed
        return {
            row["_place"]: StoredFailure(
                row["error"], row["_of_this_run"], json.loads(row["payload"] or "{}")
            )
            for row in hits.to_dicts()
        }

    def _load(self) -> pl.DataFrame:
        """The shard's results and those that are in files, the best of each fingerprint first."""
        if self._stored is None:
            assert self._results is not None
            left = _prepared(self._results.left_over()).with_columns(_of_this_run=pl.lit(True))
            stored = _prepared(self._results.stored(self._operators))
            every = pl.concat([left, stored])
            attempts = pl.col("error").struct.field("attempts").fill_null(0)
            self._stored = every.sort(
                pl.col("error").is_not_null(), -attempts, maintain_order=True
            ).unique(FINGERPRINT, keep="first", maintain_order=True)
        return self._stored


def _prepared(results: pa.Table) -> pl.DataFrame:
    """Results with their fingerprints as the engine writes them; failures as null or a struct."""
    chosen = results.select(["digest", "subject", "payload", "result", "error"])
    error = pl.when(pl.col("error").struct.field("class").is_not_null()).then("error")
    hexed = [pl.col(n).bin.encode("hex") for n in ("digest", "subject")]
    return pl.DataFrame(chosen).select(
        pl.concat_str(hexed).alias(FINGERPRINT),
        "payload",
        "result",
        error.alias("error"),
        pl.lit(False).alias("_of_this_run"),
    )


def _with_places(fingerprints: pl.Series, known: pl.DataFrame) -> pl.DataFrame:
    """What is known of each of the fingerprints that something is known of, with its `_place`."""
    wanted = fingerprints.alias(FINGERPRINT).to_frame().with_row_index("_place")
    known = known.unique(FINGERPRINT, keep="first", maintain_order=True)
    return wanted.join(known, on=FINGERPRINT, how="inner", maintain_order="left")


def encoded(value: Any) -> Any:
    """A column's value as it is written into a payload: bytes as hex digits."""
    return value.hex() if isinstance(value, bytes) else value


def _decoded(value: Any, kind: pa.DataType) -> Any:
    if value is not None and (
        pa.types.is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        return bytes.fromhex(value)
    return value


def empty_columns(operator: Operator, rows: int) -> pl.DataFrame:
    """Nulls in the types of `_result` and the operator's columns."""
    fields = [(RESULT, pa.string()), *((c.name, c.type) for c in operator.columns)]
    nulls = {name: pa.nulls(rows, kind) for name, kind in fields}
    return pl.DataFrame(pa.table(nulls))


def polars_type(kind: pa.DataType) -> pl.DataType:
    """The Polars type that an Arrow type becomes."""
    frame = pl.DataFrame(pa.table({"column": pa.nulls(0, kind)}))
    return frame.schema["column"]


ERROR_TYPE = polars_type(ERROR)
