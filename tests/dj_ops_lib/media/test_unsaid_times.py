"""Files that do not say, or say wrongly, when their pictures are shown give all of them, in order.

What the ffmpeg program shows of a file is the truth, and the number on each picture.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import pytest
from media_truth import Seen, clip, ffmpeg, pixels, shown
from numbered_pictures import COUNT, FPS, HEIGHT, WIDTH, encode, number

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.needs import At, Every, Frames, KeyFrames, Uniform
from dj_ops_lib.rendering import Rendering

YUV = ("-pix_fmt", "yuv420p")
X264 = ("libx264", "-bf", "3", "-g", "40", *YUV)
COARSE = ("-bf", "2", "-q:v", "20", "-g", "20", *YUV)
XVID = ("libxvid", "-bf", "2", "-g", "20", "-q:v", "3", *YUV)
EVEN = {
    # Up to fourteen pictures begin in one packet of the container, which stamps the first.
    "h264.mpg": X264,
    "h264.vob": (*X264, "-f", "vob"),
    "small.mpg": (*X264, "-crf", "40"),
    "open.mpg": (*X264, "-x264-params", "open-gop=1"),  # FFmpeg gives two pictures one stamp
    "hevc.mpg": ("libx265", "-bf", "3", "-g", "40", *YUV, "-x265-params", "log-level=error"),
    "mpeg1.mpg": ("mpeg1video", *COARSE),  # FFmpeg gives a key frame the next one's stamp
    "mpeg2.mpg": ("mpeg2video", *COARSE),
    "vc2.mkv": ("vc2", *YUV),  # FFmpeg cannot seek in it
    "vvc.mp4": ("libvvenc", "-g", "32", "-preset", "faster", "-pix_fmt", "yuv420p10le"),
}
"""Files of `COUNT` pictures of equal length."""

XVIDS = {"packed.avi": XVID, "coded_order.mp4": XVID, "coded_order.mkv": XVID}
"""Files from which the encoder left some pictures out."""

PIECES = [(0, 30), (30, 63), (63, COUNT)]


@pytest.fixture(scope="module", params=[*EVEN, *XVIDS])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unsaid")
    return encode(folder / request.param, *(EVEN | XVIDS)[request.param])


def look(path: Path, at: At, first: int = 0, stop: int = COUNT) -> tuple[list[int], list[int]]:
    """(numbers on the pictures of a piece, their times in pictures)."""
    seen = Seen()
    part = clip(path, first / FPS or None, None if stop == COUNT else stop / FPS)
    part = dataclasses.replace(part, fps=float(FPS), duration_s=(stop - first) / FPS)
    decode(part, [(Frames(at, None, "gray"), seen)], Access((str(path.parent),)))
    return [number(f.image) for f in seen.frames], [round(t * FPS) for t in seen.times]


def all_of(path: Path) -> list[int]:
    """The numbers that the ffmpeg program shows."""
    return [number(image[..., 1]) for image in pixels(path, WIDTH, HEIGHT)]


def test_every_picture_comes_once_in_order(video: Path) -> None:
    found, times = look(video, Every())
    assert found == all_of(video)
    assert times == sorted(set(times))
    if video.name in EVEN:
        assert found == times == list(range(COUNT))
        assert probe(str(video), Access((str(video.parent),))).duration_s == COUNT / FPS
    if video.name == "packed.avi":
        assert times == [round(time * FPS) for time, _ in times_of(video)]


def times_of(path: Path) -> list[tuple[float, bool]]:
    """The ffmpeg program's times, from its first picture's."""
    begin = shown(path)[0][0]
    return [(time - begin, key) for time, key in shown(path)]


def test_pieces_measured_and_rendered_hold_every_picture(video: Path, tmp_path: Path) -> None:
    expected = all_of(video)
    measured: list[int] = []
    rendered: list[int] = []
    for first, stop in PIECES:
        found, times = look(video, Every(), first, stop)
        assert all(first <= time < stop for time in times)
        measured += found
        part = clip(video, first / FPS or None, None if stop == COUNT else stop / FPS)
        part = dataclasses.replace(part, media_id=f"m{first}")
        done = render(part, tmp_path, Access((str(video.parent),)), Rendering(preset="ultrafast"))
        with av.open(done.uri) as file:
            images = [number(f.to_ndarray(format="gray")) for f in file.decode(video=0)]
        assert images == found
        rendered += images
    assert measured == rendered == expected


def test_few_pictures_are_those_of_the_whole(video: Path) -> None:
    found, times = look(video, Every())
    shown_at = dict(zip(times, found, strict=True))
    for at in (KeyFrames(), Uniform(3)):
        for first, stop in [(0, COUNT), *PIECES, (82, 99)]:
            some, when = look(video, at, first, stop)
            assert [shown_at[time] for time in when] == some, at
            assert when


def test_a_long_program_stream_with_sound_is_sought_in(tmp_path: Path) -> None:
    """Pieces far from the beginning are not decoded from there, and hold the right pictures."""
    once = encode(tmp_path / "once.mkv", "ffv1", *YUV)
    path = tmp_path / "long.mpg"
    ffmpeg("-stream_loop", 7, "-i", once, "-f", "lavfi", "-i", "sine=d=32", "-shortest",
           "-c:v", "libx264", "-bf", 3, "-g", 25, *YUV, "-c:a", "mp2", path)  # fmt: skip
    for first in (0, 130, 377, 640, 791):
        seen = Seen()
        part = dataclasses.replace(clip(path, first / FPS or None, (first + 9) / FPS), fps=25.0)
        report = decode(part, [(Frames(Every(), None, "gray"), seen)], Access((str(tmp_path),)))
        meant = list(range(first, first + 9))
        assert [number(f.image) for f in seen.frames] == [n % COUNT for n in meant]
        assert [round(t * FPS) for t in seen.times] == meant
        assert report.frames_decoded < 250


def test_vvc_elsewhere_than_in_mp4_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Its first packet is the picture 23, which FFmpeg takes for the file's beginning."""
    path = encode(tmp_path / "vvc.mkv", *EVEN["vvc.mp4"])
    with pytest.raises(MediaError, match=r"-c copy FILE\.mp4") as caught:
        probe(str(path), Access((str(tmp_path),)))
    assert caught.value.error_class == "unsupported"
