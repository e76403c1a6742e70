"""An edit of a part of the picture: cut out, changed, laid back; the only edit that branches.

An `Edit("region", ...)` is the graph `split -> crop -> effect -> overlay`. Its place
may move, as a face does. Not here: how a filling is made (`filling`), who decides
what is covered (the editors).

Options of the edit: `w`, `h` in pixels; `x`, `y` in pixels, a number or
`time:value` pairs such as `0:10 0.2:14`, each holding until the next; `from`
and `to` in seconds of the clip, where it ends (both can be left out);
`effect`: one of `EFFECTS`; `strength` in pixels; for `fill` also `mask`, which
pixels are filled (`filling.mask_text`; all but an outline without it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dj_ops_lib.media.branching import START, Branching
from dj_ops_lib.media.filling import add_filling

if TYPE_CHECKING:
    from av.filter import Graph

REGION = "region"

EFFECTS = ("gaussian", "mean", "box", "pixelate", "fill")
"""Blurs of a radius, mosaic of a block size, and filling from the pixels that are not filled."""

OPAQUE = "yuv420p|yuv422p|yuv444p|yuv420p10le|yuv422p10le|yuv444p10le"
"""Formats that all nodes take; without the list `overlay` chooses ones with transparency."""


def branch(options: Mapping[str, str]) -> Branching:
    """The filters of a region.

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
    limits = [f"gte(t,{float(options['from'])})"] if "from" in options else []
    limits += [f"lt(t,{float(options['to'])})"] if "to" in options else []
    during = {"enable": "*".join(limits)} if limits else {}
    nodes = Branching()
    whole, copy = nodes.split(nodes.add("format", START, pix_fmts=OPAQUE))
    part = nodes.add("crop", copy, w=str(width), h=str(height), x=x, y=y, exact="1")
    if effect == "fill":
        size, mask = (width, height), options.get("mask")
        changed = add_filling(nodes, part, size, mask, max(0.5, strength))
    else:
        opaque = nodes.add("format", part, pix_fmts=OPAQUE)
        name, effect_options = _effect(effect, strength)
        changed = nodes.add(name, opaque, **effect_options)
    changed = nodes.add("format", changed, pix_fmts=OPAQUE)
    laid = nodes.add("overlay", whole, changed, x=x, y=y, format="auto", eval="frame", **during)
    nodes.add("format", laid, pix_fmts=OPAQUE)
    return nodes


def _place(text: str) -> str:
    """A number, or an expression in `t` that is one of several numbers."""
    if ":" not in text:
        return str(int(text))
    steps = [pair.split(":") for pair in text.split()]
    moves: list[tuple[float, int]] = []
    for time_s, value in ((float(t), int(v)) for t, v in steps):
        if not moves or moves[-1][1] != value:
            moves.append((time_s, value))
    return _at_time(moves)


def _at_time(moves: list[tuple[float, int]]) -> str:
    """Binary search among moves: FFmpeg refuses expressions that nest deeper than 100."""
    if len(moves) == 1:
        return str(moves[0][1])
    half = len(moves) // 2
    return f"if(lt(t,{moves[half][0]}),{_at_time(moves[:half])},{_at_time(moves[half:])})"


def _effect(effect: str, strength: float) -> tuple[str, dict[str, str]]:
    if effect == "gaussian":
        return "gblur", {"sigma": str(max(0.1, strength)), "steps": "2"}
    if effect in {"mean", "box"}:
        return "avgblur", {"sizeX": str(max(1, round(strength)))}
    block = str(max(2, round(strength)))
    return "pixelize", {"width": block, "height": block}


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
    return branch(options).add_to(graph, previous)


def stream_region(stream: Any, options: Mapping[str, str]) -> Any:
    """The same for the ffmpeg program: ffmpeg-python's stream with the region applied."""
    return branch(options).of_stream(stream)
