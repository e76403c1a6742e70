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
from dj_ops_lib.histograms import Edges, Histogram
from dj_ops_lib.report import FunnelStep, StageReport

SVG = "{http://www.w3.org/2000/svg}"


def report(histograms=(), funnel=(), thresholds=None) -> StageReport:
    return StageReport(
        table="s/t2v/cleaned", shard="00000", version=7, rows_in=10, rows_out=10, kept=6,
        rejected={"video_duration_filter": 3}, errors={"corrupt": 1},
        funnel=tuple(funnel), histograms=tuple(histograms), thresholds=thresholds or {},
    )  # fmt: skip


def histogram(column: str, bins: int = 30) -> Histogram:
    counts = (0, *range(bins), 0)
    return Histogram(column, Edges.linear(0, bins, bins), counts, counts, unit="px")


def test_an_ordinary_event_is_small_and_complete():
    found = metadata.of_shard(report([histogram("a"), histogram("b")]), "/w/x.lance", CLIP_SCHEMA)
    assert metadata.stored_bytes(found) < 13 * 1024
    assert "left_out" not in found
    assert found["keep_rate"].value == 0.6
    assert found["error_classes"].value == "corrupt: 1"


def test_charts_that_do_not_fit_are_left_out_by_name_and_those_with_thresholds_stay():
    plain = [histogram(f"plain_{i}") for i in range(40)]
    wanted = [histogram(f"wanted_{i}") for i in range(3)]
    limits = {h.column: (3, None) for h in wanted}
    found = metadata.of_shard(
        report([*plain, *wanted], thresholds=limits), "/w/x.lance", CLIP_SCHEMA
    )
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


def drawn(found: Histogram, thresholds=(None, None)) -> ET.Element:
    text = charts.histogram_markdown(found, thresholds)
    encoded = text.removeprefix(f"![{found.column}](data:image/svg+xml;base64,").removesuffix(")")
    return ET.fromstring(base64.b64decode(encoded))


def bars(picture: ET.Element, colour: str) -> list[tuple[int, int]]:
    """(x, height) of the bars of a colour."""
    paths = [p for p in picture.findall(f"{SVG}path") if p.get("stroke-width")]
    (path,) = [p.get("d") for p in paths if p.get("stroke") == colour] or [""]
    found = [bar.split(" 94v-") for bar in path.split("M")[1:]]
    return [(int(x), int(height)) for x, height in found]


def limits(picture: ET.Element) -> list[int]:
    """Where thresholds are."""
    paths = [p.get("d") for p in picture.findall(f"{SVG}path") if p.get("stroke-dasharray")]
    return [int(m.split(" ")[0]) for d in paths for m in d.split("M")[1:]]


def texts(picture: ET.Element) -> list[str | None]:
    return [t.text for t in picture.iter(f"{SVG}text")]


PALE, DARK = "#bbd", "#43d"


def test_a_histogram_shows_every_bar_what_is_kept_of_it_and_both_thresholds_where_they_are():
    found = Histogram("score", Edges.linear(0, 3, 3), (0, 1, 2, 4, 0), (0, 1, 2, 1, 0), unit="px")
    picture = drawn(found, (0, 2))
    assert bars(picture, DARK) == [(74, 17), (210, 34), (346, 17)]  # as 1 : 2 : 1
    assert bars(picture, PALE) == [(346, 68)]  # behind; 4 as 1 is 17
    assert limits(picture) == [6, 278]  # 2/3 of 6 to 414
    assert texts(picture) == ["score [px], 7 clips, kept 0 to 2", "0", "2", "3"]


def test_a_logarithmic_axis_has_thresholds_and_numbers_by_the_logarithm():
    edges = Edges.log(1, 10_000, 4)
    picture = drawn(Histogram("rate", edges, (0, 5, 5, 5, 5, 0), (0, 5, 5, 5, 5, 0)), (10, 100))
    assert limits(picture) == [108, 210]  # a quarter and a half of 6 to 414
    assert texts(picture)[1:] == ["1", "100", "1e+04"]


def test_rows_outside_of_the_edges_are_a_bar_at_either_end_of_the_axis():
    counts = (8, 0, 0, 4, 4, 0, 0, 2)
    picture = drawn(Histogram("share", Edges.linear(0, 6, 6), counts, (0,) * 8), (None, 3))
    assert bars(picture, DARK) == []
    (first, eight), *_, (last, two) = sorted(bars(picture, PALE))
    assert (eight, two) == (68, 17)
    # The axis has two bins of its own for each, beside the two that have rows: six in all.
    assert (first, last) == (40, 380)
    assert limits(picture) == [210]
    assert texts(picture) == ["share, 18 clips, kept up to 3", "<0", "3", ">6"]


def test_an_axis_is_of_the_bins_that_have_rows():
    counts = [0] * 102
    counts[41:43] = [1, 3]
    found = Histogram("share", Edges.linear(0, 1, 100), tuple(counts), tuple(counts))
    assert texts(drawn(found))[1:] == ["0.4", "0.41", "0.42"]
    assert bars(drawn(found), DARK) == [(108, 23), (312, 68)]
    # A threshold far away is in words only, one that is near widens the axis.
    assert limits(drawn(found, (0.9, None))) == []
    assert limits(drawn(found, (0.38, None))) == [6]


@given(
    counts=st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), min_size=3, max_size=66),
    log=st.booleans(),
    start=st.floats(-1e6, 1e6),
    width=st.floats(1e-6, 1e6),
    lowest=st.none() | st.floats(-1e9, 1e9),
    highest=st.none() | st.floats(-1e9, 1e9),
)
def test_any_histogram_is_well_formed_and_short_enough_to_be_shown_at_once(
    counts, log, start, width, lowest, highest
):
    bins = len(counts) - 2
    if log:
        edges = Edges.log(width, width * (2 + abs(start)), bins)
    else:
        edges = Edges.linear(start, start + bins * width, bins)
    every, kept = tuple(c for c, _ in counts), tuple(c * k for c, k in counts)
    found = Histogram("video_ocr_area_ratio", edges, every, kept, unit="ratio")
    limits = (lowest, highest)
    assert len(charts.histogram_markdown(found, limits)) <= charts.INLINE_CHARACTERS
    drawn(found, limits)
