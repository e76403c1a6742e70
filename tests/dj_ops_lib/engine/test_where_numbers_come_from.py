"""An explanation names the result that each number rests on, wherever it was measured."""

from __future__ import annotations

from typing import Any

from engine_operators import (
    BrightnessFilter,
    FlowFilter,
    HalvesSplitter,
    LengthFilter,
    MiddleFilter,
    ShrinkEditor,
)
from engine_workshop import Workshop

from dj_ops_lib.warehouse.origins import Origin


def origins(shelf: Workshop, clip_id: str, table: str = "toys/r/cleaned") -> dict[str, Origin]:
    """By operator, over the whole way of the clip."""
    steps = shelf.warehouse.explain(table, clip_id).steps
    return {name: o for step in reversed(steps) for name, o in step.origins.items()}


def stored(shelf: Workshop, origin: Origin) -> dict[str, Any]:
    """The one result that an origin names."""
    rows = [r for b in shelf.warehouse.scan("toys/results") for r in b.to_pylist()]
    (row,) = [
        r
        for r in rows
        if (r["digest"].hex(), r["subject"].hex()) == (origin.digest, origin.subject)
    ]
    return row


def test_a_number_is_traced_to_the_shard_and_run_that_measured_it(shelf: Workshop) -> None:
    shelf.run(BrightnessFilter())
    (shelf.videos / "copy.mp4").write_bytes((shelf.videos / "c.mp4").read_bytes())
    shelf.raw("1", [{"source_id": "copy"}])
    shelf.probe("1")
    shelf.run(LengthFilter(), BrightnessFilter(), shard="1")
    (copy,) = shelf.rows(shard="1")
    found = origins(shelf, copy["clip_id"])
    assert set(found) == {"brightness_filter", "media"}
    bright = found["brightness_filter"]
    result = stored(shelf, bright)
    (original,) = [r for r in shelf.rows() if r["source_id"] == "c"]
    assert (bright.shard, bright.clip_id) == ("0", original["clip_id"])
    assert (result["source_id"], result["at"]) == ("c", bright.at)
    assert stored(shelf, found["media"])["source_id"] == "copy"
    told = shelf.warehouse.explain("toys/r/cleaned", copy["clip_id"]).lines()
    (line,) = [t for t in told if f"{bright.digest[:8]}-{bright.subject[:8]}" in t]
    assert f"{bright.at:%Y-%m-%d %H:%M:%S} UTC of clip {original['clip_id']} for shard 0" in line
    assert told[told.index(line) - 1].startswith("  brightness_filter ")


def test_pieces_and_edited_clips_are_traced_to_what_each_operator_saw(shelf: Workshop) -> None:
    """In one stage the whole, the piece and the edited piece are looked at."""
    shelf.run(BrightnessFilter(), HalvesSplitter(), MiddleFilter(), ShrinkEditor(), FlowFilter())
    media = {r["source_id"]: r for r in shelf.rows("toys/media")}
    for row in shelf.rows():
        whole = media[row["source_id"]]
        found = origins(shelf, row["clip_id"])
        names = {"brightness_filter", "halves_mapper", "middle_filter", "flow_filter", "media"}
        assert set(found) == names
        assert found["brightness_filter"].subject == whole["signature"]
        assert found["halves_mapper"].subject == whole["signature"]
        assert stored(shelf, found["middle_filter"])["clip_id"] == row["clip_id"]
        assert found["middle_filter"].subject not in (row["signature"], whole["signature"])
        assert found["flow_filter"].subject == row["signature"]


def test_a_result_that_was_pruned_has_no_origin(shelf: Workshop) -> None:
    from dj_ops_lib.warehouse.results_inventory import Chosen

    shelf.run(BrightnessFilter())
    row = shelf.rows()[0]
    chosen = Chosen(operator="brightness_filter", even_used=True)
    shelf.warehouse.prune_results(chosen, remove=True)
    assert set(origins(shelf, row["clip_id"])) == {"media"}
