"""The columns of results: what was measured of a clip, named by fingerprint."""

from __future__ import annotations

import pyarrow as pa

from dj_ops_lib.clip import ERROR

RESULTS = "results"
"""Name of the table of a source."""

_HASH = pa.binary(16)


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


RESULT_SCHEMA = pa.schema(
    [
        _column("source", pa.string(), "dataset the clip comes from", nullable=False),
        _column("shard", pa.string(), "shard it was measured for", nullable=False),
        _column("source_id", pa.string(), "the dataset's own id of the video"),
        _column("media_id", pa.string(), "content identity of the file"),
        _column("clip_id", pa.string(), "the clip that was looked at"),
        _column("parent_id", pa.string(), "the clip that it was cut from"),
        _column("operator", pa.string(), "who measured", nullable=False),
        _column(
            "digest", _HASH, "of operator, version, measuring parameters, model", nullable=False
        ),
        _column("subject", _HASH, "the clip's signature, and what else was read", nullable=False),
        _column("payload", pa.string(), "the operator's columns, as a JSON object"),
        _column("result", pa.string(), "spans or edits, as JSON"),
        _column("error", ERROR, "why the attempt failed"),
        _column("at", pa.timestamp("ms", tz="UTC"), "when it was measured", nullable=False),
    ]
)
"""Columns of the table. `digest` and `subject` together are the fingerprint."""


def results_table(source: str) -> str:
    """Name of the table that holds the results of a source."""
    return f"{source}/{RESULTS}"
