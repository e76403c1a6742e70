"""Small pictures for the Dagster UI, drawn as SVG text.

Here: shapes, colours and sizes. Not here: which pictures an event gets and how
large it may become (`metadata.py`). Dagster draws nothing but markdown images
from `data:` URIs, and shows them at once only if the markdown has fewer than
1,000 characters, else behind a click. Hence SVG by hand: the smallest PNG from
a plotting library is ten times as large.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape

from dj_ops_lib.histograms import Edges, Histogram

Thresholds = tuple[float | None, float | None]
"""(lowest, highest) value that is kept, None for no limit."""

INLINE_CHARACTERS = 999
"""Longest markdown that the UI shows without a click (Dagster 1.13, expandSmallValues)."""

WIDTH, HEIGHT = 420, 110
_LEFT, _RIGHT, _TOP, _FLOOR = 6, 414, 26, 94
_KEPT, _ALL, _LIMIT = "#43d", "#bbd", "#d31"
_BARS = (24, 20, 16, 12, 8, 4)


def histogram_markdown(histogram: Histogram, thresholds: Thresholds = (None, None)) -> str:
    """The histogram as markdown that the UI shows at once, with as many bars as fit into that."""
    for bars in _BARS:
        text = _markdown(histogram_svg(histogram, thresholds, bars), histogram.column)
        if len(text) <= INLINE_CHARACTERS:
            break
    return text


def histogram_svg(
    histogram: Histogram, thresholds: Thresholds = (None, None), bars: int = _BARS[0]
) -> str:
    """A histogram with its thresholds: pale bars of all rows, and in front dark ones of the kept.

    The x axis is the statistic's own, linear or logarithmic, from the first to the last bin that
    has rows. It is widened so that a threshold outside of them is still seen, unless it lies so
    far away (more than twice their range) that the bars would shrink to a line, or outside of the
    edges; such a threshold is written in the title only. Rows outside of the edges are a bar at
    either end of the axis, named `<` and the lowest edge, or `>` and the highest.

    Args:
        histogram: What to draw.
        thresholds: (lowest, highest) value that is kept, None for no limit.
        bars: Largest number of bars; neighbouring bins are merged to get there.
    """
    edges = histogram.edges
    shown = histogram.bars(bars)
    first, end, step = shown.first, shown.end, shown.step
    drawn = [
        (first + (i + 0.5) * step, every, kept)
        for i, (every, kept) in enumerate(zip(shown.counts, shown.kept, strict=True))
    ]
    limits = [edges.position(t) for t in thresholds if t is not None]
    near = 2 * (end - first)
    seen = [p for p in limits if 0 <= p <= edges.bins and first - near <= p <= end + near]
    left, right = min((first, *seen)), max((end, *seen))
    if histogram.below:
        left -= 2 * step
        drawn.append((left + step / 2, histogram.below, histogram.kept[0]))
    if histogram.above:
        right += 2 * step
        drawn.append((right - step / 2, histogram.above, histogram.kept[-1]))
    scale = (_RIGHT - _LEFT) / (right - left)
    tallest = max((1, *(every for _, every, _ in drawn)))

    def x(position: float) -> int:
        return round(_LEFT + (position - left) * scale)

    def height(count: int) -> int:
        return max(2, round(count / tallest * (_FLOOR - _TOP))) if count else 0

    paths = {_ALL: "", _KEPT: ""}
    for middle, every, kept in drawn:
        for colour, tall in ((_ALL, height(every)), (_KEPT, height(kept))):
            if tall and not (colour == _ALL and tall == height(kept)):
                paths[colour] += f"M{x(middle)} {_FLOOR}v-{tall}"
    thickness = max(2, int(step * scale) - 1)
    shapes = [
        f'<path stroke="{colour}" stroke-width="{thickness}" d="{path}"/>'
        for colour, path in paths.items()
        if path
    ]
    marks = "".join(f"M{x(p)} {_TOP - 4}V{_FLOOR}" for p in seen)
    if marks:
        shapes.append(f'<path stroke="{_LIMIT}" stroke-dasharray="4" d="{marks}"/>')
    shapes.append(f'<path stroke="#777" d="M{_LEFT} {_FLOOR}H{_RIGHT}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f'<path fill="#fff" d="M0 0h{WIDTH}v{HEIGHT}H0"/>{"".join(shapes)}'
        f'<g font-family="Arial" font-size="11"><text x="{_LEFT}" y="13">'
        f"{escape(_title(histogram, thresholds))}</text>"
        f"{_axis(histogram, left, right, x)}</g></svg>"
    )


def _axis(histogram: Histogram, left: float, right: float, x: Callable[[float], int]) -> str:
    """Numbers under both ends and amid them, where the scale shows."""
    edges, values = histogram.edges, histogram.edges.values
    first = f"<{_number(values[0])}" if histogram.below else _number(_value(edges, left))
    last = f">{_number(values[-1])}" if histogram.above else _number(_value(edges, right))
    amid = min(max(round((left + right) / 2), 0), edges.bins)
    return (
        f'<text x="{_LEFT}" y="106">{escape(first)}</text>'
        f'<text x="{x(amid)}" y="106" text-anchor="middle">{_number(values[amid])}</text>'
        f'<text x="{_RIGHT}" y="106" text-anchor="end">{escape(last)}</text>'
    )


def _value(edges: Edges, position: float) -> float:
    """The value at a place of the scale."""
    share = position / edges.bins
    if edges.scale == "linear":
        return edges.low + (edges.high - edges.low) * share
    return edges.low * float((edges.high / edges.low) ** share)


def _title(histogram: Histogram, thresholds: Thresholds) -> str:
    lowest, highest = thresholds
    unit = f" [{histogram.unit}]" if histogram.unit else ""
    title = f"{histogram.column}{unit}, {histogram.values:,} clips"
    if lowest is None and highest is None:
        return title
    if highest is None:
        return f"{title}, kept from {_number(lowest)}"
    if lowest is None:
        return f"{title}, kept up to {_number(highest)}"
    return f"{title}, kept {_number(lowest)} to {_number(highest)}"


def _number(value: float | None) -> str:
    return f"{value:,.4g}"


def _markdown(svg: str, title: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{encoded})"
