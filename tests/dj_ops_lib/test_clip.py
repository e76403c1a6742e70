"""Rows, ids and signatures mean the same on every machine and in every run."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dj_ops_lib.clip import (
    CLIP_SCHEMA,
    Caption,
    Clip,
    Edit,
    Span,
    child_id,
    clip_id,
    signature,
)

TEXT = st.text(max_size=30).filter(lambda s: not any("\ud800" <= c <= "\udfff" for c in s))
EDITS = st.lists(
    st.builds(
        Edit,
        filter=st.sampled_from(["scale", "crop", "delogo"]),
        arguments=st.dictionaries(TEXT, TEXT, max_size=3).map(lambda d: tuple(d.items())),
        stream=st.sampled_from(["video", "audio"]),
    ),
    max_size=3,
).map(tuple)


@given(edits=EDITS, captions=st.lists(TEXT, max_size=3), tags=st.lists(TEXT, max_size=3))
def test_a_clip_survives_the_way_through_arrow(
    edits: tuple[Edit, ...], captions: list[str], tags: list[str]
) -> None:
    clip = Clip(
        clip_id="c",
        source="s",
        shard="00000",
        start_s=1.5,
        edits=edits,
        captions=tuple(Caption(c) for c in captions),
        tags=tuple(tags),
        columns={"video_motion_score": 1.25},
    )
    schema = CLIP_SCHEMA.append(pa.field("video_motion_score", pa.float64()))
    (row,) = pa.Table.from_pylist([clip.to_row()], schema=schema).to_pylist()
    assert Clip.from_row(row) == clip


def test_a_new_row_is_kept_and_has_no_error() -> None:
    row = Clip(clip_id="c", source="s", shard="00000").to_row()
    assert set(CLIP_SCHEMA.names) == set(row)
    assert (row["keep"], row["rejected_by"], row["error"]) == (True, None, None)


def test_ids_are_the_same_in_another_process() -> None:
    code = (
        "from dj_ops_lib.clip import *;"
        "print(clip_id('a', 'é', 0.1, None), child_id('p', Span(0.1, 2)));"
        "print(signature('m', None, None, [Edit('scale', (('w', '2'),))]))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [
        clip_id("a", "é", 0.1, None),
        child_id("p", Span(0.1, 2)),
        signature("m", None, None, [Edit("scale", (("w", "2"),))]),
    ]


def test_ids_tell_source_id_span_and_occurrence_apart() -> None:
    ids = {
        clip_id("a", "v", None, None),
        clip_id("b", "v", None, None),
        clip_id("a", "w", None, None),
        clip_id("a", "v", 0.0, None),
        clip_id("a", "v", 0.0, 1.0),
        clip_id("a", "v", 0.0, 1.0, occurrence=1),
        child_id(clip_id("a", "v", None, None), Span(0, 1)),
    }
    assert len(ids) == 7
    assert clip_id("a", "v", 0.1 + 0.2, None) == clip_id("a", "v", 0.3, None)


def test_the_signature_depends_on_content_span_and_the_order_of_edits() -> None:
    scale, crop = Edit("scale", (("w", "2"), ("h", "2"))), Edit("crop", (("w", "2"),))
    signatures = {
        signature("m", None, None, []),
        signature("n", None, None, []),
        signature("m", 1.0, None, []),
        signature("m", 1.0, 2.0, []),
        signature("m", None, None, [scale]),
        signature("m", None, None, [scale, crop]),
        signature("m", None, None, [crop, scale]),
    }
    assert len(signatures) == 7


def test_edits_are_stored_as_json_that_other_tools_can_read() -> None:
    row = Edit("scale", (("w", "640"), ("h", "-2"))).to_row()
    assert json.loads(row["arguments"]) == {"w": "640", "h": "-2"}
    assert (row["filter"], row["stream"]) == ("scale", "video")


def test_every_shared_column_says_what_it_holds() -> None:
    assert all(field.metadata[b"description"] for field in CLIP_SCHEMA)
