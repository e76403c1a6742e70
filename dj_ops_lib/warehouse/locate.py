"""Which fragments hold the rows of a condition, without reading any of their other columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import lance


def located(dataset: lance.LanceDataset, where: str) -> dict[int, int]:
    """Rows of `where` by id of the fragment that holds them, in the order of ids."""
    scanner = dataset.scanner(filter=where, columns=[], with_row_address=True)
    counts: dict[int, int] = {}
    for batch in scanner.to_batches():
        fragments = pc.shift_right(batch.column("_rowaddr"), pa.scalar(32, pa.uint64()))
        for entry in pc.value_counts(fragments):
            key = entry["values"].as_py()
            counts[key] = counts.get(key, 0) + entry["counts"].as_py()
    return dict(sorted(counts.items()))


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
