"""What a splitter or an editor does to the rows that reached it: pieces, or edits appended.

Pure: frames in, frames out. Not here: finding the spans (`operators/splitters/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dj_ops_lib.clip import Edit, Span, child_id, signature
from dj_ops_lib.engine.measuring import decode_edit, decode_spans
from dj_ops_lib.media.edits import cut_edits
from dj_ops_lib.operator import Splitter

SAME_S = 1e-6
"""Two times closer than this are the same: ids and signatures count in microseconds."""


def split_rows(rows: pl.DataFrame, splitter: Splitter, results: Sequence[str]) -> pl.DataFrame:
    """Replace every row by its pieces.

    A row whose only span is its own stays as it is. A piece keeps its clip's columns; its id is
    made from the clip that entered the stage (`_root`) and its span. Pieces of one row follow
    each other, after the row itself where the splitter keeps originals.

    Args:
        rows: Rows with `_root` and `_place`, with at least one span each unless originals are kept.
        splitter: Who cut them.
        results: Their spans, as `encode_spans` wrote them.

    """
    parents: list[int] = []
    spans: list[Span | None] = []
    columns = rows.select("start_s", "end_s", "duration_s").rows()
    for row, ((start, end, duration), result) in enumerate(zip(columns, results, strict=True)):
        found = list(dict.fromkeys(decode_spans(result)))
        begin = start or 0.0
        own = Span(begin, end if end is not None else begin + (duration or 0.0))
        whole = len(found) == 1 and _same(found[0], own)
        pieces: list[Span | None] = [None] if whole or splitter.keeps_original else []
        pieces += [] if whole else found
        parents += [row] * len(pieces)
        spans += pieces
    grown = rows[parents]
    changes = [_piece(r, s, i) for i, (r, s) in enumerate(zip(_facts(grown), spans, strict=True))]
    return _with(grown, changes)


def edit_rows(rows: pl.DataFrame, results: Sequence[str]) -> pl.DataFrame:
    """Append edits to every row; rows whose edit is empty stay as they are.

    Args:
        rows: The rows.
        results: Their edits, as `encode_edit` wrote them.
    """
    changes: list[dict[str, Any]] = []
    for row, result in zip(_facts(rows), results, strict=True):
        edit = decode_edit(result)
        nodes = [*row["edits"], *(e.to_row() for e in edit.edits)]
        if not edit.edits:
            changes.append(dict(row))
            continue
        changed = {"edits": nodes, "width": edit.width, "height": edit.height}
        changes.append({**row, **changed, "signature": _signature({**row, **changed})})
    return _with(rows, changes)


_CHANGED = [
    "clip_id",
    "parent_id",
    "start_s",
    "end_s",
    "duration_s",
    "num_frames",
    "estimated_frames",
    "edits",
    "width",
    "height",
    "signature",
    "_place",
]
_READ = [*_CHANGED, "media_id", "fps", "_root"]


def _facts(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return rows.select(_READ).with_columns(pl.col("edits").fill_null([])).to_dicts()


def _with(rows: pl.DataFrame, changes: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns = [
        pl.Series(name, [c[name] for c in changes], dtype=rows.schema[name]) for name in _CHANGED
    ]
    return rows.with_columns(columns)


def _same(a: Span, b: Span) -> bool:
    return abs(a.start_s - b.start_s) <= SAME_S and abs(a.end_s - b.end_s) <= SAME_S


def _piece(row: dict[str, Any], span: Span | None, number: int) -> dict[str, Any]:
    """The row of a piece, or the row itself for no span."""
    row["_place"] = f"{row['_place']}.{number:09d}"
    if span is None:
        return row
    late_s = span.start_s - (row["start_s"] or 0.0)
    edits = cut_edits([Edit.from_row(e) for e in row["edits"]], late_s)
    row["edits"] = [e.to_row() for e in edits]
    row["clip_id"] = child_id(row["_root"], span)
    row["parent_id"] = row["_root"]
    row["start_s"], row["end_s"] = span.start_s, span.end_s
    row["duration_s"] = span.end_s - span.start_s
    row["num_frames"] = None
    row["estimated_frames"] = estimated_frames(row["duration_s"], row["fps"])
    row["signature"] = _signature(row)
    return row


def estimated_frames(duration_s: float, fps: float | None) -> int | None:
    """Frames of a clip by its duration and its file's average rate; at least one."""
    return max(1, round(duration_s * fps)) if fps else None


def _signature(row: Mapping[str, Any]) -> str:
    edits = [Edit.from_row(e) for e in row["edits"]]
    return signature(row["media_id"], row["start_s"], row["end_s"], edits)
