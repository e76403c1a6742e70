"""Stored measurements, found by fingerprint, whichever table they were made for.

A measurement is a fact about a clip's content; the table it was written to
first does not matter. Not here: what is measured now (`runner.py`), and where
unfinished results are kept (`spool.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.clip import ERROR
from dj_ops_lib.engine.planner import BARRIERS
from dj_ops_lib.operator import Operator

FAILED = "error"
"""`measured.result` of an attempt that failed; the row's `error` says how."""

FINGERPRINT, RESULT = "_fingerprint", "_result"


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFailure:
    """An attempt that failed before.

    Attributes:
        error: The row's `error`.
        of_this_run: Whether this run, before it was interrupted, made the attempt.
    """

    error: dict[str, Any]
    of_this_run: bool


class Memo:
    """Measurements and failed attempts, by operator and fingerprint; the first added wins.

    Args:
        elsewhere: Adds what less likely places hold; called when something is not found.
    """

    def __init__(self, elsewhere: Callable[[Memo], None] | None = None) -> None:
        self._elsewhere = elsewhere
        self._found: dict[str, list[pl.DataFrame]] = {}
        self._failed: list[pl.DataFrame] = []

    def add_rows(self, rows: pl.DataFrame, operators: Sequence[Operator]) -> None:
        """Remember what rows of a stage table hold for `operators`.

        Args:
            rows: With `measured`, `error`, and those operators' columns; operators whose columns
                are missing are passed over.
            operators: The operators of interest.
        """
        entries = entries_of(rows)
        for operator in operators:
            names = [c.name for c in operator.columns]
            if not set(names) <= set(rows.columns):
                continue
            own = entries.filter(pl.col("operator") == operator.name)
            done = own.filter(pl.col("result").ne_missing(FAILED))
            if operator.kind in BARRIERS:  # only the first piece of a clip carries the result
                done = done.filter(pl.col("result").is_not_null())
            found = rows.select("measured", *names)
            if not done["_row"].equals(pl.int_range(len(rows), dtype=pl.UInt32, eager=True)):
                found = found[done["_row"]]
            found = found.select(
                *names, done["fingerprint"].alias(FINGERPRINT), done["result"].alias(RESULT)
            )
            self.add(operator, found)
            failed = own.filter(pl.col("result") == FAILED)
            if len(failed):
                errors = rows.select("error")[failed["_row"]]
                self.add_failures(errors.with_columns(failed["fingerprint"].alias(FINGERPRINT)))

    def add(self, operator: Operator, found: pl.DataFrame) -> None:
        """Remember measurements: `_fingerprint`, `_result` and the operator's columns."""
        if len(found):
            self._found.setdefault(operator.name, []).append(found.select(_order(operator)))

    def add_failures(self, failed: pl.DataFrame, *, of_this_run: bool = False) -> None:
        """Remember failed attempts.

        Args:
            failed: `_fingerprint` and `error`.
            of_this_run: Whether this run, before it was interrupted, made the attempt.
        """
        mark = pl.lit(of_this_run).alias("of_this_run")
        self._failed.append(failed.select(FINGERPRINT, "error", mark))

    def lookup(self, operator: Operator, fingerprints: pl.Series) -> pl.DataFrame:
        """What is known, one row for each fingerprint, in order.

        Returns:
            `_found` (bool), `_result` and the operator's columns, null where not found.
        """
        found = self._lookup(operator, fingerprints)
        if self._elsewhere is not None and not found["_found"].all():
            add, self._elsewhere = self._elsewhere, None
            add(self)
            found = self._lookup(operator, fingerprints)
        return found

    def _lookup(self, operator: Operator, fingerprints: pl.Series) -> pl.DataFrame:
        known = self._found.get(operator.name)
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

    def failures(self, fingerprints: pl.Series) -> dict[int, StoredFailure]:
        """Failed attempts, by position in `fingerprints`."""
        if not self._failed:
            return {}
        stored = pl.concat(self._failed).unique(FINGERPRINT, keep="first")
        wanted = fingerprints.alias(FINGERPRINT).to_frame().with_row_index("_row")
        joined = wanted.join(stored, on=FINGERPRINT, how="inner", maintain_order="left")
        return {
            row["_row"]: StoredFailure(row["error"], row["of_this_run"])
            for row in joined.drop_nulls("error").to_dicts()
        }


def entries_of(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows' `measured`, one row an entry: `_row`, `operator`, `fingerprint`, `result`."""
    return (
        rows.lazy()
        .select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"), "measured")
        .filter(pl.col("measured").list.len() > 0)
        .explode("measured")
        .unnest("measured")
        .collect()
    )


def entries_to_lists(entries: pl.DataFrame, rows: int) -> pl.Series:
    """The inverse of `entries_of`; entries of a row keep their order.

    Made of one flat array and offsets: Polars' list expressions took 8.4 us of CPU a row,
    this takes 0.6 (four operators, 2026-11-22).
    """
    places = entries["_row"].to_numpy()
    ordered = entries[np.argsort(places, kind="stable")]
    counts = np.bincount(places, minlength=rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    structs = ordered.select("operator", "fingerprint", "result").to_struct("measured")
    newest = pl.CompatLevel.newest()
    lists = pa.LargeListArray.from_arrays(offsets, structs.to_arrow(compat_level=newest))
    return pl.Series("measured", lists)


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


def _order(operator: Operator) -> list[str]:
    return [FINGERPRINT, RESULT, *(c.name for c in operator.columns)]
