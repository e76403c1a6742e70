"""An edit of a part of the picture: cut out, changed, laid back; the only edit that branches.

An `Edit("region", ...)` is the graph `split -> crop -> effect -> overlay`, built
here for libavfilter and for the ffmpeg program. Its place may move, as
a face does. Not here: who decides what is covered (the editors).

Options of the edit: `w`, `h` in pixels; `x`, `y` in pixels, a number or
`time:value` pairs such as `0:10 0.2:14`, each holding until the next; `from`
and `to` in seconds of the clip, where it ends (both can be left out);
`effect`: one of `EFFECTS`; `strength` in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter import Graph

REGION = "region"

EFFECTS = ("gaussian", "mean", "box", "pixelate", "fill")
"""Blurs of a radius, mosaic of a block size, and smooth filling from the region's outline."""

Node = tuple[str, dict[str, str]]

OPAQUE: Node = (
    "format",
    {"pix_fmts": "yuv420p|yuv422p|yuv444p|yuv420p10le|yuv422p10le|yuv444p10le"},
)
"""Formats that all nodes take; without the list `overlay` chooses ones with transparency."""


def branch(options: Mapping[str, str]) -> tuple[list[Node], Node]:
    """The nodes between `split` and the second input of the last one, and the last one.

    Raises:
        ValueError: An option is missing or cannot be read.
    """
    try:
        width, height = int(options["w"]), int(options["h"])
        x, y = _place(options["x"]), _place(options["y"])
        strength = float(options.get("strength", "1"))
        effect = options["effect"]
    except KeyError as error:
        raise ValueError(f"a region needs the option {error}") from None
    if effect not in EFFECTS:
        raise ValueError(f"there is no effect '{effect}'; there are {', '.join(EFFECTS)}")
    crop = {"w": str(width), "h": str(height), "x": x, "y": y, "exact": "1"}
    overlay = {"x": x, "y": y, "format": "auto", "eval": "frame"}
    limits = [f"gte(t,{float(options['from'])})"] if "from" in options else []
    limits += [f"lt(t,{float(options['to'])})"] if "to" in options else []
    if limits:
        overlay["enable"] = "*".join(limits)
    return [("crop", crop), OPAQUE, *_effect(effect, strength), OPAQUE], ("overlay", overlay)


def _place(text: str) -> str:
    """A number, or an expression in `t` that is one of several numbers."""
    if ":" not in text:
        return str(int(text))
    steps = [pair.split(":") for pair in text.split()]
    times = [float(t) for t, _ in steps]
    values = [int(v) for _, v in steps]
    # Each step adds its difference from its time on, so that the expression is flat.
    terms = [
        f"{after - before:+d}*gte(t,{time_s})"
        for time_s, before, after in zip(times[1:], values, values[1:], strict=False)
        if after != before
    ]
    return f"{values[0]}{''.join(terms)}"


def _effect(effect: str, strength: float) -> list[Node]:
    if effect == "gaussian":
        return [("gblur", {"sigma": str(max(0.1, strength)), "steps": "2"})]
    if effect in {"mean", "box"}:
        return [("avgblur", {"sizeX": str(max(1, round(strength)))})]
    if effect == "pixelate":
        block = str(max(2, round(strength)))
        return [("pixelize", {"width": block, "height": block})]
    # Each pixel is the mean of its four projections on the outline, the near ones more.
    across = "(p(0,Y)*(W-X)+p(W-1,Y)*(X+1))/(W+1)"
    down = "(p(X,0)*(H-Y)+p(X,H-1)*(Y+1))/(H+1)"
    near_x, near_y = "(1/min(X+1,W-X))", "(1/min(Y+1,H-Y))"
    filled = f"({across}*{near_x}+{down}*{near_y})/({near_x}+{near_y})"
    return [("geq", {"lum": filled, "cb": filled, "cr": filled})]


def parse_box(text: str, kind: str) -> tuple[float, float, float, float]:
    """The box written as `x1,y1,x2,y2`, with or without brackets.

    Args:
        text: The four numbers.
        kind: `ratio` of the edges, 0 to 1, or `pixel`, whole numbers.

    Raises:
        ValueError: It is not such a box.
    """
    bare = text.strip().removeprefix("(").removesuffix(")").removeprefix("[").removesuffix("]")
    try:
        x1, y1, x2, y2 = (float(part) if kind == "ratio" else int(part) for part in bare.split(","))
    except ValueError:
        raise ValueError(f"expected a {kind} box x1,y1,x2,y2, not {text!r}") from None
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise ValueError(f"expected 0 <= x1 < x2 and 0 <= y1 < y2, not {text!r}")
    return (min(x1, 1), min(y1, 1), min(x2, 1), min(y2, 1)) if kind == "ratio" else (x1, y1, x2, y2)


def pixel_box(
    box: tuple[float, float, float, float], kind: str, width: int, height: int
) -> tuple[int, int, int, int] | None:
    """The part of a parsed box that lies in a picture: x1, y1, x2, y2 in pixels; None for none.

    It grows to even pixels, so that subsampled colour is covered as well.
    """
    scale = (width, height, width, height) if kind == "ratio" else (1, 1, 1, 1)
    x1, y1, x2, y2 = (value * factor for value, factor in zip(box, scale, strict=True))
    left, top = int(x1) // 2 * 2, int(y1) // 2 * 2
    right, bottom = min(width, -(-x2 // 2) * 2), min(height, -(-y2 // 2) * 2)
    return (left, top, int(right), int(bottom)) if left < right and top < bottom else None


def region_options(
    box: tuple[int, int, int, int], effect: str, strength: float
) -> tuple[tuple[str, str], ...]:
    """Options of a region that stays where it is."""
    x1, y1, x2, y2 = box
    numbers = zip(("w", "h", "x", "y"), map(str, (x2 - x1, y2 - y1, x1, y1)), strict=True)
    return (*numbers, ("effect", effect), ("strength", f"{strength:g}"))


def add_region(graph: Graph, previous: Any, options: Mapping[str, str]) -> Any:
    """Add a region after a filter of a graph; the filter that comes last."""
    nodes, (name, last_options) = branch(options)
    opaque, split = graph.add(OPAQUE[0], **OPAQUE[1]), graph.add("split")
    last = graph.add(name, **last_options)
    previous.link_to(opaque)
    opaque.link_to(split)
    split.link_to(last, 0, 0)
    inner, pad = split, 1
    for inner_name, inner_options in nodes:
        following = graph.add(inner_name, **inner_options)
        inner.link_to(following, pad, 0)
        inner, pad = following, 0
    inner.link_to(last, 0, 1)
    end = graph.add(OPAQUE[0], **OPAQUE[1])
    last.link_to(end)
    return end


def stream_region(stream: Any, options: Mapping[str, str]) -> Any:
    """The same for the ffmpeg program: ffmpeg-python's stream with the region applied."""
    import ffmpeg

    nodes, (name, last_options) = branch(options)
    parts = stream.filter(OPAQUE[0], **OPAQUE[1]).filter_multi_output("split")
    inner = parts[1]
    for inner_name, inner_options in nodes:
        inner = inner.filter(inner_name, **inner_options)
    laid = ffmpeg.filter([parts[0], inner], name, **last_options)
    return laid.filter(OPAQUE[0], **OPAQUE[1])
