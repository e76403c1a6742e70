"""Some of a source's results, chosen by chance, and the rows of the clips that they are about."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from dj_ops_lib.warehouse.locate import literal
from dj_ops_lib.warehouse.result_schema import RESULT_SCHEMA, results_table
from dj_ops_lib.warehouse.store import Store

_IDS = 1000
"""Ids in one condition."""

_NEEDED = {"clip_id", "signature", "video_uri", "start_s"}
"""Columns by which a table is known to hold clips that can be looked at."""


def sample(store: Store, source: str, share: float, seed: int) -> tuple[pa.Table, int]:
    """The results about a share of a source's clips, all of each clip, without failures.

    Args:
        store: The warehouse.
        source: Name of the source.
        share: Part of the clips, 0 to 1; at least one clip is chosen.
        seed: The same seed chooses the same clips of the same results.

    Returns:
        The results, columns of `RESULT_SCHEMA`; and how many there are in all.
    """
    dataset = store.find(results_table(source))
    if dataset is None:
        return RESULT_SCHEMA.empty_table(), 0
    # What is measured of a file, and not of a clip, has no clip.
    about = pl.coalesce(pl.col("clip_id").replace("", None), "source_id").fill_null("")
    failed = pl.col("error").struct.field("class").is_not_null()
    parts = [
        pl.DataFrame(batch).select(about.alias("about"), failed.alias("failed"))
        for batch in dataset.scanner(columns=["clip_id", "source_id", "error"]).to_batches()
    ]
    if not parts:
        return RESULT_SCHEMA.empty_table(), 0
    facts = pl.concat(parts).with_row_index("place").filter(~pl.col("failed"))
    clips = sorted(facts["about"].unique())
    if not clips:
        return RESULT_SCHEMA.empty_table(), 0
    number = min(len(clips), max(1, round(share * len(clips))))
    chosen = random.Random(seed).sample(clips, number)  # noqa: S311 (not for secrets)
    places = facts.filter(pl.col("about").is_in(chosen))["place"].to_numpy().astype(np.int64)
    found = dataset.take(places.tolist(), columns=RESULT_SCHEMA.names)
    return found.cast(RESULT_SCHEMA), len(facts)


def clips_about(
    store: Store, source: str, clip_ids: Sequence[str], signatures: Sequence[str]
) -> Iterator[pa.Table]:
    """Rows of clips with one of these ids or signatures, of each table of the source that has any.

    Args:
        store: The warehouse.
        source: Name of the source.
        clip_ids: As in the column `clip_id`.
        signatures: As in the column `signature`.
    """
    for table in store.tables():
        if not table.startswith(f"{source}/"):
            continue
        dataset = store.open(table)
        if not set(dataset.schema.names) >= _NEEDED:
            continue
        for column, values in (("clip_id", clip_ids), ("signature", signatures)):
            for begin in range(0, len(values), _IDS):
                listed = ", ".join(map(literal, values[begin : begin + _IDS]))
                rows = dataset.to_table(filter=f"{column} IN ({listed})")
                if rows.num_rows:
                    yield rows
