"""The demo recipe, run over the demo corpus, gives every clip the outcome that truth.json has.

Through the engine, without Dagster: what is tested is what becomes of each
clip, by identity, and that none is lost on the way.
"""

from __future__ import annotations

import collections
import itertools
from pathlib import Path
from typing import Any

import pytest

import dj_assets
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.shard import probe_shard, process_shard
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.sources.config import SourceConfig
from dj_ops_lib.sources.ingest import ingest_shard, write_manifest
from dj_ops_lib.warehouse import Warehouse

pytestmark = pytest.mark.slow  # tests/e2e does the same through Dagster, at every `make test`

Row = dict[str, Any]
RECIPE = Path(dj_assets.__file__).parent / "defs" / "recipes" / "t2v" / "defs.yaml"
STAGES = ("raw", "media", "t2v/clips", "t2v/cleaned", "t2v/deduplicated")


@pytest.fixture(scope="module")
def tables(corpus, tmp_path_factory) -> dict[str, list[Row]]:
    """Rows of all three sources, by stage, after every shard of every stage has been made."""
    folder = tmp_path_factory.mktemp("outcome")
    warehouse = Warehouse(str(folder / "warehouse"))
    recipe = load_recipe(RECIPE, name="t2v", at="attributes")
    for name, facts in corpus.truth["sources"].items():
        rows_per_shard = facts["rows_per_shard"]
        config = SourceConfig(
            name=name, root=str(corpus.root / name), rows_per_shard=rows_per_shard
        )
        options = EngineOptions(access=config.access(), workers=1)
        for shard in write_manifest(warehouse, config).shards:
            ingest_shard(warehouse, config, shard)
            place = {"source": name, "shard": shard, "options": options}
            probe_shard(warehouse, locate=config.locate, **place)
            for stage in recipe.stages:
                process_shard(warehouse, recipe, stage.name, **place)
    return {
        stage: [
            row
            for name in corpus.truth["sources"]
            for batch in warehouse.scan(f"{name}/{stage}")
            for row in batch.to_pylist()
        ]
        for stage in STAGES
    }


def test_every_clip_ends_as_the_truth_says(corpus, tables):
    ends = _ends(tables)
    media = collections.defaultdict(list)
    for row in tables["media"]:
        media[_place(row)].append(row)
    for clip in corpus.truth["clips"]:
        row = _take(media[_place(clip)], clip)
        if "outcome" in clip:
            assert row["availability"] == clip["availability"], clip
            assert not row["keep"], clip
            assert row["error"]["class"] == clip["outcome"]["error"], clip
            continue
        found = sorted(ends[row["clip_id"]], key=lambda end: _span(end[1]))
        assert len(found) == len(clip["pieces"]), clip
        for piece, (stage, end) in zip(clip["pieces"], found, strict=True):
            expected = (piece["start_s"], piece["end_s"])
            assert _span(end) == pytest.approx(expected, abs=piece["tolerance_s"]), clip
            outcome = piece["outcome"]
            assert (stage, end["keep"], end["rejected_by"], end["error"]) == (
                outcome["stage"],
                outcome["keep"],
                outcome.get("rejected_by"),
                None,
            ), clip
    assert not any(media.values()), "rows of which the truth knows nothing"


def test_a_duplicate_names_the_clip_that_it_repeats(corpus, tables):
    by_id = {row["clip_id"]: row for row in tables["t2v/deduplicated"]}
    found = {
        (_place(row), (by_id[row["duplicate_of"]]["source_id"],
                       by_id[row["duplicate_of"]]["annotation_row"]))
        for row in by_id.values()
        if row["rejected_by"]
    }  # fmt: skip
    expected = {
        (_place(clip), tuple(piece["outcome"]["duplicate_of"].values()))
        for clip in corpus.truth["clips"]
        for piece in clip.get("pieces", [])
        if "duplicate_of" in piece["outcome"]
    }
    assert found == expected


def test_no_clip_is_lost_between_the_stages(tables):
    for before, after in itertools.pairwise(STAGES):
        entered = {row["clip_id"] for row in tables[before] if row["keep"]}
        left = {row["clip_id"] for row in tables[after]}
        parents = {row["parent_id"] for row in tables[after]}
        assert entered <= left | parents, after
        assert all(
            row["clip_id"] in entered or row["parent_id"] in entered for row in tables[after]
        )


def test_headers_say_what_the_corpus_was_made_with(corpus, tables):
    facts = {(v["source"], v["source_id"]): v for v in corpus.truth["videos"]}
    for row in tables["media"]:
        if row["availability"] != "ok" or not row["keep"]:
            continue
        video = facts[row["source"], row["source_id"]]
        for column in ("width", "height", "rotation", "sample_aspect_ratio", "has_audio"):
            assert row[column] == video[column], (row["source_id"], column)


def _place(row: Row) -> tuple[Any, ...]:
    return (
        row["source"],
        row["shard"],
        row["annotation_file"],
        row["annotation_row"],
        row["source_id"],
    )


def _span(row: Row) -> tuple[float, float]:
    start = row["start_s"] or 0.0
    return start, row["end_s"] if row["end_s"] is not None else start + row["duration_s"]


def _take(rows: list[Row], clip: Row) -> Row:
    """Removes and returns the row of an annotated clip among those of its entry."""
    start = clip["annotated_start_s"] or 0.0
    (row,) = [r for r in rows if abs((r["start_s"] or 0.0) - start) < 0.03]
    rows.remove(row)
    return row


def _ends(tables: dict[str, list[Row]]) -> dict[str, list[tuple[str, Row]]]:
    """Where each media row's pieces ended: the last stage that has them, and the row there."""
    last: dict[str, tuple[str, Row]] = {}
    for stage in STAGES[2:]:
        last |= {row["clip_id"]: (stage.partition("/")[2], row) for row in tables[stage]}
    ends = collections.defaultdict(list)
    for stage, row in last.values():
        ends[row["parent_id"] or row["clip_id"]].append((stage, row))
    return ends
