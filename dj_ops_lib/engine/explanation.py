"""A plan in words: what each wave reads, what its operators share, what it is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping

from dj_ops_lib.engine.ordering import Cost, passes
from dj_ops_lib.engine.planner import Level, Wave
from dj_ops_lib.engine.reference_costs import estimated_seconds
from dj_ops_lib.needs import (
    At,
    Audio,
    Every,
    Fps,
    Frames,
    HeaderOnly,
    KeyFrames,
    MotionVectors,
    Need,
    Packets,
    Size,
    Uniform,
)
from dj_ops_lib.rendering import Rendering

LEVELS = {
    Level.HEADER: "rows only, no file opened",
    Level.KEY_FRAMES: "packets and key frames",
    Level.FRAMES: "frames and sound",
    Level.MODELS: "models",
}


def describe_need(need: Need) -> str:
    """What an operator looks at, such as `every frame, short edge at most 256 px, gray`."""
    match need:
        case HeaderOnly():
            return "the row"
        case Packets():
            return "packets"
        case Frames():
            parts = [_at(need.at), _size(need.size), need.format]
            return ", ".join(p for p in parts if p)
        case MotionVectors():
            return "motion vectors"
        case Audio():
            rate = f"{need.rate} Hz" if need.rate else "own rate"
            return f"sound, {rate}, {'mono' if need.mono else 'all channels'}"


def shared_needs(wave: Wave) -> list[tuple[str, tuple[str, ...]]]:
    """What a wave's pass produces, and the names of the operators that get each of it."""
    found: dict[Need, list[str]] = {}
    for operator in wave.operators:
        found.setdefault(operator.needs(), []).append(operator.name)
    return [(describe_need(need), tuple(names)) for need, names in found.items()]


def expected_seconds(wave: Wave, costs: Mapping[str, Cost]) -> float | None:
    """CPU seconds of a wave for one clip, from the table's history; None where it has none."""
    if not wave.opens_media:
        return 0.0
    if any(o.name not in costs for o in wave.operators):
        return None
    own = sum(costs[o.name].own for o in wave.operators)
    return max(own, *(costs[o.name].whole for o in wave.operators))


def describe_cost(wave: Wave, costs: Mapping[str, Cost]) -> str:
    """What a wave costs: measured by the table's history, else estimated from known footage."""
    if not wave.opens_media:
        return "costs nothing to speak of"
    seconds = expected_seconds(wave, costs)
    if seconds is not None:
        return f"{seconds:.3f} CPU s a clip, as lately"
    estimate = estimated_seconds(wave.operators)
    if estimate is None:
        unknown = [o.name for o in wave.operators if estimated_seconds([o]) is None]
        return f"cost not known yet of {', '.join(unknown)}"
    return f"about {estimate:.2g} CPU s a second of 720p video"


def describe_passes(wave: Wave, costs: Mapping[str, Cost]) -> str:
    """How often the wave's clips are decoded, such as `one pass`."""
    groups = passes(wave.operators, costs) if wave.opens_media else ()
    if not groups:
        return "no pass"
    if len(groups) == 1:
        return "one pass"
    return "two passes: " + ", then ".join(" + ".join(o.name for o in g) for g in groups)


def describe_rendering(rendering: Rendering) -> str:
    """How the kept clips become files, such as `one encode (libx264 medium, crf 18; aac)`."""
    encode = f"one encode ({rendering.video_codec} {rendering.preset}, crf {rendering.crf}; "
    encode += f"{rendering.audio_codec})"
    if rendering.cut == "copy":
        return f"copied from the key frame before each, {encode} where edited"
    return f"copied where that is exact, else {encode}"


def _at(at: At) -> str:
    match at:
        case KeyFrames():
            return "key frames and the first frame" if at.with_first else "key frames"
        case Uniform():
            return f"{at.n} frames spread evenly"
        case Fps():
            return f"{at.rate:g} frames a second"
        case Every():
            return "every frame"


def _size(size: Size | None) -> str:
    if size is None:
        return "display size"
    if size.exact is not None:
        return f"{size.exact[0]}x{size.exact[1]} px"
    parts = []
    if size.short is not None:
        parts.append(f"short edge {size.short} px")
    if size.max_short is not None:
        parts.append(f"short edge at most {size.max_short} px")
    if size.max_long is not None:
        parts.append(f"long edge at most {size.max_long} px")
    if size.divisible > 1:
        parts.append(f"divisible by {size.divisible}")
    return ", ".join(parts) or "display size"
