"""What changed between two versions of a table: clips, and how statistics moved.

The population stability index compares two distributions over the deciles of
the first: sum((b - a) * ln(b / a)) over the bins' shares a and b, an empty bin
counted as half a row. By the usual reading (Siddiqi, Credit Risk Scorecards,
2006) below 0.1 is no shift, 0.1 to 0.25 a moderate one, above a large one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dj_ops_lib.errors import WarehouseError

if TYPE_CHECKING:
    from dj_ops_lib.warehouse.store import Store

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_NO_STATISTICS = frozenset({"annotation_row"})


@dataclasses.dataclass(frozen=True, slots=True)
class Distribution:
    """One numeric column of one version.

    Attributes:
        rows: Rows with a value.
        nulls: Rows without one.
        mean: Mean, None without rows.
        quantiles: Value by quantile, linearly interpolated; empty without rows.
    """

    rows: int
    nulls: int
    mean: float | None
    quantiles: Mapping[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """How a numeric column moved. `psi` is None where one of the versions has no values."""

    column: str
    before: Distribution
    after: Distribution
    psi: float | None

    @property
    def moved(self) -> bool:
        """Whether the values differ; the order in which they are summed up is no difference."""
        a, b = self.before, self.after
        same = (a.rows, a.nulls, a.quantiles) == (b.rows, b.nulls, b.quantiles)
        return not same or not math.isclose(a.mean or 0.0, b.mean or 0.0, rel_tol=1e-9)


@dataclasses.dataclass(frozen=True, slots=True)
class Diff:
    """What changed from version `before` to version `after`.

    Attributes:
        table: Name of the table.
        before: Number of the older version.
        after: Number of the newer version.
        added: Ids of clips that are only in the newer one, sorted.
        removed: Ids of clips that are only in the older one, sorted.
        changed: Ids of clips that are in both with different values, sorted.
        changed_columns: Changed clips by column.
        new_columns: Columns that only the newer version has.
        lost_columns: Columns that only the older version has.
        shifts: One for each numeric column of both, in the table's order.
    """

    table: str
    before: int
    after: int
    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[str]
    changed_columns: Mapping[str, int]
    new_columns: Sequence[str]
    lost_columns: Sequence[str]
    shifts: Sequence[Shift]


def diff(store: Store, table: str, before: int | str, after: int | str | None = None) -> Diff:
    """See `Warehouse.diff`."""
    old, new = store.open(table, before), store.open(table, after)
    for dataset in (old, new):
        if "clip_id" not in dataset.schema.names:
            raise WarehouseError(f"table '{table}' has no column `clip_id`, clips cannot be told")
    names = [c for c in new.schema.names if c in set(old.schema.names)]
    connection = duckdb.connect()
    connection.from_arrow(old).create_view("old")
    connection.from_arrow(new).create_view("new")
    columns = ", ".join(_quoted(c) for c in names)
    for side in ("old", "new"):
        # The whole of each row as one 64-bit number, so that joining holds ids and numbers only.
        connection.execute(
            f"CREATE TABLE {side}_rows AS SELECT clip_id, hash(ROW({columns})) AS content "  # noqa: S608
            f"FROM {side}"
        )
    changed = _ids(
        connection,
        "SELECT clip_id FROM old_rows JOIN new_rows USING (clip_id) "
        "WHERE old_rows.content <> new_rows.content",
    )
    return Diff(
        table,
        int(old.version),
        int(new.version),
        _ids(connection, "SELECT clip_id FROM new_rows ANTI JOIN old_rows USING (clip_id)"),
        _ids(connection, "SELECT clip_id FROM old_rows ANTI JOIN new_rows USING (clip_id)"),
        changed,
        _changed_columns(connection, names) if changed else {},
        [c for c in new.schema.names if c not in set(old.schema.names)],
        [c for c in old.schema.names if c not in set(new.schema.names)],
        [
            _shift(name, _values(connection, "old", name), _values(connection, "new", name))
            for name in names
            if _is_numeric(old.schema.field(name).type)
            and _is_numeric(new.schema.field(name).type)
            and name not in _NO_STATISTICS
        ],
    )


def population_stability_index(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], bins: int = 10
) -> float | None:
    """The index over `bins` quantile bins of `before`; None where one side has no values."""
    if not before.size or not after.size:
        return None
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for values in (before, after):
        # side="left" puts a value that equals an edge below it, so a constant column, whose
        # deciles coincide, still tells what is larger from what is not.
        placed = np.searchsorted(edges, values, side="left")
        counts = np.bincount(placed, minlength=edges.size + 1).astype(np.float64)
        shares.append(np.maximum(counts, 0.5) / values.size)
    a, b = shares
    return float(np.sum((b - a) * np.log(b / a)))


def _shift(
    name: str,
    before: tuple[npt.NDArray[np.float64], int],
    after: tuple[npt.NDArray[np.float64], int],
) -> Shift:
    psi = population_stability_index(before[0], after[0])
    return Shift(name, _distribution(*before), _distribution(*after), psi)


def _distribution(values: npt.NDArray[np.float64], nulls: int) -> Distribution:
    if not values.size:
        return Distribution(0, nulls, None, {})
    quantiles = np.quantile(values, QUANTILES)
    return Distribution(
        int(values.size),
        nulls,
        float(values.mean()),
        {q: float(v) for q, v in zip(QUANTILES, quantiles, strict=True)},
    )


def _values(
    connection: duckdb.DuckDBPyConnection, side: str, name: str
) -> tuple[npt.NDArray[np.float64], int]:
    query = f"SELECT CAST({_quoted(name)} AS DOUBLE) AS v FROM {side}"  # noqa: S608
    found: Any = connection.sql(query).to_arrow_table()
    column = found.column("v")
    values = column.drop_null().to_numpy()
    finite = values[np.isfinite(values)]
    return finite, len(column) - int(finite.size)


def _changed_columns(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, int]:
    counts = ", ".join(f"count_if(o.{_quoted(c)} IS DISTINCT FROM n.{_quoted(c)})" for c in names)
    row: Any = connection.execute(
        f"SELECT {counts} FROM old o JOIN new n ON o.clip_id = n.clip_id "  # noqa: S608
        "WHERE o.clip_id IN (SELECT clip_id FROM old_rows JOIN new_rows USING (clip_id) "
        "WHERE old_rows.content <> new_rows.content)"
    ).fetchall()[0]
    return {c: int(n) for c, n in zip(names, row, strict=True) if n}


def _ids(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return sorted(row[0] for row in connection.execute(query).fetchall())


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def verdict(psi: float | None) -> str:
    """The usual reading of an index: `none`, `moderate` or `large`; empty where unknown."""
    if psi is None or math.isnan(psi):
        return ""
    return "none" if psi < 0.1 else "moderate" if psi <= 0.25 else "large"
