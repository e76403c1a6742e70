"""The size budget of events, and the charts in them."""

from __future__ import annotations

import base64
from xml.etree import ElementTree as ET

import dagster as dg
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dj_assets import charts, metadata
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.report import FunnelStep, Histogram, StageReport

SVG = "{http://www.w3.org/2000/svg}"


def report(histograms=(), funnel=()) -> StageReport:
    return StageReport(
        table="s/t2v/cleaned", shard="00000", version=7, rows_in=10, rows_out=10, kept=6,
        rejected={"video_duration_filter": 3}, errors={"corrupt": 1},
        funnel=tuple(funnel), histograms=tuple(histograms),
    )  # fmt: skip


def histogram(column: str, bins: int = 30, thresholds=(None, None)) -> Histogram:
    edges = tuple(float(i) for i in range(bins + 1))
    return Histogram(column, edges, tuple(range(bins)), thresholds, "px")


def test_an_ordinary_event_is_small_and_complete():
    found = metadata.of_shard(report([histogram("a"), histogram("b")]), "/w/x.lance", CLIP_SCHEMA)
    assert metadata.stored_bytes(found) < 13 * 1024
    assert "left_out" not in found
    assert found["keep_rate"].value == 0.6
    assert found["error_classes"].value == "corrupt: 1"


def test_charts_that_do_not_fit_are_left_out_by_name_and_those_with_thresholds_stay():
    plain = [histogram(f"plain_{i}") for i in range(40)]
    wanted = [histogram(f"wanted_{i}", thresholds=(3, None)) for i in range(3)]
    found = metadata.of_shard(report([*plain, *wanted]), "/w/x.lance", CLIP_SCHEMA)
    assert metadata.stored_bytes(found) <= metadata.SHARD_BYTES
    assert {f"histogram/wanted_{i}" for i in range(3)} <= set(found)
    assert "histogram/plain_39" in found["left_out"].value


def test_no_event_is_larger_than_the_budget_whatever_is_in_it():
    wide = pa.schema([pa.field(f"column_{i}", pa.float64()) for i in range(1000)])
    funnel = [FunnelStep(f"operator_{i}", 1, 0, 0, 1) for i in range(2000)]
    found = metadata.of_shard(report([histogram("a")], funnel), "/w/x.lance", wide)
    assert metadata.stored_bytes(found) <= metadata.EVENT_BYTES
    assert found["rows_in"].value == 10
    assert "dagster/column_schema" in found["left_out"].value


def test_a_chart_above_its_budget_is_left_out():
    large = dg.MetadataValue.md("x" * (metadata.CHART_BYTES + 1))
    found = metadata.bounded({"chart": large, "n": dg.MetadataValue.int(1)}, limit=10**6)
    assert found.keys() == {"n", "left_out"}


def drawn(found: Histogram) -> ET.Element:
    text = charts.histogram_markdown(found)
    encoded = text.removeprefix(f"![{found.column}](data:image/svg+xml;base64,").removesuffix(")")
    return ET.fromstring(base64.b64decode(encoded))


def test_a_histogram_shows_every_bar_and_both_thresholds_where_they_are():
    counts = (1, 2, 4)
    picture = drawn(Histogram("score", (0.0, 1.0, 2.0, 3.0), counts, (0.0, 2.0)))
    paths = picture.findall(f"{SVG}path")
    bars = [p.get("d").split("v-") for p in paths if p.get("stroke-width")]
    heights = sorted(int(h.split("M")[0]) for bar in bars for h in bar[1:])
    assert heights == [17, 34, 68]  # as 1 : 2 : 4
    (limits,) = [p.get("d") for p in paths if p.get("stroke-dasharray")]
    assert [int(m.split(" ")[0]) for m in limits.split("M")[1:]] == [6, 278]  # 2/3 of 6 to 414
    texts = [t.text for t in picture.iter(f"{SVG}text")]
    assert texts == ["score, 7 clips, kept 0 to 2", "0", "3"]


@given(
    counts=st.lists(st.integers(0, 10**9), min_size=1, max_size=64),
    start=st.floats(-1e6, 1e6),
    width=st.floats(1e-6, 1e6),
    lowest=st.none() | st.floats(-1e9, 1e9),
    highest=st.none() | st.floats(-1e9, 1e9),
)
def test_any_histogram_is_well_formed_and_short_enough_to_be_shown_at_once(
    counts, start, width, lowest, highest
):
    edges = tuple(start + i * width for i in range(len(counts) + 1))
    found = Histogram("video_ocr_area_ratio", edges, tuple(counts), (lowest, highest), "ratio")
    assert len(charts.histogram_markdown(found)) <= charts.INLINE_CHARACTERS
    drawn(found)
