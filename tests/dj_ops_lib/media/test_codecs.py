"""Every codec that `dj doctor` names gives all pictures of a clip, and no others."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media_truth import Seen, clip, ffmpeg
from numbered_pictures import COUNT, FPS, HEIGHT, WIDTH, encode, number, pictures

from dj_ops_lib.cli.doctor import READABLE
from dj_ops_lib.clip import Clip
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.needs import At, Every, Fps, Frames, KeyFrames, Uniform
from dj_ops_lib.recipe_file import make_operator

YUV = ("-pix_fmt", "yuv420p")
FINE = ("-q:v", "2", "-g", "20", *YUV)
FILES = {
    "h264.mp4": ("libx264", "-bf", "3", "-g", "40", *YUV),
    "hevc.mp4": ("libx265", "-bf", "3", "-g", "40", *YUV, "-x265-params", "log-level=error"),
    "kvazaar.ts": ("libkvazaar", "-g", "40", *YUV),
    "h264.mpg": ("libx264", "-bf", "3", "-g", "40", *YUV),
    "vvc.mp4": ("libvvenc", "-g", "32", "-preset", "faster", "-pix_fmt", "yuv420p10le"),
    "vp8.webm": ("libvpx", "-g", "40", "-auto-alt-ref", "1", "-lag-in-frames", "16",
                 "-cpu-used", "5", "-b:v", "1M", *YUV),
    "vp9.webm": ("libvpx-vp9", "-g", "40", "-auto-alt-ref", "1", "-lag-in-frames", "20",
                 "-cpu-used", "5", *YUV),
    "aom.mp4": ("libaom-av1", "-g", "40", "-cpu-used", "8", "-lag-in-frames", "19", *YUV),
    "svt.webm": ("libsvtav1", "-g", "40", "-preset", "10", *YUV),
    "rav1e.mp4": ("librav1e", "-g", "40", "-speed", "10", *YUV),
    "mpeg1.mpg": ("mpeg1video", "-bf", "2", *FINE),
    "mpeg2.ts": ("mpeg2video", "-bf", "2", "-flags", "+ilme+ildct", *FINE),
    "mpeg4.mp4": ("mpeg4", "-bf", "2", *FINE),
    "msmpeg4v2.avi": ("msmpeg4v2", *FINE),
    "msmpeg4v3.avi": ("msmpeg4", *FINE),
    "wmv1.wmv": ("wmv1", *FINE),
    "wmv2.wmv": ("wmv2", *FINE),
    "flv.flv": ("flv", *FINE),
    "h263.3gp": ("h263", *FINE, "-q:v", "4"),
    "h263p.avi": ("h263p", *FINE, "-q:v", "4"),
    "h261.mkv": ("h261", *FINE),
    "theora.ogv": ("libtheora", "-q:v", "8", "-g", "20", *YUV),
    "prores.mov": ("prores_ks",),
    "vc2.mkv": ("vc2", *YUV),
    "ffv1.mkv": ("ffv1", "-level", "1", "-g", "20", *YUV),
    "mjpeg.mov": ("mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"),
    "svq1.mov": ("svq1", "-q:v", "2", "-g", "20"),
    "rawvideo.avi": ("rawvideo", *YUV),
    "flashsv2.flv": ("flashsv2", "-g", "20"),
}  # fmt: skip
"""A file of each codec, by several encoders where they order pictures differently."""

WITHOUT_ENCODER: frozenset[str] = frozenset()
"""Codecs of the doctor's list that no ffmpeg can write; each would need a file kept here."""

SPANS = [(0, COUNT), (30, 63), (63, COUNT), (5, 10), (82, 99)]
"""First picture of a clip and the first one after it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("codecs")


@pytest.fixture(scope="module", params=list(FILES))
def video(request: pytest.FixtureRequest, folder: Path) -> Path:
    return encode(folder / request.param, *FILES[request.param])


def numbers(seen: Seen) -> list[int]:
    return [number(frame.image) for frame in seen.frames]


def span_of(path: Path, first: int, stop: int) -> Clip:
    """The clip from one picture to before another, as the engine knows it."""
    return dataclasses.replace(
        clip(path, first / FPS or None, stop / FPS),
        fps=float(FPS),
        num_frames=stop - first,
        duration_s=(stop - first) / FPS,
    )


def shown(path: Path, plans: list[At], first: int, stop: int) -> list[Seen]:
    """What plans are shown of a span of pictures when they are asked for together."""
    access = Access((str(path.parent),))
    seen = [Seen() for _ in plans]
    wanted = [(Frames(at, None, "gray"), s) for at, s in zip(plans, seen, strict=True)]
    part = span_of(path, first, stop)
    decode(part, wanted, access)
    return seen


def test_every_codec_of_the_doctors_list_is_here(folder: Path) -> None:
    there = set()
    for name, codec in FILES.items():
        with av.open(str(encode(folder / f"of_{name}", *codec, frames=pictures()[:1]))) as file:
            there.add(file.streams.video[0].codec_context.codec.name)
    there = {"av1" if name == "libdav1d" else name for name in there}
    assert there | WITHOUT_ENCODER >= {codec for codec in READABLE if codec != "aac"}


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_plans_give_the_pictures_of_their_span(video: Path, span: tuple[int, int]) -> None:
    first, stop = span
    plans: list[At] = [Every(), KeyFrames(), Uniform(3), Fps(5)]
    (keys,) = shown(video, [KeyFrames()], 0, COUNT)
    middle = first + -(-(stop - first) // 2)
    expected = {
        Every(): list(range(first, stop)),
        KeyFrames(): [k for k in numbers(keys) if first <= k < stop] or [first],
        Uniform(3): [first, middle, stop - 1][: stop - first],
        Fps(5): list(range(first, stop, max(1, min(FPS // 5, stop - first - 1)))),
    }
    for asked in [*([at] for at in plans), plans, [KeyFrames(), Uniform(3)]]:
        for at, seen in zip(asked, shown(video, asked, first, stop), strict=True):
            assert numbers(seen) == expected[at], at
            assert [round(t * FPS) for t in seen.times] == expected[at], at


def test_motion_is_that_of_the_same_pictures_in_a_file_of_their_own(
    video: Path, folder: Path
) -> None:
    first, stop = SPANS[1]
    alone = folder / "alone.mkv"
    ffmpeg("-i", video, "-vf", f"trim=start_frame={first}:end_frame={stop},setpts=PTS-STARTPTS",
           "-c:v", "ffv1", alone)  # fmt: skip
    operator = make_operator("video_motion_score_filter", {"method": "dis", "sampling_fps": FPS})

    def score(part: Clip) -> float:
        observer = operator.observe(part)
        decode(part, [(operator.needs(), observer)], Access((str(folder),)))
        return float(observer.result()["video_motion_score"])

    own = dataclasses.replace(span_of(alone, first, stop), start_s=None, end_s=None)
    assert score(span_of(video, first, stop)) == pytest.approx(score(own), rel=0.01)


def test_the_picture_on_screen_is_found_though_nothing_leans_on_it(folder: Path) -> None:
    held = folder / "held.mkv"
    with av.open(str(held), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"bf": "2", "b-adapt": "0", "b-pyramid": "none", "g": "250"}
        stream.time_base = Fraction(1, FPS)
        for index, image in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts = index + 8 * FPS * (index > 50)  # picture 50, a B-frame, lasts 8 s
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for at in (Every(), Uniform(1), KeyFrames()):
        seen = Seen()
        part = dataclasses.replace(clip(held, 4.0, 6.0), num_frames=1, fps=25.0, duration_s=2.0)
        decode(part, [(Frames(at, None, "gray"), seen)], Access((str(folder),)))
        assert (numbers(seen), seen.times) == ([50], [4.0]), at
