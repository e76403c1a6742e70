"""What a viewer sees alike is measured alike: turned, stretched, edited, or inside a longer file.

Each test shows every operator the same pictures in two ways. Files are lossless, so that the truth
is how they were made and not what an encoder left of it.
"""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import skimage.data

from dj_ops_lib.clip import Edit, Span
from dj_ops_lib.needs import Audio, MotionVectors, Packets
from dj_ops_lib.operator import Annotator, EditResult
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.registry import operator_names

NAMES = operator_names()
PICTURES = [  # those whose result does not depend on how pictures were compressed
    n for n in NAMES if not isinstance(make_operator(n, {}).needs(), Packets | MotionVectors)
]
DOING = {
    "video_mosaic_mapper": {"roi_strings": ["0.1,0.2,0.4,0.5"]},
    "video_remove_watermark_mapper": {"roi_strings": ["0,0.1,0.4,0.4"]},
    "video_resize_resolution_mapper": {"max_width": 80},
    "video_resize_aspect_ratio_mapper": {"min_ratio": "2", "mode": "pad"},
    "video_ffmpeg_wrapped_mapper": {"filter_name": "transpose"},
    "video_motion_score_filter": {"sampling_fps": 25},
    "video_split_by_scene_mapper": {"threshold": 12.0, "min_scene_len": 5},
}
"""Parameters with which operators do something that would do nothing to the scene."""

OF_THE_FILE = {"video_hash_bit_rate"}
"""Columns that are the file's by definition, whatever is shown."""

LOSSLESS = {"pixel_format": "yuv444p", "crf": "0", "qp": "0"}
FRAMES = 40


def scene(frames=FRAMES, width=128, height=96):
    """Two shots: a ground that moves under a text and a face, a black border, a bright mark."""
    face = np.asarray(skimage.data.astronaut())[:340, 90:430, ::-1]
    face = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    for i in range(frames):
        ground = np.random.default_rng(i // 25).integers(0, 256, (height, width + 120, 3))
        ground = cv2.GaussianBlur(ground.astype(np.uint8), (0, 0), 4)
        ground = cv2.normalize(ground, None, 40, 220, cv2.NORM_MINMAX)
        ground[..., 2 * (i // 25)] //= 9
        image = np.ascontiguousarray(ground[:, 2 * i : 2 * i + width])
        cv2.putText(image, "TEXT", (4, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
        image[30:94, 60:124] = face
        image[:12] = 0
        image[14:20, 4:20] = 255
        yield image


def found(name, clip, watch):
    """What the operator finds, as plain values; spans from the clip's start."""
    operator = make_operator(name, DOING.get(name, {}))
    result = watch(operator, clip)
    if isinstance(operator, Annotator):
        (result,) = operator.annotate([clip], [result])
    if isinstance(result, EditResult):
        edits = [(e.filter, e.arguments) for e in result.edits]
        return {"edits": edits, "size": (result.width, result.height), **result.columns}
    if isinstance(result, dict):
        return {k: v for k, v in result.items() if k not in OF_THE_FILE}
    start = clip.span.start_s
    return {"spans": [(s.start_s - start, s.end_s - start) for s in result if isinstance(s, Span)]}


def alike(one, other, tolerance):
    """Whether two results agree: numbers up to a share, all else exactly."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, float) or key == "spans":
            assert np.array(value) == pytest.approx(
                np.array(other[key]), rel=tolerance, abs=1e-3
            ), key
        elif isinstance(value, int) and not isinstance(value, bool):
            assert value == pytest.approx(other[key], abs=0 if tolerance < 1e-3 else 2), key
        else:
            assert value == other[key], key


# --- inside a longer file -------------------------------------------------------------------


@pytest.fixture(scope="module")
def inside(tmp_path_factory, write_video):
    """The scene as a file, and in the middle of another one; every frame is a key frame."""
    folder = tmp_path_factory.mktemp("inside")
    before = [np.full((96, 128, 3), 90, np.uint8)] * 25
    options = {"codec": "ffv1", "pixel_format": "yuv444p", "gop": 1}
    alone = write_video(folder / "alone.mkv", scene(), **options)
    longer = write_video(folder / "longer.mkv", [*before, *scene(), *before], **options)
    return alone, longer


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_in_the_middle_of_a_file_is_what_a_file_of_its_own_would_be(
    inside, file_clip, watch, name
):
    alone, longer = inside
    whole = file_clip(alone)
    part = file_clip(longer, start_s=1.0, end_s=1.0 + FRAMES / 25)
    assert (part.estimated_frames, part.fps) == (whole.estimated_frames, whole.fps)
    alike(found(name, whole, watch), found(name, part, watch), 1e-6)


# --- turned, stretched, edited --------------------------------------------------------------


@pytest.fixture(scope="module")
def turned(tmp_path_factory, write_video):
    """The scene, and its pictures turned left with a header that turns them right again."""
    folder = tmp_path_factory.mktemp("turned")
    upright = write_video(folder / "upright.mp4", scene(), **LOSSLESS)
    lying = write_video(folder / "lying.mp4", (np.rot90(i) for i in scene()), **LOSSLESS)
    rotated = folder / "rotated.mp4"
    with av.open(str(lying)) as reader, av.open(str(rotated), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(-90)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return upright, rotated


@pytest.mark.parametrize("name", PICTURES)
def test_a_rotated_file_is_measured_as_it_is_shown(turned, file_clip, watch, name):
    upright, rotated = (file_clip(path) for path in turned)
    assert rotated.rotation == 90
    assert (rotated.width, rotated.height) == (upright.width, upright.height)
    alike(found(name, upright, watch), found(name, rotated, watch), 0.02)


@pytest.fixture(scope="module")
def stretched(tmp_path_factory, write_video):
    """The scene, and the same with half the columns, each of them two pixels wide."""
    folder = tmp_path_factory.mktemp("stretched")
    square = [cv2.GaussianBlur(i, (0, 0), 2) for i in scene()]
    narrow = [cv2.resize(i, (64, 96), interpolation=cv2.INTER_AREA) for i in square]
    wide = Fraction(2)
    return (
        write_video(folder / "square.mp4", square, **LOSSLESS),
        write_video(folder / "narrow.mp4", narrow, sample_aspect_ratio=wide, **LOSSLESS),
    )


@pytest.mark.parametrize("name", PICTURES)
def test_wide_pixels_are_measured_as_they_are_shown(stretched, file_clip, watch, name):
    square, narrow = (file_clip(path) for path in stretched)
    assert narrow.sample_aspect_ratio == "2:1"
    assert (narrow.width, narrow.height) == (square.width, square.height)
    alike(found(name, square, watch), found(name, narrow, watch), 0.15)


EDITS = (Edit("crop", (("w", "96"), ("h", "80"), ("x", "8"), ("y", "0"))), Edit("hflip"))


@pytest.fixture(scope="module")
def edited(tmp_path_factory, write_video):
    """The scene, and the same cropped and mirrored."""
    folder = tmp_path_factory.mktemp("edited")
    cut = (np.ascontiguousarray(i[:80, 8:104][:, ::-1]) for i in scene())
    return (
        write_video(folder / "plain.mp4", scene(), **LOSSLESS),
        write_video(folder / "cut.mp4", cut, **LOSSLESS),
    )


@pytest.mark.parametrize("name", PICTURES)
def test_an_edited_clip_is_measured_as_it_will_be_rendered(edited, file_clip, watch, name):
    plain, cut = (file_clip(path) for path in edited)
    virtual = dataclasses.replace(plain, edits=EDITS, width=96, height=80)
    alike(found(name, cut, watch), found(name, virtual, watch), 0.01)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory, write_video):
    """The scene without and with sound."""
    folder = tmp_path_factory.mktemp("sounding")
    tone = np.sin(2 * np.pi * 440 * np.arange(round(48_000 * FRAMES / 25)) / 48_000)
    return (
        write_video(folder / "mute.mp4", scene(), **LOSSLESS),
        write_video(folder / "loud.mp4", scene(), sound=np.stack([tone, tone]), **LOSSLESS),
    )


DEAF = [n for n in PICTURES if not isinstance(make_operator(n, {}).needs(), Audio)]


@pytest.mark.parametrize("name", DEAF)
def test_sound_matters_only_to_those_who_hear_it(sounding, file_clip, watch, name):
    mute, loud = (file_clip(path) for path in sounding)
    assert (mute.has_audio, loud.has_audio) == (False, True)
    alike(found(name, mute, watch), found(name, loud, watch), 1e-6)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory, write_video):
    """Pictures that are shown for 1, 2 or 3 ticks; the same with a picture for every tick."""
    folder = tmp_path_factory.mktemp("uneven")
    pictures = [i if n // 8 != 1 else np.zeros_like(i) for n, i in enumerate(scene())]
    ticks = [n % 3 + 1 for n in range(FRAMES)]
    begins = np.cumsum([0, *ticks[:-1]]) * 0.04
    even = [image for image, n in zip(pictures, ticks, strict=True) for _ in range(n)]
    return (
        write_video(folder / "even.mp4", even, **LOSSLESS),
        write_video(folder / "uneven.mp4", pictures, times_s=begins, **LOSSLESS),
    )


@pytest.mark.parametrize("name", ["video_black_freeze_filter", "video_duration_filter"])
def test_an_uneven_frame_rate_is_measured_in_time_not_in_frames(uneven, file_clip, watch, name):
    even, other = (file_clip(path) for path in uneven)
    assert other.num_frames == FRAMES < even.num_frames
    alike(found(name, even, watch), found(name, other, watch), 0.04)
