"""History as relations with a schema: commits, operators that were used, errors, histograms.

The records are JSON inside transactions and in the archive (`history.py`); DuckDB takes them apart.
40,000 archived ones of 4 KB, eight operators each (5,000 shards, eight stages), cost 0.7 CPU s as
commits, 0.7 as errors, 3.1 as operators, on two cores that did other things, too (2026-11-26).
Maintenance archives; what it has not seen yet costs 0.3 ms a commit more. Not here: what a record
says (`provenance.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np
import pyarrow as pa

from dj_ops_lib.errors import RecipeError
from dj_ops_lib.registry import operator_class
from dj_ops_lib.warehouse.history import records
from dj_ops_lib.warehouse.store import Store

if TYPE_CHECKING:
    import duckdb

Name = Literal["commits", "operators", "errors", "histograms"]

_SHARED = (
    ("table", pa.string(), "name of the table"),
    ("version", pa.int64(), "version that the commit made"),
    ("shard", pa.string(), "shard that it wrote; empty for a whole table, null for maintenance"),
    ("current", pa.bool_(), "whether the rows of its shard, or of the table, are still its own"),
)


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    described = [(n, t, {"description": text}) for n, t, text in (*_SHARED, *columns)]
    return pa.schema([pa.field(n, t, metadata=text) for n, t, text in described])


SCHEMAS: Final[Mapping[Name, pa.Schema]] = {
    "commits": _schema(
        ("kind", pa.string(), "create, replace, overwrite, takedown, restore, or Lance's own"),
        ("at", pa.timestamp("us", "UTC"), "when it was made; null where Lance itself made it"),
        ("run_id", pa.string(), "run that made it"),
        ("source", pa.string(), "dataset"),
        ("recipe", pa.string(), "recipe; empty for stages of a source"),
        ("stage", pa.string(), "stage"),
        ("recipe_hash", pa.string(), "of what is decided"),
        ("measuring_fingerprint", pa.string(), "of what is measured"),
        ("input_table", pa.string(), "table that was read; null where annotation files were"),
        ("input_version", pa.int64(), "its version"),
        ("code_version", pa.string(), "release of the code"),
        ("rows_in", pa.int64(), "rows that entered the stage"),
        ("rows_out", pa.int64(), "rows written"),
        ("rows_kept", pa.int64(), "rows written that go on; null in records of before 2026-11-26"),
        ("rows_withheld", pa.int64(), "rows not written because they were taken down"),
        ("reason", pa.string(), "why rows were decided again, if no stage was run over them"),
        ("details", pa.string(), "what else the kind needs, as JSON"),
    ),
    "operators": _schema(
        ("position", pa.int64(), "place in the recipe's order, from 0"),
        ("operator", pa.string(), "operator, or the step where none ran"),
        ("operator_version", pa.string(), "its version"),
        ("digest", pa.string(), "of what it measures; with a clip's signature names a result"),
        ("parameters", pa.string(), "all of its parameters, as JSON"),
        ("thresholds", pa.string(), "those that only decide, as JSON"),
        ("rows_in", pa.int64(), "rows that reached it"),
        ("rejected", pa.int64(), "rows that it rejected"),
        ("measured", pa.int64(), "clips that it measured"),
        ("seconds", pa.float64(), "CPU seconds in it, without decoding"),
        ("pass_seconds", pa.float64(), "CPU seconds of passes that it took part in"),
    ),
    "errors": _schema(
        ("error_class", pa.string(), "class of the rows' errors"),
        ("rows", pa.int64(), "rows that have it"),
    ),
    "histograms": _schema(
        ("statistic", pa.string(), "column that was counted"),
        ("unit", pa.string(), "its unit; null where it has none"),
        ("scale", pa.string(), "linear or log: what is the same from edge to edge"),
        ("low", pa.float64(), "lowest edge"),
        ("high", pa.float64(), "highest edge"),
        ("bins", pa.int64(), "bins between them"),
        ("counts", pa.list_(pa.int64()), "rows below, in each bin, above: two more than bins"),
        ("kept", pa.list_(pa.int64()), "likewise, of the rows that are kept"),
        ("nans", pa.int64(), "rows whose value is no number"),
        ("nulls", pa.int64(), "rows without a value"),
    ),
}
"""Columns by relation; the first four join them."""

_PARSED: Final = """
CREATE TABLE parsed AS
SELECT "table", version, any_value(operation) AS operation,
  any_value(from_json(record, $shape)) AS r
FROM found GROUP BY "table", version
"""
"""Each record once, since two maintenances at a time may archive a version twice, and parsed once:
an arrow (`record->>'$.kind'`) would parse all of it again for every column."""

_SHAPE: Final[Mapping[str, object]] = {
    "kind": "VARCHAR",
    "at": "VARCHAR",
    "details": "JSON",
    "provenance": {
        **dict.fromkeys(
            ("run_id", "source", "recipe", "stage", "shard", "recipe_hash", "code_version"),
            "VARCHAR",
        ),
        **dict.fromkeys(("measuring_fingerprint", "input_table", "reason"), "VARCHAR"),
        **dict.fromkeys(("input_version", "rows_in", "rows_out", "rows_kept"), "BIGINT"),
        "rows_withheld": "BIGINT",
    },
}
_OPERATOR: Final[Mapping[str, object]] = {
    **dict.fromkeys(("operator", "version", "digest"), "VARCHAR"),
    "parameters": "JSON",
    **dict.fromkeys(("rows_in", "rejected", "measured"), "BIGINT"),
    **dict.fromkeys(("seconds", "pass_seconds"), "DOUBLE"),
}
_INSIDE: Final[Mapping[Name, Mapping[str, object]]] = {
    "commits": {},
    "operators": {"operators": [_OPERATOR]},
    "errors": {"errors": "JSON"},
    "histograms": {},
}
_WHOLE_LIST: Final = """
CREATE MACRO whole_list(h, counts) AS list_resize(
  list_concat(list_resize([]::BIGINT[], h.first, 0::BIGINT), counts), h.bins + 2, 0::BIGINT)
"""
_HISTOGRAM: Final[Mapping[str, object]] = {
    **dict.fromkeys(("column", "unit", "scale"), "VARCHAR"),
    **dict.fromkeys(("low", "high"), "DOUBLE"),
    **dict.fromkeys(("bins", "first", "nan", "null"), "BIGINT"),
    "counts": ["BIGINT"],
    "kept": ["BIGINT"],
}

_WHOLE: Final = """
SELECT "table", version, r.kind, (r.details->>'$.version')::BIGINT FROM parsed
WHERE r.kind IN ('restore', 'overwrite') ORDER BY version DESC
"""
_RECORDS: Final = """
CREATE VIEW records AS
WITH standing AS (
  SELECT *, r.provenance.shard AS shard, coalesce(r.kind IN ('replace', 'overwrite'), false)
    AND NOT EXISTS (
      SELECT 1 FROM gone WHERE gone."table" = parsed."table" AND version BETWEEN first AND last
    ) AS stands
  FROM parsed
)
SELECT *, stands AND version = max(version) FILTER (stands) OVER (
  PARTITION BY "table", shard
) AS current FROM standing
"""
_QUERIES: Final[Mapping[Name, str]] = {
    "commits": """
WITH known AS (SELECT *, r.provenance AS p FROM records)
SELECT "table", version, shard, current, coalesce(r.kind, operation) AS kind, r.at AS at,
  p.run_id AS run_id, p.source AS source, p.recipe AS recipe, p.stage AS stage,
  p.recipe_hash AS recipe_hash, p.measuring_fingerprint AS measuring_fingerprint,
  p.input_table AS input_table, p.input_version AS input_version, p.code_version AS code_version,
  p.rows_in AS rows_in, p.rows_out AS rows_out, p.rows_kept AS rows_kept,
  p.rows_withheld AS rows_withheld, p.reason AS reason,
  coalesce(r.details::VARCHAR, '{}') AS details
FROM known ORDER BY "table", version
""",
    "operators": """
WITH listed AS (SELECT *, r.provenance.operators AS uses FROM records),
used AS (SELECT *, unnest(uses) AS o, generate_subscripts(uses, 1) - 1 AS position FROM listed)
SELECT "table", used.version AS version, shard, current, position, o.operator AS operator,
  o.version AS operator_version, o.digest AS digest, o.parameters::VARCHAR AS parameters,
  o.rows_in AS rows_in, o.rejected AS rejected, o.measured AS measured, o.seconds AS seconds,
  o.pass_seconds AS pass_seconds
FROM used ORDER BY "table", version, position
""",
    "errors": """
WITH counted AS (
  SELECT *, unnest(map_entries(CAST(r.provenance.errors AS MAP(VARCHAR, BIGINT)))) AS one
  FROM records
)
SELECT "table", version, shard, current, one.key AS error_class, one.value AS rows
FROM counted ORDER BY "table", version, error_class
""",
    # As `histograms.histograms` walks: a takedown counts the shards anew that it took rows from,
    # and nothing is current of before a whole table was written or nobody counted.
    "histograms": """
WITH entries AS (
  SELECT "table", version, unnest(map_entries(CAST(r.histograms AS MAP(VARCHAR, JSON)))) AS e
  FROM records
),
said AS (
  SELECT "table", version, e.key AS shard FROM entries
  UNION SELECT "table", version, shard FROM records WHERE r.kind = 'replace'
),
latest AS (SELECT "table", shard, max(version) AS latest FROM said GROUP BY ALL),
whole AS (
  SELECT "table", max(version) AS since FROM records WHERE r.kind IN ('restore', 'overwrite')
    OR (r.kind = 'takedown' AND r.histograms IS NULL AND (r.details->>'$.rows')::BIGINT > 0)
  GROUP BY ALL
),
listed AS (
  SELECT "table", version, e.key AS shard,
    unnest(from_json(e.value, getvariable('histogram'))) AS h
  FROM entries
)
SELECT "table", version, shard, version = latest AND version >= coalesce(since, 0) AS current,
  h.column AS statistic, h.unit AS unit, h.scale AS scale, h.low AS low, h.high AS high,
  h.bins AS bins, whole_list(h, h.counts) AS counts, whole_list(h, h.kept) AS kept,
  h.nan AS nans, h.null AS nulls
FROM listed JOIN latest USING ("table", shard) LEFT JOIN whole USING ("table")
ORDER BY "table", version, shard, statistic
""",
}


def relation(
    store: Store,
    of: Name,
    connection: duckdb.DuckDBPyConnection | None = None,
    tables: Sequence[str] | None = None,
) -> duckdb.DuckDBPyRelation:
    """See `Warehouse.history_relation`."""
    import duckdb

    found = _taken_apart(_records(store, store.tables() if tables is None else tables), of)
    return (connection or duckdb.connect()).from_arrow(found)


def _records(store: Store, tables: Sequence[str]) -> pa.Table:
    """`table`, `version`, `operation` and `record` of all commits."""
    parts = []
    for table in tables:
        dataset = store.open(table)
        part = records(store, table, dataset)
        parts.append(part.add_column(0, "table", pa.array([table] * len(part), pa.string())))
    empty = pa.schema(
        [("table", pa.string()), ("version", pa.int64())]
        + [(name, pa.string()) for name in ("operation", "record")]
    ).empty_table()
    return pa.concat_tables([empty, *(p.cast(empty.schema) for p in parts)])


def _taken_apart(found: pa.Table, of: Name) -> pa.Table:
    import duckdb

    own = duckdb.connect()
    own.register("found", found)
    provenance = {**cast("dict[str, object]", _SHAPE["provenance"]), **_INSIDE[of]}
    shape = {**_SHAPE, "provenance": provenance}
    if of == "histograms":
        shape["histograms"] = "JSON"
        own.execute(_WHOLE_LIST)
        own.execute("SET VARIABLE histogram = $shape", {"shape": json.dumps([_HISTOGRAM])})
    own.execute(_PARSED, {"shape": json.dumps(shape)})
    own.register("gone", _superseded(own.sql(_WHOLE).fetchall()))
    own.execute(_RECORDS)
    made = own.sql(_QUERIES[of]).to_arrow_table()
    if of == "operators":
        made = made.append_column("thresholds", _thresholds(made))
    schema = SCHEMAS[of]
    return made.select(schema.names).cast(schema)


def _superseded(whole: Sequence[tuple[str, int, str, int | None]]) -> pa.Table:
    """Versions from `first` to `last` whose rows a restore or an overwrite replaced, by table.

    As `history.effective` walks: newest first, and what was undone undoes nothing.
    """
    rows: list[dict[str, object]] = []
    limits: dict[str, int] = {}
    for table, version, kind, restored in whole:
        if version > limits.get(table, version):
            continue
        if kind == "overwrite":
            rows.append({"table": table, "first": 0, "last": version - 1})
            limits[table] = 0
        else:
            limits[table] = restored or 0
            rows.append({"table": table, "first": limits[table] + 1, "last": version})
    schema = pa.schema([("table", pa.string()), ("first", pa.int64()), ("last", pa.int64())])
    return pa.Table.from_pylist(rows, schema=schema)


def _thresholds(used: pa.Table) -> pa.Array:
    """The deciding ones of the parameters, by today's declaration of the operator.

    Thousands of shards share a recipe, so each operator with its parameters is looked at once.
    """
    names = used["operator"].combine_chunks().dictionary_encode()
    given = used["parameters"].combine_chunks().dictionary_encode()
    pairs = names.indices.to_numpy() * len(given.dictionary) + given.indices.to_numpy()
    distinct, places = np.unique(pairs, return_inverse=True)
    found = [
        _deciding(names.dictionary[name].as_py(), given.dictionary[parameters].as_py())
        for name, parameters in (divmod(int(pair), len(given.dictionary)) for pair in distinct)
    ]
    return pa.array(found, pa.string()).take(pa.array(places))


def _deciding(operator: str, parameters: str) -> str:
    try:
        names = operator_class(operator).deciding_names()
    except RecipeError:  # a step such as `ingest`, or an operator of another version
        return "{}"
    return json.dumps({k: v for k, v in json.loads(parameters).items() if k in names})
