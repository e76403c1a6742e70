"""Small pictures for the Dagster UI, drawn as SVG text.

Here: shapes, colours and sizes. Not here: which pictures an event gets and how
large it may become (`metadata.py`). Dagster shows markdown images from `data:`
URIs and nothing else that is drawn, hence SVG without any library: a histogram
is about 1 KB, where the smallest PNG from matplotlib is 10 KB.
"""

from __future__ import annotations

import base64
from html import escape

from dj_ops_lib.report import Histogram

WIDTH, HEIGHT = 460, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 12, 12, 34, 20
_KEPT, _OUTSIDE, _LIMIT, _INK, _MUTED = "#4f43dd", "#c9c6e8", "#d4351c", "#231f1b", "#6b655f"


def histogram_svg(histogram: Histogram) -> str:
    """A histogram with its thresholds: bars inside the kept range dark, the others pale.

    The x axis is widened so that a threshold outside the values is still seen, unless it lies so
    far away (more than twice the values' range) that the bars would shrink to a line; such a
    threshold is written in the caption only.
    """
    edges, counts = histogram.edges, histogram.counts
    lowest, highest = histogram.thresholds
    span = (edges[-1] - edges[0]) or 1.0
    drawn = [
        t
        for t in (lowest, highest)
        if t is not None and edges[0] - 2 * span <= t <= edges[-1] + 2 * span
    ]
    first, last = min((edges[0], *drawn)), max((edges[-1], *drawn))
    scale = (WIDTH - _LEFT - _RIGHT) / ((last - first) or 1.0)
    floor, tallest = HEIGHT - _BOTTOM, max((*counts, 1))

    def x(value: float) -> float:
        return _LEFT + (value - first) * scale

    bars: dict[str, list[str]] = {_KEPT: [], _OUTSIDE: []}
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if not count:
            continue
        middle = (left + right) / 2
        outside = (lowest is not None and middle < lowest) or (
            highest is not None and middle > highest
        )
        height = max(1.5, count / tallest * (floor - _TOP))
        width = max(1.0, (right - left) * scale - 1)
        bars[_OUTSIDE if outside else _KEPT].append(
            f"M{x(left):.1f} {floor}v-{height:.1f}h{width:.1f}v{height:.1f}z"
        )
    shapes = [f'<path fill="{c}" d="{"".join(b)}"/>' for c, b in bars.items() if b]
    shapes.append(f'<path stroke="{_MUTED}" d="M{_LEFT} {floor}.5H{WIDTH - _RIGHT}"/>')
    for limit in drawn:
        shapes.append(
            f'<path stroke="{_LIMIT}" stroke-dasharray="4 3" '
            f'd="M{x(limit):.1f} {_TOP - 6}V{floor}"/>'
        )
    unit = f" [{histogram.unit}]" if histogram.unit else ""
    kept = _range_text(lowest, highest)
    caption = f"n = {sum(counts):,}" + (f" · kept: {kept}" if kept else "")
    shapes += [
        _text(_LEFT, 14, histogram.column + unit, _INK, weight="bold"),
        _text(WIDTH - _RIGHT, 14, caption, _MUTED, anchor="end"),
        _text(_LEFT, HEIGHT - 6, _number(first), _MUTED),
        _text(WIDTH - _RIGHT, HEIGHT - 6, _number(last), _MUTED, anchor="end"),
        _text(WIDTH / 2, HEIGHT - 6, f"tallest bar: {tallest:,}", _MUTED, anchor="middle"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" fill="none">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff"/>{"".join(shapes)}</svg>'
    )


def as_markdown(svg: str, title: str) -> str:
    """The picture as markdown that Dagster's UI shows."""
    encoded = base64.b64encode(svg.encode()).decode()
    return f"![{title}](data:image/svg+xml;base64,{encoded})"


def _range_text(lowest: float | None, highest: float | None) -> str:
    if lowest is None and highest is None:
        return ""
    if lowest is None:
        return f"up to {_number(highest)}"
    if highest is None:
        return f"from {_number(lowest)}"
    return f"{_number(lowest)} to {_number(highest)}"


def _number(value: float | None) -> str:
    return f"{value:,.4g}"


def _text(
    x: float, y: float, text: str, fill: str, *, anchor: str = "start", weight: str = "normal"
) -> str:
    style = f' font-weight="{weight}"' if weight != "normal" else ""
    place = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y}" fill="{fill}"{place}{style}>{escape(text)}</text>'
