"""Which videos the corpus has: plain ones, and one of everything that must be caught.

Everything is written down here; only the order of sentences and the ids of
other datasets' videos are drawn from the seed.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from fractions import Fraction

from dj_ops_lib.demo.captions import chinese
from dj_ops_lib.demo.encode import BurntText, Encoding
from dj_ops_lib.demo.video import Annotation, Video
from dj_ops_lib.demo.world import FPS, Motion, Shape, Shot

FAST = 480
"""Camera speed in pixels per second, at which the 640 pixels of the picture's width have passed by
after 1.3 seconds; the recipe's limit is half the width a second."""


def shot(
    seconds: float,
    colour: str,
    shape: Shape,
    background: str,
    motion: Motion = "from left to right",
    **more: int,
) -> Shot:
    """A shot of a moving shape."""
    return Shot(round(seconds * FPS), shape, colour, background, motion, **more)


def flight(seconds: float, background: str, speed: int) -> Shot:
    """A camera flight over a mottled ground."""
    return Shot(round(seconds * FPS), None, background, background, "not at all", pan=speed)


def still(seconds: float, background: str) -> Shot:
    """A screen of one colour."""
    return Shot(round(seconds * FPS), None, background, background, "not at all")


def _uneven_times(frames: int) -> tuple[int, ...]:
    """Frame times in milliseconds as a phone writes them: 30 to 70 ms apart, 50 on average."""
    steps = [(30, 70, 40, 60, 50)[i % 5] for i in range(frames)]
    return tuple(sum(steps[:i]) for i in range(frames))


def _fade() -> tuple[Shot, Shot]:
    """Out to black and in again, in strong colours: their saturation stays until it is black."""
    return (
        shot(2.5, "yellow", "circle", "blue", fade_out=20),
        shot(2.5, "white", "square", "red", "from right to left", fade_in=20),
    )


def msr_vtt() -> list[Video]:
    """Twenty-nine files, each a clip; ids are those of MSR-VTT: `video0`, `video1`, ..."""
    first = shot(3, "red", "circle", "yellow")
    chinese_captions = (
        chinese(first),
        "A red circle 🔴 moves\nfrom left to right 👉\r\nover a yellow background.",
    )
    original = shot(4, "orange", "triangle", "purple", "around in a circle")
    same = {"shots": (original,), "group": "orange_triangle"}
    train = [
        ("plain", {"shots": (first,), "captions": chinese_captions}),
        ("plain", {"shots": (shot(3, "yellow", "square", "purple", "from right to left"),)}),
        ("plain", {"shots": (shot(4, "green", "triangle", "pink", "from top to bottom"),)}),
        ("plain", {"shots": (shot(5, "white", "square", "red", "back and forth"),)}),
        (
            "hard_cuts",
            {
                "shots": (
                    shot(2, "yellow", "circle", "blue"),
                    shot(2, "purple", "square", "yellow", "from bottom to top"),
                    shot(2.5, "white", "triangle", "purple", "from right to left"),
                )
            },
        ),
        ("static", {"shots": (shot(3, "green", "square", "orange", "not at all"),)}),
        ("too_fast", {"shots": (flight(5, "green", FAST),), "width": 640, "height": 384}),
        ("tiny", {"shots": (shot(3, "red", "square", "white"),), "width": 64, "height": 64}),
        ("extreme_aspect", {"shots": (shot(3, "blue", "circle", "white"),), "width": 640}),
        ("rotated", {"shots": (shot(3, "red", "triangle", "yellow"),),
                     "encoding": Encoding(rotation=90)}),
        ("non_square_pixels", {"shots": (shot(3, "black", "circle", "pink"),), "width": 128,
                               "encoding": Encoding(sample_aspect_ratio=Fraction(2))}),
        ("variable_frame_rate", {"shots": (shot(3, "blue", "triangle", "orange"),),
                                 "encoding": Encoding(times_ms=_uneven_times(60))}),
        ("burnt_in_text", {"shots": (shot(3, "pink", "circle", "blue"),),
                           "titles": (BurntText("BIG SALE 50%", 40, 20),
                                      BurntText("CALL NOW", 90, 150))}),
        ("letterbox", {"shots": (shot(3, "yellow", "square", "red"),), "bar": 24}),
        ("black", {"shots": (still(3, "black"),)}),
        ("no_audio", {"shots": (shot(3, "purple", "circle", "green"),),
                      "encoding": Encoding(tone_hz=None)}),
        ("ten_bit", {"shots": (shot(3, "white", "circle", "purple"),),
                     "encoding": Encoding(pixel_format="yuv420p10le")}),
        ("odd_dimensions", {"shots": (shot(3, "orange", "square", "blue"),), "width": 321,
                            "height": 193, "encoding": Encoding(pixel_format="yuv444p")}),
        ("fade", {"shots": _fade()}),
    ]  # fmt: skip
    test = [
        ("one_frame", {"shots": (Shot(1, "circle", "red", "white"),)}),
        ("too_short", {"shots": (shot(0.6, "green", "circle", "white"),)}),
        ("truncated", {"shots": (shot(3, "blue", "square", "white"),), "fate": "truncated"}),
        ("zero_bytes", {"shots": (shot(3, "red", "square", "green"),), "fate": "empty"}),
        ("text_file", {"shots": (shot(3, "pink", "square", "green"),), "fate": "text"}),
        ("missing", {"shots": (shot(3, "black", "square", "green"),), "fate": "missing"}),
        ("original", {**same, "width": 640, "height": 384}),
        ("exact_duplicate", {**same, "width": 640, "height": 384, "copy_of": "video25"}),
        ("rescaled_duplicate", {**same, "rescaled_from": (640, 384),
                                "encoding": Encoding(crf=32)}),
        ("plain", {"shots": (shot(4, "white", "square", "purple", "closer"),)}),
    ]  # fmt: skip
    return [
        Video(f"video{number}", feature, **more)  # type: ignore[arg-type]
        for number, (feature, more) in enumerate(train + test)
    ]


TRAIN_VIDEOS = 19
"""How many of MSR-VTT's videos are in the training file; the others are in the test file."""


def internvid(seed: int) -> list[Video]:
    """Files of one or more shots, cut by the annotations."""
    ids = _youtube_ids(f"internvid {seed}")
    cut = (
        shot(3, "red", "circle", "white"),
        shot(3, "yellow", "square", "blue", "from right to left"),
        shot(3, "black", "triangle", "orange", "from top to bottom"),
        shot(3, "white", "circle", "purple", "back and forth"),
    )
    lively_then_still = (
        shot(3, "blue", "circle", "yellow"),
        shot(3, "white", "square", "purple", "not at all"),
    )
    copied = (shot(4, "green", "square", "yellow", "from bottom to top"),)
    long_shot = shot(24, "white", "square", "green", "back and forth")
    emoji = "A pink triangle 🔺 slides\nto the right 😀 — twice?\tNo, once."
    first = next(ids)
    original = next(ids)
    return [
        Video(first, "plain", (shot(4, "orange", "circle", "blue"),), annotations=_whole(4)),
        Video(next(ids), "plain", (shot(5, "pink", "triangle", "grey"),),
              annotations=(Annotation(0, 100, emoji),)),
        Video(next(ids), "plain", (shot(6, "white", "square", "blue", "around in a circle"),),
              annotations=_whole(3, 6)),
        Video(next(ids), "hard_cuts", cut,
              annotations=(Annotation(0, 60), Annotation(60, 180), Annotation(180, 240))),
        Video(next(ids), "long", (long_shot,), annotations=_whole(24)),
        Video(next(ids), "long", (shot(20.5, "yellow", "circle", "red", "back and forth"),),
              annotations=_whole(20.5)),
        Video(next(ids), "portrait", (shot(4, "red", "circle", "yellow", "from top to bottom"),),
              width=192, height=320, annotations=_whole(4)),
        Video(next(ids), "part_static", lively_then_still, annotations=_whole(6)),
        Video(next(ids), "span_past_end", (shot(4, "blue", "square", "orange"),),
              annotations=(Annotation(20, 120),)),
        Video(next(ids), "span_outside", (shot(3, "green", "circle", "orange"),),
              annotations=(Annotation(200, 260), Annotation(0, 60))),
        Video(original, "original", copied, group="green_square", annotations=_whole(4)),
        Video(next(ids), "exact_duplicate", copied, group="green_square", copy_of=original,
              annotations=_whole(4)),
        Video(next(ids), "twice_in_the_file", (shot(3, "purple", "circle", "yellow"),),
              annotations=_whole(3) * 2),
        Video(next(ids), "missing", (shot(3, "red", "circle", "black"),), fate="missing",
              annotations=_whole(3)),
        Video(next(ids), "fade", _fade(), annotations=_whole(5)),
        Video(next(ids), "slow_flight", (flight(4, "orange", 20),), annotations=_whole(4)),
        Video(next(ids), "too_fast", (flight(5, "purple", FAST),), width=640, height=384,
              annotations=_whole(5)),
        Video(next(ids), "plain", (shot(4, "yellow", "triangle", "blue", "back and forth"),),
              annotations=_whole(2, 4)),
    ]  # fmt: skip


def panda70m(seed: int) -> list[Video]:
    """Files with several clips each, as Panda-70M's records have."""
    ids = _youtube_ids(f"panda70m {seed}")
    cut = (
        shot(3, "green", "circle", "white"),
        shot(3, "white", "triangle", "blue", "from bottom to top"),
        shot(3, "red", "square", "yellow", "from right to left"),
    )
    copied = (shot(5, "blue", "circle", "pink", "back and forth"),)
    first = shot(6, "red", "triangle", "white", "back and forth")
    said = chinese(shot(3, "red", "triangle", "white", "back and forth"))
    original = next(ids)
    return [
        Video(next(ids), "plain", (first,),
              annotations=(Annotation(0, 60, said), Annotation(60, 120))),
        Video(next(ids), "hard_cuts", cut, annotations=_whole(3, 6, 9)),
        Video(next(ids), "hard_cuts", cut[::-1], annotations=_whole(9)),
        Video(next(ids), "plain", (shot(4, "black", "circle", "orange"),), annotations=_whole(4)),
        Video(next(ids), "long", (shot(13, "pink", "square", "blue", "back and forth"),),
              annotations=_whole(13)),
        Video(next(ids), "static", (shot(6, "yellow", "circle", "grey", "not at all"),),
              annotations=_whole(3, 6)),
        Video(original, "original", copied, group="blue_circle", annotations=_whole(5)),
        Video(next(ids), "exact_duplicate", copied, group="blue_circle", copy_of=original,
              annotations=_whole(5)),
        Video(next(ids), "truncated", (shot(4, "red", "circle", "grey"),), fate="truncated",
              annotations=_whole(2, 4)),
        Video(next(ids), "burnt_in_text", (shot(4, "white", "circle", "red"),),
              titles=(BurntText("BREAKING NEWS", 30, 80),), annotations=_whole(4)),
        Video(next(ids), "letterbox", (shot(4, "green", "triangle", "purple"),), bar=32,
              annotations=_whole(4)),
        Video(next(ids), "tiny", (shot(4, "blue", "square", "white"),), width=128, height=96,
              annotations=_whole(4)),
        Video(next(ids), "square_picture", (shot(4, "orange", "triangle", "blue", "closer"),),
              width=192, annotations=_whole(4)),
        Video(next(ids), "slow_flight", (flight(5, "blue", 20),), annotations=_whole(5)),
        Video(next(ids), "missing", (shot(3, "pink", "circle", "black"),), fate="missing",
              annotations=_whole(1.5, 3)),
        Video(next(ids), "upside_down", (shot(4, "purple", "triangle", "yellow"),),
              encoding=Encoding(rotation=180), annotations=_whole(4)),
        Video(next(ids), "too_short", (shot(4, "black", "square", "yellow"),),
              annotations=(Annotation(0, 16), Annotation(16, 80))),
    ]  # fmt: skip


def _whole(*ends_s: float) -> tuple[Annotation, ...]:
    """Annotations that follow each other from the beginning, ending at these seconds."""
    frames = [round(end * FPS) for end in ends_s]
    return tuple(Annotation(a, b) for a, b in zip([0, *frames], frames, strict=False))


def _youtube_ids(seed: str) -> Iterator[str]:
    """Endless ids as YouTube makes them: eleven letters, digits, `-` or `_`."""
    drawn = random.Random(seed)  # noqa: S311
    letters = string.ascii_letters + string.digits + "-_"
    while True:
        yield "".join(drawn.choice(letters) for _ in range(11))
