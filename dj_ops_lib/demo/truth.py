"""The right answer for every clip, from how the corpus is made; nothing is decoded or measured.

The answers are those of the demo recipe `t2v`: cut between shots and every ten
seconds, keep what is large enough, not too wide, long enough and moves, drop
exact copies. Its thresholds are repeated here on purpose: this is the other
side of the comparison.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from dj_ops_lib.demo.plan import FAST
from dj_ops_lib.demo.video import Video
from dj_ops_lib.demo.world import FPS

MEDIA_ERRORS = {
    "truncated": "corrupt",
    "empty": "corrupt",
    "text": "corrupt",
    "missing": "missing",
}
"""What the media stage says of a file, by what became of it."""

MIN_EDGE = 128
WIDEST = Fraction(21, 9)
LONGEST_PIECE = 10 * FPS
SHORTEST_PIECE = SHORTEST_CLIP = FPS

Outcome = dict[str, Any]


def clip_truth(
    video: Video, start: int, end: int, key: dict[str, Any], copies: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What must become of one annotated clip.

    Args:
        video: The video that it is a clip of.
        start: Its first frame as annotated.
        end: The frame after its last one as annotated.
        key: What identifies it: source, shard, annotation file and row, source_id, span.
        copies: Keys of earlier clips of its shard with the same bytes and span.

    Returns:
        `key` with `availability`, and either `outcome` for a clip that gets no further than the
        media stage, or `pieces`: spans in seconds, how far each may be off, and its `outcome`.
    """
    availability = MEDIA_ERRORS.get(video.fate, "ok")
    entry: dict[str, Any] = {**key, "availability": availability}
    if availability != "ok":
        return {**entry, "outcome": _error("media", availability)}
    if start >= video.frames:
        return {**entry, "outcome": _error("media", "span_out_of_range")}
    end = min(end, video.frames)
    pieces = []
    for a, b in spans(video, start, end):
        span = {**_span(video, a, b), "tolerance_s": _tolerance_s(video, a, b)}
        outcome = rejection(video, a, b)
        if outcome is None and copies:
            first = {name: copies[0][name] for name in ("source_id", "annotation_row")}
            outcome = {**_rejected("deduplicated", "video_deduplicator"), "duplicate_of": first}
        pieces.append({**span, "outcome": outcome or {"stage": "deduplicated", "keep": True}})
    return {**entry, "pieces": pieces}


def spans(video: Video, start: int, end: int) -> list[tuple[int, int]]:
    """The pieces of a clip in frames: one shot each, and at most ten seconds."""
    edges = [start, *(cut for cut, _ in video.boundaries() if start < cut < end), end]
    pieces = []
    for a, b in itertools.pairwise(edges):
        for begin in range(a, b, LONGEST_PIECE):
            stop = min(b, begin + LONGEST_PIECE)
            if begin == a or stop - begin >= SHORTEST_PIECE:
                pieces.append((begin, stop))
    return pieces


def rejection(video: Video, start: int, end: int) -> Outcome | None:
    """The first filter of the stage `cleaned` that rejects a piece, None if none does."""
    width, height = video.display_size
    if min(width, height) < MIN_EDGE:
        return _rejected("cleaned", "video_resolution_filter")
    if not 1 / WIDEST <= Fraction(width, height) <= WIDEST:
        return _rejected("cleaned", "video_aspect_ratio_filter")
    if end - start < SHORTEST_CLIP:
        return _rejected("cleaned", "video_duration_filter")
    if motion(video, start, end) != "moderate":
        return _rejected("cleaned", "video_motion_score_filter")
    return None


def motion(video: Video, start: int, end: int) -> str:
    """`static`, `moderate` or `too_fast`, of a piece of one shot."""
    shots = [shot for a, b, shot in video.takes() if a < end and b > start]
    if any(shot.pan >= FAST for shot in shots):
        return "too_fast"
    lively = any(shot.pan or (shot.shape and shot.motion != "not at all") for shot in shots)
    return "moderate" if lively else "static"


def video_truth(source: str, video: Video, file: str) -> dict[str, Any]:
    """Facts about a file: sizes and times as made, what is burnt in, what it repeats."""
    width, height = video.display_size
    bar = video.bar
    visible = [0, bar, video.width, video.height - 2 * bar] if bar else None
    return {
        "source": source,
        "source_id": video.source_id,
        "file": file,
        "feature": video.feature,
        "fate": video.fate,
        "width": width,
        "height": height,
        "coded_width": video.width,
        "coded_height": video.height,
        "rotation": video.encoding.rotation,
        "sample_aspect_ratio": _ratio(video.encoding.sample_aspect_ratio),
        "pixel_format": video.encoding.pixel_format,
        "num_frames": video.frames,
        "duration_s": video.duration_s,
        "has_audio": video.encoding.tone_hz is not None,
        "tone_hz": video.encoding.tone_hz,
        "shots": [
            {
                **_span(video, a, b),
                "shape": shot.shape,
                "colour": shot.colour,
                "background": shot.background,
                "motion": shot.motion if shot.shape else None,
                "pan_px_per_s": shot.pan,
                "fade_in_s": shot.fade_in / FPS,
                "fade_out_s": shot.fade_out / FPS,
                "motion_kind": motion(video, a, b),
            }
            for a, b, shot in video.takes()
        ],
        "hard_cuts_s": [_seconds(video, cut) for cut, fades in video.boundaries() if not fades],
        "fades_s": [_seconds(video, cut) for cut, fades in video.boundaries() if fades],
        "text": [{"text": title.text, "box": list(title.box)} for title in video.titles],
        "visible_box": visible,
        "near_duplicates": video.group,
        "exact_duplicate_of": video.copy_of,
    }


def _span(video: Video, start: int, end: int) -> dict[str, float]:
    return {"start_s": _seconds(video, start), "end_s": _seconds(video, end)}


def _tolerance_s(video: Video, start: int, end: int) -> float:
    """Half a frame, or half a second at a fade, which has no one right frame to cut at."""
    faded = any(fades and cut in {start, end} for cut, fades in video.boundaries())
    return 0.5 if faded else 0.5 / FPS


def _seconds(video: Video, frame: int) -> float:
    times = video.encoding.times_ms
    if times is None:
        return frame / FPS
    return times[frame] / 1000 if frame < len(times) else video.duration_s


def _rejected(stage: str, operator: str) -> Outcome:
    return {"stage": stage, "keep": False, "rejected_by": operator}


def _error(stage: str, error_class: str) -> Outcome:
    return {"stage": stage, "keep": False, "error": error_class}


def _ratio(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"
