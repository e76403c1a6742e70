"""Header facts of a video, without decoding it.

Here: what the `media` stage stores. Durations and rates are those of the main
video stream, which is what the operators see. The duration reaches to the end of
the last picture: headers may declare less, so the last packets are looked at, and
where a container declares none, all are walked once (not decoded).
"""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.container import (
    check_dimensions,
    indexed_ticks,
    main_video,
    open_container,
    stored_frames,
    time_zero,
)
from dj_ops_lib.media.labels import labels_of
from dj_ops_lib.media.orientation import declared_rotation, display_size
from dj_ops_lib.media.reach import end_of_pictures

_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """The header columns of `clip.CLIP_SCHEMA`, for a whole file.

    `num_frames` is None where the header declares none, or a number that cannot be.
    """

    width: int
    height: int
    fps: float
    num_frames: int | None
    duration_s: float
    container: str
    video_codec: str
    pixel_format: str | None
    bit_depth: int | None
    field_order: str | None
    color_transfer: str | None
    color_primaries: str | None
    color_space: str | None
    color_range: str | None
    rotation: int
    sample_aspect_ratio: str
    bit_rate: int | None
    has_audio: bool
    audio_codec: str | None
    sample_rate: int | None
    audio_channels: int | None


def probe(uri: str, access: Access) -> Header:
    """Read a file's header.

    Raises:
        MediaError: `missing`, `forbidden`, `corrupt`, `unsupported` or `too_large`.
    """
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        check_dimensions(uri, video.width, video.height, access)
        rotation = declared_rotation(container, video)
        sar = video.sample_aspect_ratio or Fraction(1)
        width, height = display_size(video.width, video.height, sar, swaps=rotation % 180 == 90)
        duration, counted = _duration(container, video, uri)
        fps = frame_rate(video)
        shown = _shown(container, video, duration, float(fps))
        frames = counted or _declared_frames(video, shown, fps) or None
        _check_length(uri, shown, frames or round(shown * fps), access)
        audio = container.streams.audio[0] if container.streams.audio else None
        codec = audio.codec_context if audio else None
        return Header(
            width=width,
            height=height,
            fps=float(fps) or (frames or 0) / shown,
            num_frames=frames,
            duration_s=shown,
            container=container.format.name,
            video_codec=video.codec_context.codec.canonical_name,
            pixel_format=video.pix_fmt,
            **labels_of(video),
            rotation=rotation,
            sample_aspect_ratio=f"{sar.numerator}:{sar.denominator}",
            bit_rate=container.bit_rate or None,
            has_audio=audio is not None,
            audio_codec=codec.codec.canonical_name if codec else None,
            sample_rate=codec.sample_rate if codec else None,
            audio_channels=codec.channels if codec else None,
        )


def frame_rate(video: VideoStream) -> Fraction:
    """Average frames per second; zero where the header does not say.

    FFmpeg's guess is better where the time base counts fields, and the index of an AVI is better
    than its header (`stored_frames`).
    """
    stored = stored_frames(video)
    if stored is not None and video.duration and video.time_base:
        return stored / (video.duration * video.time_base)
    average, guessed = video.average_rate or Fraction(0), video.guessed_rate or Fraction(0)
    return guessed if average == 2 * guessed and guessed else average or guessed


def declared_duration(container: InputContainer, video: VideoStream) -> tuple[float | None, bool]:
    """(duration of the main video in seconds, whether it is the video stream's own).

    Matroska keeps a stream's end in a tag; its segment duration and FLV's are those of
    the longest stream; the index of an AVI may go on after what its header counts. None where
    nothing says.
    """
    ticks = max(video.duration or 0, indexed_ticks(video))
    if ticks > 0 and video.time_base is not None:
        return float(ticks * video.time_base), True
    start = float(time_zero(container, video))
    if found := _TAG.match(video.metadata.get("DURATION", "")):
        hours, minutes, seconds = found.groups()
        end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if end > start:
            return round(end - start, 6), True
    if container.duration is None or container.duration <= 0:
        return None, False
    end = container.duration / av.time_base
    if not container.format.name.startswith(("matroska", "flv")):
        end += (container.start_time or 0) / av.time_base  # counted from the earliest stream
    return (round(end - start, 6), False) if end > start else (None, False)


def _duration(container: InputContainer, video: VideoStream, uri: str) -> tuple[float, int | None]:
    """(duration in seconds, frames if they had to be counted)."""
    duration, _ = declared_duration(container, video)
    if duration is not None:
        return duration, None
    start = float(time_zero(container, video))
    end, frames = start, 0
    try:
        for packet in container.demux(video):
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                frames += 1
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{uri}: declares no duration, and reading it fails: {error.strerror}", "corrupt"
        ) from error
    if not frames or end <= start:
        raise MediaError(f"{uri}: holds no video frame with a time", "corrupt")
    return end - start, frames


def _shown(container: InputContainer, video: VideoStream, duration: float, fps: float) -> float:
    """The duration, or where the last picture ends if that is later."""
    zero = time_zero(container, video)
    end = end_of_pictures(container, video, zero, duration, 1 / fps if fps else 0.0)
    # Containers round times; a millisecond is the coarsest clock among them.
    return end if end is not None and end > duration + 0.0015 else duration


def _declared_frames(video: VideoStream, duration: float, fps: Fraction) -> int:
    """The declared number of frames, zero where it contradicts duration and rate.

    An MP4 that was cut without encoding declares the hidden frames before the cut too: its
    index tells them apart. A fragmented one declares its first fragment only; an AVI may count
    fields.
    """
    if (stored := stored_frames(video)) is not None:
        return stored
    expected = duration * float(fps)
    if not expected or abs(video.frames - expected) <= 1:
        return video.frames
    if len(video.index_entries) == video.frames:
        return sum(not entry.is_discard for entry in video.index_entries)
    return video.frames if abs(video.frames - expected) <= 0.25 * expected else 0


def _check_length(uri: str, duration: float, frames: int, access: Access) -> None:
    limits = access.limits
    if duration > limits.max_duration_s:
        raise MediaError(
            f"{uri}: {duration:.0f} s, more than the limit of {limits.max_duration_s:.0f} s "
            "(max_duration_s)",
            "too_large",
        )
    if frames > limits.max_frames:
        raise MediaError(
            f"{uri}: {frames} frames, more than the limit of {limits.max_frames} (max_frames)",
            "too_large",
        )
