"""A clip as a file: cut and edited once, at the end.

Copied where that is exact or asked for, else encoded once by the ffmpeg
program, with the same chain of filters that decoding applies. A file is named
by the clip's signature, written under another name and renamed, so what has a
clip's name is whole, and a clip that is there is not made again.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

from dj_ops_lib.clip import Clip
from dj_ops_lib.clip import signature as signature_of
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import edits as graph
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import PROTOCOLS, Access, ObjectStore
from dj_ops_lib.media.container import MICROSECONDS
from dj_ops_lib.media.cutting import Place, copy, place
from dj_ops_lib.media.destination import destination
from dj_ops_lib.media.ffmpeg import die_with_parent, find_ffmpeg
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.regions import REGION, stream_region
from dj_ops_lib.media.scratch import scratch_folder
from dj_ops_lib.rendering import Rendering

_WARM_UP_US = 5 * MICROSECONDS
"""Where a container has no index, ffmpeg is let in this much before the key frame."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """A clip's file.

    Attributes:
        uri: Its path or `s3://` URI.
        size: Its bytes.
        how: What was done for it this time.
    """

    uri: str
    size: int
    how: Literal["found", "copied", "encoded"]


def render(
    clip: Clip,
    folder: Path | str,
    access: Access,
    options: Rendering | None = None,
    store: ObjectStore | None = None,
) -> Rendered:
    """Make a clip's file, unless it is there.

    Args:
        clip: The clip.
        folder: Where files go, a folder or `s3://bucket/prefix`; made if missing.
        access: What may be read.
        options: How to cut and encode.
        store: Where the `s3://` of `folder` leads; None: the environment says.

    Raises:
        MediaError: The clip cannot be read or encoded; nothing is left behind.
        DjError: There is no ffmpeg program, or the object store does not take the file.
    """
    if clip.video_uri is None:
        raise MediaError(f"clip {clip.clip_id}: no video file is known for it", "missing")
    options = options or Rendering()
    place_of_files = destination(str(folder), store or ObjectStore())
    signature = _signature(clip, access)
    name = options.name(signature)
    for found in place_of_files.find([name]).values():
        return Rendered(found.uri, found.size, "found")
    with scratch_folder(place_of_files.scratch, signature) as scratch:
        try:
            made = scratch / "clip.mp4"
            how = _make(clip, made, access, options)
            stored = place_of_files.put(made, name)
        except (OSError, MediaError):
            if scratch.exists():
                raise
            message = f"clip {clip.clip_id}: the folder in which it was made has been removed"
            raise MediaError(f"{message}, as a takedown does", "missing") from None
    return Rendered(stored.uri, stored.size, how)


def _make(
    clip: Clip, target: Path, access: Access, options: Rendering
) -> Literal["copied", "encoded"]:
    assert clip.video_uri is not None
    uri, access = _local_copy(clip.video_uri, access, target.parent)
    start_us = round((clip.start_s or 0.0) * MICROSECONDS)
    end_us = None if clip.end_s is None else round(clip.end_s * MICROSECONDS)
    where = place(uri, start_us, end_us, access)
    if where.copyable and not clip.edits and (where.exact or options.cut == "copy"):
        begin_us = start_us if where.exact else where.key_us
        copy(uri, target, begin_us, end_us, access, clean_end=where.clean_end)
        return "copied"
    _encode(clip, uri, target, where, access, options)
    return "encoded"


def _signature(clip: Clip, access: Access) -> str:
    if clip.signature:
        return clip.signature
    assert clip.video_uri is not None
    media_id = clip.media_id or fetch.identify(clip.video_uri, access)[0]
    return signature_of(media_id, clip.start_s, clip.end_s, clip.edits)


def _local_copy(uri: str, access: Access, scratch: Path) -> tuple[str, Access]:
    """A file that ffmpeg can read, and the right to: objects are fetched, once a clip."""
    media = fetch.open_media(uri, access)
    if isinstance(media, str):
        return media, access
    local = scratch / "media"
    with media, local.open("wb") as file:
        shutil.copyfileobj(media, file, 2**20)
    return str(local), dataclasses.replace(access, roots=(*access.roots, str(scratch)))


def _encode(
    clip: Clip, uri: str, target: Path, where: Place, access: Access, options: Rendering
) -> None:
    command = encode_command(clip, uri, target, where, access, options)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=options.deadline_s,
            check=False,
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        message = f"{uri}: encoding took more than {options.deadline_s} s"
        raise MediaError(message, "timeout") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode != 0:
        raise MediaError(f"{uri}: ffmpeg fails: {' | '.join(said[-3:])}", "decode_error")
    rights = dataclasses.replace(access, roots=(str(target.parent),))
    frames = place(str(target), 0, None, rights).frames
    if frames != where.frames:
        # ffmpeg calls it a success when it skips what it cannot decode.
        raise MediaError(
            f"{uri}: {frames} of the clip's {where.frames} pictures were encoded: "
            f"{' | '.join(said[-3:])}",
            "decode_error",
        )


def encode_command(
    clip: Clip, uri: str, target: Path, where: Place, access: Access, options: Rendering
) -> list[str]:
    """The ffmpeg command that cuts, edits and encodes a clip; nothing goes through a shell."""
    import ffmpeg

    header = probe(uri, access)
    size = (header.width, header.height)
    start_us = round((clip.start_s or 0.0) * MICROSECONDS)
    end_us = None if clip.end_s is None else round(clip.end_s * MICROSECONDS)
    source = _source(uri, where, end_us)
    video = source["v:0"]
    if not where.stamped:  # pictures come in order and at a constant rate
        video = video.filter("setpts", f"N/({header.fps}*TB)+{_seconds(where.zero_us)}/TB")
    from_us, until_us = start_us + where.zero_us, (end_us or 0) + where.zero_us
    inside = f"gte(round(t*1000000),{from_us})"
    if end_us is not None:
        inside += f"*lt(round(t*1000000),{until_us})"
    video = video.filter("select", inside).filter("setpts", _shifted(from_us))
    nodes: list[graph.Node] = []
    if header.sample_aspect_ratio != "1:1":
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
        window = {"start": _seconds(from_us)} | ({"end": _seconds(until_us)} if end_us else {})
        sound = source["a:0"].filter("atrim", **window).filter("asetpts", _shifted(from_us))
        for edit in graph.audio_edits(clip.edits):
            sound = sound.filter(edit.filter, **dict(edit.arguments))
        outputs.append(sound.filter("aresample", **{"async": "1", "first_pts": "0"}))
        how |= {"c:a": options.audio_codec, "b:a": options.audio_bit_rate}
    how |= {"c:v": options.video_codec, "preset": options.preset, "crf": options.crf}
    how |= {"pix_fmt": options.pixel_format, "fps_mode": "passthrough", "enc_time_base": "1/90000"}
    how |= {"threads": options.threads}
    how |= {"map_metadata": "-1", "fflags": "+bitexact", "flags:v": "+bitexact"}
    how |= {"flags:a": "+bitexact", "movflags": "+faststart", "f": "mp4"}
    program = [find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error"]
    made: list[str] = ffmpeg.output(*outputs, str(target), **how).compile(cmd=program)
    return made


def _source(uri: str, where: Place, end_us: int | None) -> Any:
    """The input, from the key frame before the clip to a little after it, on the file's clock."""
    import ffmpeg

    options = {"f": where.demuxer, "protocol_whitelist": ",".join(PROTOCOLS), "threads": 1}
    early_us = 0 if where.demuxer in {"mov", "matroska"} else _WARM_UP_US
    seek_us = max(0, where.key_us - early_us) if where.stamped else 0
    if seek_us:
        options["ss"] = _seconds(seek_us + where.offset_us)
    if end_us is not None and where.stamped:
        options["t"] = _seconds(end_us - seek_us + where.offset_us + MICROSECONDS)
    return ffmpeg.input(uri, copyts=None, **options)


def _shifted(from_us: int) -> str:
    """Time stamps from `from_us` on, to the nearest tick."""
    return f"floor(PTS-{_seconds(from_us)}/TB+0.5)"


def _seconds(microseconds: int) -> str:
    return f"{microseconds / MICROSECONDS:.6f}"
