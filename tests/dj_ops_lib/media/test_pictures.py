"""Pictures are what ffmpeg shows: upright, with square pixels, in the size and format asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_truth import Seen, clip, pixels, psnr

from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.orientation import Orientation, of_matrix
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import Every, Frames, Size, Uniform

SIZES = {"cfr": (160, 96), "ten_bit": (160, 96), "webm": (160, 96), "rotated": (96, 160)}
SIZES |= {"mirrored": (96, 160), "sar": (213, 96)}


@pytest.mark.parametrize("kind", SIZES)
def test_frames_at_full_size_are_those_that_ffmpeg_writes(
    kind: str, videos: dict[str, Path], access: Access
) -> None:
    width, height = SIZES[kind]
    seen = Seen()
    decode(clip(videos[kind]), [(Frames(Every()), seen)], access)
    scale = ["-vf", f"scale={width}:{height}"] if kind == "sar" else []
    theirs = pixels(videos[kind], width, height, *scale)
    ours = np.stack([frame.image for frame in seen.frames])
    assert ours.shape == theirs.shape
    # Stretched by ffmpeg before it makes rgb; ten bits take other paths through libswscale.
    assert psnr(ours, theirs) > {"sar": 25, "ten_bit": 27}.get(kind, 40)


@pytest.mark.parametrize("kind", SIZES)
def test_the_header_says_the_size_that_frames_have(
    kind: str, videos: dict[str, Path], access: Access
) -> None:
    header = probe(str(videos[kind]), access)
    assert (header.width, header.height) == SIZES[kind]
    assert header.rotation == {"rotated": 90, "mirrored": 270}.get(kind, 0)


def test_formats_agree_with_each_other(videos: dict[str, Path], access: Access) -> None:
    seen = {name: Seen() for name in ("rgb24", "bgr24", "gray")}
    decode(clip(videos["cfr"]), [(Frames(Uniform(3), None, n), s) for n, s in seen.items()], access)  # type: ignore[arg-type]
    for rgb, bgr, gray in zip(*(s.frames for s in seen.values()), strict=True):
        assert (rgb.image[..., ::-1] == bgr.image).all()
        assert gray.image.shape == (96, 160)
        luma = cv2.cvtColor(rgb.image, cv2.COLOR_RGB2GRAY).astype(int)
        assert np.abs(luma - gray.image).mean() < 4


@pytest.mark.parametrize(
    ("size", "shape"),
    [(Size(short=48), (48, 80)), (Size(max_long=40), (24, 40)), (Size(exact=(33, 17)), (17, 33)),
     (Size(short=50, divisible=8), (48, 80))],
)  # fmt: skip
def test_sizes_are_what_was_asked_for_and_shrinking_averages(
    size: Size, shape: tuple[int, int], videos: dict[str, Path], access: Access
) -> None:
    full, small = Seen(), Seen()
    wanted = [(Frames(Uniform(3), s, "gray"), o) for s, o in ((None, full), (size, small))]
    decode(clip(videos["cfr"]), wanted, access)
    for large, frame in zip(full.frames, small.frames, strict=True):
        assert frame.image.shape == shape
        averaged = cv2.resize(large.image, shape[::-1], interpolation=cv2.INTER_AREA)
        assert psnr(frame.image, averaged) > 30


def test_a_picture_can_be_enlarged(videos: dict[str, Path], access: Access) -> None:
    seen = Seen()
    decode(clip(videos["cfr"]), [(Frames(Uniform(1), Size(short=192)), seen)], access)
    assert seen.frames[0].image.shape == (192, 320, 3)


def test_pictures_cannot_be_written_to(videos: dict[str, Path], access: Access) -> None:
    class Scribbler(Seen):
        def frame(self, frame) -> None:
            with pytest.raises(ValueError, match="read-only"):
                frame.image[0, 0] = 0
            super().frame(frame)

    scribbler = Scribbler()
    for kind in ("cfr", "rotated"):
        decode(clip(videos[kind]), [(Frames(Uniform(2)), scribbler)], access)
    assert len(scribbler.frames) == 4


@given(st.booleans(), st.sampled_from([0, 90, 180, 270]))
def test_a_display_matrix_is_read_back_as_it_was_built(mirrored: bool, rotation: int) -> None:
    turn = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotation]
    a, b, c, d = turn
    if mirrored:
        a, b = -a, -b
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], np.int32)
    assert of_matrix(matrix.tobytes()) == Orientation(mirrored, rotation)


@given(st.booleans(), st.sampled_from([0, 90, 180, 270]))
def test_turning_moves_pixels_as_the_matrix_says(mirrored: bool, rotation: int) -> None:
    image = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3)
    expected = np.rot90(image[:, ::-1] if mirrored else image, -rotation // 90)
    assert (Orientation(mirrored, rotation).apply(image) == expected).all()


def test_a_long_edge_by_itself_keeps_the_aspect_ratio() -> None:
    assert Size(long=320).resolve(1920, 1080) == (320, 180)
    assert Size(long=320).resolve(1080, 1920) == (180, 320)
    assert Size(short=100, long=320).resolve(1920, 1080) == (320, 100)
