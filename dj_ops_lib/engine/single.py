"""One operator on a few files, answered as plain JSON values: what `dj op` prints."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.files import run_recipe_on_files
from dj_ops_lib.engine.options import available_cores
from dj_ops_lib.media.scratch import own_temporary_folder, scratch_folder, sweep
from dj_ops_lib.operator import DUPLICATE_COLUMNS, Deduplicator, Editor, Filter, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import operator_class, operator_names
from dj_ops_lib.warehouse import Warehouse

QUICK_S = 2.0
"""As long as a batch of files takes less, the next one is twice as large."""


def run_operator(
    operator: Operator, paths: Sequence[str], *, text: str | None = None
) -> Iterator[dict[str, Any]]:
    """Run one operator on video files, through the same engine as a recipe.

    Args:
        operator: The operator with its parameters.
        paths: Video files; those that are links are followed, since they were named.
        text: The text that belongs to each of them.

    Columns that the operator reads are measured first by the operators that make them.

    Yields:
        For each file in order, as soon as a few are done: `input`; `clips`, its spans in seconds;
        `columns` that the operator adds (and `width` and `height` in pixels after an editor);
        `keep`, None where the operator does not decide; `edits`; `error`, None or its `class` and
        `message`. A deduplicator looks at all files before it answers.
    """
    root = own_temporary_folder() / "op"
    sweep(root)  # what a killed one left
    begin, size = 0, available_cores()
    while begin < len(paths):
        started = time.monotonic()
        batch = paths[begin:] if isinstance(operator, Deduplicator) else paths[begin:][:size]
        with scratch_folder(root, "op") as folder:
            outcomes = _run_batch(operator, batch, folder, text)
        yield from outcomes
        begin += len(batch)
        size *= 2 if time.monotonic() - started < QUICK_S else 1


def _run_batch(
    operator: Operator, paths: Sequence[str], folder: Path, text: str | None
) -> list[dict[str, Any]]:
    makers = _makers(operator)
    before = (Stage("before", makers),) if makers else ()
    recipe = Recipe("single", (*before, Stage("result", (operator,))))
    warehouse = Warehouse(str(folder / "tables"))
    targets = [os.path.realpath(p) for p in paths if Path(p).is_symlink()]
    run_recipe_on_files(warehouse, recipe, paths, text=text, roots=targets)
    probed = _rows(warehouse, "files/media")
    results = _rows(warehouse, "files/single/result")
    by_file: dict[str, list[Mapping[str, Any]]] = {}
    for row in results:
        by_file.setdefault(row["parent_id"] or row["clip_id"], []).append(row)
    inputs = {row["clip_id"]: row["source_id"] for row in probed}
    return [_outcome(operator, m, by_file.get(m["clip_id"], [m]), inputs) for m in probed]


def _makers(operator: Operator) -> tuple[Operator, ...]:
    """The operators that make the columns that `operator` reads, set to keep every clip."""
    wanted = set(operator.reads)
    classes = [operator_class(name) for name in operator_names()] if wanted else []
    return tuple(
        _keeping_all(c)
        for c in classes
        if c.name != operator.name and wanted & {column.name for column in c.columns}
    )


def _keeping_all(found: type[Operator]) -> Operator:
    limits = {"min_": -sys.float_info.max, "max_": sys.float_info.max}
    opened: dict[str, Any] = {}
    for name, field in found.model_fields.items():
        limit = limits.get(name[:4])
        if limit is not None and field.annotation is float:
            opened[name] = limit
    return found(**opened)


def _rows(warehouse: Warehouse, table: str) -> list[dict[str, Any]]:
    shards = sorted(warehouse.shards(table))
    return [
        row
        for shard in shards
        for batch in warehouse.read_shard(table, shard)
        for row in batch.to_pylist()
    ]


def _outcome(
    operator: Operator,
    media: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """What `operator` made of one file: its rows, or its media row where it never got that far."""
    first = rows[0]
    error = first["error"]
    names = [c.name for c in operator.columns]
    if isinstance(operator, Editor):
        names += ["width", "height"]
    if isinstance(operator, Deduplicator):
        names += [c.name for c in DUPLICATE_COLUMNS]
    columns: dict[str, Any] = {name: first.get(name) for name in names}
    if columns.get("duplicate_of"):
        columns["duplicate_of"] = inputs[columns["duplicate_of"]]
    decides = isinstance(operator, Filter | Deduplicator) and not error
    kept = [r for r in rows if r["keep"]]
    spans = [Clip.from_row(r).span for r in (rows if decides else kept)]
    return {
        "input": media["source_id"],
        "clips": [{"start_s": s.start_s, "end_s": s.end_s} for s in spans],
        "columns": columns,
        "keep": first["keep"] if decides else None,
        "edits": [e | {"arguments": json.loads(e["arguments"])} for e in first["edits"]],
        "error": {"class": error["class"], "message": error["message"]} if error else None,
    }
