"""Small pictures for the Dagster UI, drawn as SVG text.

Here: shapes, colours and sizes. Not here: which pictures an event gets and how
large it may become (`metadata.py`). Dagster draws nothing but markdown images
from `data:` URIs, and shows them at once only if the markdown has fewer than
1,000 characters, else behind a click. Hence SVG by hand: the smallest PNG from
a plotting library is ten times as large.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from dj_ops_lib.report import Histogram

INLINE_CHARACTERS = 999
"""Longest markdown that the UI shows without a click (Dagster 1.13, expandSmallValues)."""

WIDTH, HEIGHT = 420, 110
_LEFT, _RIGHT, _TOP, _FLOOR = 6, 414, 26, 94
_KEPT, _OUTSIDE, _LIMIT = "#43d", "#bbd", "#d31"
_BARS = (30, 24, 20, 16, 12, 8, 4)


def histogram_markdown(histogram: Histogram) -> str:
    """The histogram as markdown that the UI shows at once, with as many bars as fit into that."""
    for bars in _BARS:
        text = _markdown(histogram_svg(histogram, bars), histogram.column)
        if len(text) <= INLINE_CHARACTERS:
            break
    return text


def histogram_svg(histogram: Histogram, bars: int = _BARS[0]) -> str:
    """A histogram with its thresholds: bars inside the kept range dark, the others pale.

    The x axis is widened so that a threshold outside the values is still seen, unless it lies so
    far away (more than twice the values' range) that the bars would shrink to a line; such a
    threshold is written in the title only.

    Args:
        histogram: What to draw.
        bars: Largest number of bars; neighbouring bins are merged to get there.
    """
    edges, counts = _merged(histogram.edges, histogram.counts, bars)
    lowest, highest = histogram.thresholds
    near = 2 * ((edges[-1] - edges[0]) or 1.0)
    drawn = [
        t for t in (lowest, highest) if t is not None and edges[0] - near <= t <= edges[-1] + near
    ]
    first, last = min((edges[0], *drawn)), max((edges[-1], *drawn))
    scale = (_RIGHT - _LEFT) / ((last - first) or 1.0)
    tallest = max((*counts, 1))
    thickness = max(2, int((edges[1] - edges[0]) * scale) - 1)

    def x(value: float) -> int:
        return round(_LEFT + (value - first) * scale)

    paths = {_KEPT: "", _OUTSIDE: ""}
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            middle = (left + right) / 2
            out = (lowest is not None and middle < lowest) or (
                highest is not None and middle > highest
            )
            height = max(2, round(count / tallest * (_FLOOR - _TOP)))
            paths[_OUTSIDE if out else _KEPT] += f"M{x(middle)} {_FLOOR}v-{height}"
    shapes = [
        f'<path stroke="{colour}" stroke-width="{thickness}" d="{path}"/>'
        for colour, path in paths.items()
        if path
    ]
    limits = "".join(f"M{x(t)} {_TOP - 4}V{_FLOOR}" for t in drawn)
    if limits:
        shapes.append(f'<path stroke="{_LIMIT}" stroke-dasharray="4" d="{limits}"/>')
    shapes.append(f'<path stroke="#777" d="M{_LEFT} {_FLOOR}H{_RIGHT}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f'<path fill="#fff" d="M0 0h{WIDTH}v{HEIGHT}H0"/>{"".join(shapes)}'
        f'<g font-family="Arial" font-size="11"><text x="{_LEFT}" y="13">'
        f"{escape(_title(histogram))}</text>"
        f'<text x="{_LEFT}" y="106">{_number(first)}</text>'
        f'<text x="{_RIGHT}" y="106" text-anchor="end">{_number(last)}</text></g></svg>'
    )


def _title(histogram: Histogram) -> str:
    lowest, highest = histogram.thresholds
    unit = f" [{histogram.unit}]" if histogram.unit else ""
    title = f"{histogram.column}{unit}, {sum(histogram.counts):,} clips"
    if lowest is None and highest is None:
        return title
    if highest is None:
        return f"{title}, kept from {_number(lowest)}"
    if lowest is None:
        return f"{title}, kept up to {_number(highest)}"
    return f"{title}, kept {_number(lowest)} to {_number(highest)}"


def _merged(
    edges: Sequence[float], counts: Sequence[int], bars: int
) -> tuple[Sequence[float], Sequence[int]]:
    """The same counts in at most `bars` bins of equally many old ones; the last may be wider."""
    step = -(-len(counts) // bars)
    if step <= 1:
        return edges, counts
    starts = range(0, len(counts), step)
    merged = [sum(counts[i : i + step]) for i in starts]
    return [*(edges[i] for i in starts), edges[-1]], merged


def _number(value: float | None) -> str:
    return f"{value:,.4g}"


def _markdown(svg: str, title: str) -> str:
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{encoded})"
