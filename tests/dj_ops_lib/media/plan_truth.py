"""Frames that plans ask for, by definition and ffmpeg's list of frames, and as they are shown."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

from media_truth import Seen, clip, shown

from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import At, Every, Fps, Frames, KeyFrames, Size, Uniform

Span = tuple[float | None, float | None]

SMALL = Size(short=16)


def part(path: Path, access: Access, span: Span) -> Clip:
    """A clip of a file, its end no later than the file's, its duration as the media stage says."""
    start, end = span
    file_end = probe(str(path), access).duration_s
    last = file_end if end is None else min(end, file_end)
    made = clip(path, start, None if end is None else last)
    return dataclasses.replace(made, duration_s=last - (start or 0.0))


def look(path: Path, access: Access, *plans: At, span: Span) -> list[Seen]:
    """What each plan is shown of a span when they are asked for together."""
    seen = [Seen() for _ in plans]
    wanted = [(Frames(at, SMALL), s) for at, s in zip(plans, seen, strict=True)]
    decode(part(path, access, span), wanted, access)
    return seen


def expected(path: Path, access: Access, at: At, span: Span) -> list[float]:
    """From ffmpeg's list of frames and the plans' definitions."""
    everything = shown(path)
    zero = everything[0][0]
    header = probe(str(path), access)
    start = span[0] or 0.0
    end = header.duration_s if span[1] is None else min(span[1], header.duration_s)
    last = float("inf") if span[1] is None else end

    def inside(times: list[float]) -> list[float]:
        return [t for t in times if start - 1e-6 <= t < last - 1e-6]

    times = inside([t - zero for t, _ in everything])
    if not times:  # shown when the window opens
        times = [start]
    match at:
        case Every():
            return times
        case KeyFrames():
            # Not `-skip_frame nokey`: it loses key frames of open groups of pictures.
            keys = [t - zero for t, key in everything if key]
            return inside(keys) or times[:1]
        case Fps():
            step = round(header.fps / min(at.rate, header.fps))
            frames = round((end - start) * header.fps)
            step = max(1, min(step, frames - 1))
            wanted = {
                t for i, t in enumerate(times) if i % step == 0 or (at.with_second and i == 1)
            }
            if at.pair_s is not None:
                first = 0
                while first < len(times):
                    later = [t for t in times if t >= times[first] + at.pair_s - 1e-6]
                    wanted |= set(later[:1])
                    until = times.index(later[0]) if later else len(times)
                    first = -(-max(until, first + 1) // step) * step
            return sorted(wanted)
        case Uniform():
            n = min(at.n, round((end - start) * header.fps))
            shares = [Fraction(i, n - 1) for i in range(n)] if n > 1 else [Fraction(1, 2)]
            targets = [start + float(s) * (end - start) for s in shares]
            return [next((t for t in times if t >= x - 1e-6), times[-1]) for x in targets]
