"""The ffmpeg command that cuts, edits and encodes one clip.

Its input begins near the clip only; which pictures and which sound are the
clip's is decided by their times, as decoding does. Not here: whether a clip is
encoded at all, and running the command (`render.py`).
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dj_ops_lib.clip import Clip
from dj_ops_lib.media import edits as graph
from dj_ops_lib.media.access import PROTOCOLS, Access
from dj_ops_lib.media.container import MICROSECONDS, Clock
from dj_ops_lib.media.conventions import DEINTERLACERS, stored
from dj_ops_lib.media.cutting import Place
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.media.path_text import as_path
from dj_ops_lib.media.regions import REGION, stream_region
from dj_ops_lib.rendering import Rendering

_WARM_UP_US = 5 * MICROSECONDS
"""Where a container has no index, ffmpeg is let in this much before the key frame."""

_FINE_TICK = Fraction(1, 90_000)


def span(clip: Clip) -> tuple[int, int | None]:
    """Beginning and end of a clip in microseconds from the file's beginning."""
    start_us = round((clip.start_s or 0.0) * MICROSECONDS)
    return start_us, None if clip.end_s is None else round(clip.end_s * MICROSECONDS)


def encode_command(
    clip: Clip, uri: str, target: Path, where: Place, access: Access, options: Rendering
) -> list[str]:
    """The ffmpeg command that cuts, edits and encodes a clip; nothing goes through a shell.

    Raises:
        MediaError: The file cannot be read, or its pictures cannot be encoded as asked.
    """
    import ffmpeg

    pictures = stored(uri, access)
    plain = is_plain(clip, options)
    size = pictures.size if plain else pictures.coded
    start_us, end_us = span(clip)
    upright = plain and not pictures.turned_by_nodes
    source = _source(uri, where, end_us, {} if upright else {"noautorotate": None})
    begin = where.zero + Fraction(start_us, MICROSECONDS)
    picked = _by_time if where.stamped else _by_number
    video = picked(source["v:0"], where, start_us, end_us)
    nodes: list[graph.Node] = []
    if plain:
        edited = {edit.filter for edit in graph.video_edits(clip.edits)}
        nodes += pictures.plain_nodes(deinterlace=not edited & DEINTERLACERS)
    if plain and pictures.sample_aspect_ratio != 1:
        nodes += graph.square(*size)
    if graph.video_edits(clip.edits):
        nodes += graph.picture_nodes(clip.edits)
        size = graph.edited_size(*size, clip.edits)
    if size[0] % 2 or size[1] % 2:  # chroma is stored by twos
        nodes.append(("crop", {"w": str(size[0] // 2 * 2), "h": str(size[1] // 2 * 2)}))
    for name, arguments in nodes:
        region = name == REGION
        video = stream_region(video, arguments) if region else video.filter(name, **arguments)
    outputs: list[Any] = [video]
    how: dict[str, Any] = {}
    if where.has_audio:
        window = {"start": _seconds(begin)}
        if end_us is not None:
            window["end"] = _seconds(where.zero + Fraction(end_us, MICROSECONDS))
        sound = source["a:0"].filter("atrim", **window).filter("asetpts", _shifted(begin))
        for edit in graph.audio_edits(clip.edits):
            sound = sound.filter(edit.filter, **dict(edit.arguments))
        outputs.append(sound.filter("aresample", **{"async": "1", "first_pts": "0"}))
        how |= {"c:a": options.audio_codec, "b:a": options.audio_bit_rate}
    how |= {"c:v": options.video_codec, "preset": options.preset, "crf": options.crf}
    how |= {"pix_fmt": options.pixel_format, "fps_mode": "passthrough", "enc_time_base": "1/90000"}
    how |= {"threads": options.threads}
    if where.held_us is not None and end_us is not None:
        length = _seconds(Fraction(end_us - start_us, MICROSECONDS))
        how["bsf:v"] = f"setts=duration={length}/TB"
    how |= {"map_metadata": "-1", "fflags": "+bitexact", "flags:v": "+bitexact"}
    how |= {"flags:a": "+bitexact", "movflags": "+faststart", "f": "mp4"}
    how |= pictures.labels_for(options.video_codec, options.pixel_format, plain=plain, uri=uri)
    program = [find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error"]
    made: list[str] = ffmpeg.output(*outputs, str(target), **how).compile(cmd=program)
    return [as_path(a) if a == uri else a for a in made]


def is_plain(clip: Clip, options: Rendering) -> bool:
    """Whether a clip's pictures are brought to the form of all files; edits need them in it."""
    return options.pictures == "plain" or bool(graph.video_edits(clip.edits))


def _source(uri: str, where: Place, end_us: int | None, how: dict[str, Any]) -> Any:
    """The input, from the key frame before the clip to a little after it, on the file's clock."""
    import ffmpeg

    options = {"f": where.demuxer, "protocol_whitelist": ",".join(PROTOCOLS), "threads": 1, **how}
    early_us = 0 if where.demuxer in {"mov", "matroska"} else _WARM_UP_US
    seek_us = max(0, where.key_us - early_us) if where.stamped else 0
    if seek_us:
        options["ss"] = _seconds(Fraction(max(0, seek_us + where.offset_us), MICROSECONDS))
    if end_us is not None and where.stamped:
        length_us = end_us - seek_us + max(0, where.offset_us) + MICROSECONDS
        options["t"] = _seconds(Fraction(length_us, MICROSECONDS))
    return ffmpeg.input(uri, copyts=None, **options)


def _by_time(video: Any, where: Place, start_us: int, end_us: int | None) -> Any:
    """The pictures whose times lie in the span; limits are halfway between two possible times."""
    clock = Clock(where.tick, where.zero)
    shift_us = start_us
    if where.held_us is not None:  # the one picture that is on the screen, from its beginning
        shift_us, start_us, end_us = where.held_us, where.held_us, where.held_us + 1
    inside = f"gte(t,{_seconds(_before(clock, where.tick, start_us))})"
    if end_us is not None:
        inside += f"*lt(t,{_seconds(_before(clock, where.tick, end_us))})"
    begin = where.zero + Fraction(shift_us, MICROSECONDS)
    return video.filter("select", inside).filter("setpts", _shifted(begin))


def _before(clock: Clock, tick: Fraction, time_us: int) -> Fraction:
    """Half a tick before the first one that lies at or after a time, in seconds."""
    first = clock.ticks(time_us) - 1
    while clock.time_us(first) < time_us:
        first += 1
    return (first - Fraction(1, 2)) * tick


def _by_number(video: Any, where: Place, start_us: int, _: int | None) -> Any:
    """The pictures of the span by their numbers, with the times that the packets have."""
    inside = f"between(n,{where.before},{where.before + where.frames - 1})"
    tick_us = float(where.tick * MICROSECONDS)
    times = _even_but_for_jumps([t - start_us for t in where.times_us], tick_us)
    fine = video.filter("select", inside).filter("settb", str(_FINE_TICK))
    return fine.filter("setpts", f"floor(({times})/{MICROSECONDS}/TB+0.5)")


def _even_but_for_jumps(times_us: Sequence[int], tick_us: float) -> str:
    """The time of the N-th picture as an expression, to two thirds of a tick."""
    steps = [b - a for a, b in itertools.pairwise(times_us)]
    step = statistics.median_low(steps) if steps else 0
    terms, reached = [f"{times_us[0]}+N*{step}"], times_us[0]
    for number, time_us in enumerate(times_us):
        jump = time_us - (reached + number * step)
        if abs(jump) > tick_us * 2 / 3:
            terms.append(f"gte(N,{number})*({jump})")
            reached += jump
    return "+".join(terms)


def _shifted(begin: Fraction) -> str:
    """Time stamps from `begin` on, to the nearest tick."""
    return f"floor(PTS-{_seconds(begin)}/TB+0.5)"


def _seconds(seconds: Fraction) -> str:
    return f"{float(seconds):.9f}"
