"""Regions that are changed, down to the decoded pixels, and the editor that is told where."""

import json
import subprocess
from pathlib import Path

import av
import cv2
import ffmpeg
import numpy as np
import pytest
from shown_pictures import pictures, texture

from dj_ops_lib.clip import Edit
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.edits import PictureEdits, cut_edits
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.media.filling import mask_text
from dj_ops_lib.media.regions import EFFECTS, branch, pixel_box, region_options, stream_region
from dj_ops_lib.media.render import render
from dj_ops_lib.rendering import Rendering

MOSAIC = "video_mosaic_mapper"
WATERMARK = "video_remove_watermark_mapper"


@pytest.fixture(scope="module")
def textured(tmp_path_factory, write_video):
    path = tmp_path_factory.mktemp("regions") / "textured.mp4"
    return write_video(path, [texture(0)] * 10, crf="5")


def changed(before, after, limit=12):
    """x1, y1, x2, y2 of what differs."""
    rows, columns = np.nonzero(np.abs(before.astype(int) - after) > limit)
    if not rows.size:
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_region_changes_inside_its_box_and_nowhere_else(textured, file_clip, effect):
    box = (20, 30, 80, 70)
    plain = file_clip(textured)
    edited = file_clip(textured, edits=(Edit("region", region_options(box, effect, 8)),))
    for before, after in zip(pictures(plain), pictures(edited), strict=True):
        x1, y1, x2, y2 = changed(before, after)
        assert (x1, y1) >= (20, 30)
        assert 40 <= x2 - x1 <= 60
        assert 25 <= y2 - y1 <= 40
        inside = np.s_[34:66, 24:76]
        detail = [cv2.Laplacian(i[inside], cv2.CV_64F).var() for i in (before, after)]
        assert detail[1] < 0.5 * detail[0] or effect == "pixelate"


def test_a_region_moves_and_ends_as_told(textured, file_clip):
    options = {"w": "20", "h": "20", "x": "0:10 0.16:60", "y": "40", "to": "0.3"}
    options |= {"effect": "gaussian", "strength": "8"}
    edited = file_clip(textured, edits=(Edit("region", tuple(options.items())),))
    boxes = [
        changed(b, a) for b, a in zip(pictures(file_clip(textured)), pictures(edited), strict=True)
    ]
    assert all(10 <= b[0] < 16 for b in boxes[:4])
    assert all(60 <= b[0] < 66 for b in boxes[4:7])
    assert boxes[8] is None


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_ffmpeg_program_draws_the_same_region(textured, file_clip, effect):
    options = dict(region_options((20, 30, 80, 70), effect, 8)) | {"from": "0.1", "to": "9"}
    if effect == "fill":
        options["mask"] = mask_text(np.random.default_rng(0).random((40, 60)) < 0.2)
    edited = file_clip(textured, edits=(Edit("region", tuple(options.items())),))
    drawn = stream_region(ffmpeg.input(str(textured))["v:0"], options)
    done = drawn.output("pipe:", f="rawvideo", pix_fmt="yuv420p", v="error").compile(find_ffmpeg())
    done = subprocess.run(done, capture_output=True, check=True)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, 144 * 128)[:, : 96 * 128]
    theirs = frames.reshape(-1, 96, 128)
    ours = pictures(edited)
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        full_range = np.clip((one.astype(float) - 16) * 255 / 219, 0, 255)
        assert np.abs(full_range - other).mean() < 2


def test_a_piece_that_is_cut_off_later_shows_what_the_edited_clip_showed(textured, file_clip):
    options = {"w": "20", "h": "20", "x": "0:10 0.16:60", "y": "40", "from": "0.08", "to": "0.3"}
    options |= {"effect": "fill", "strength": "1"}
    edits = (Edit("region", tuple(options.items())), Edit("hue", (("b", "t"),)))
    whole = pictures(file_clip(textured, edits=edits))
    half = cut_edits(edits, 0.12)
    quarter = cut_edits(half, 0.08)
    for start_s, made in ((0.12, half), (0.2, quarter)):
        piece = pictures(file_clip(textured, start_s=start_s, end_s=0.4, edits=tuple(made)))
        assert len(piece) == round((0.4 - start_s) * 25)
        for one, other in zip(piece, whole[round(start_s * 25) :], strict=True):
            assert np.abs(one.astype(int) - other).max() <= 2


@pytest.mark.parametrize("moves", [2, 100, 101, 1000])
def test_a_region_may_move_often(textured, file_clip, moves):
    x = " ".join(f"{0.36 * i / moves:.6f}:{10 + 60 * (i == moves - 1)}" for i in range(moves))
    between = " ".join(f"{0.36 * i / moves:.6f}:{40 - 2 * (i % 2)}" for i in range(moves))
    options = {"w": "20", "h": "20", "x": x, "y": between, "effect": "gaussian", "strength": "8"}
    edit = Edit("region", tuple(options.items()))
    first, *_, last = (
        changed(b, a)
        for b, a in zip(
            pictures(file_clip(textured)), pictures(file_clip(textured, edits=(edit,))), strict=True
        )
    )
    assert 10 <= first[0] < 16
    assert 70 <= last[0] < 76
    drawn = stream_region(ffmpeg.input(str(textured))["v:0"], options)
    command = drawn.output("pipe:", f="rawvideo", v="error").compile(find_ffmpeg())
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_picture_is_edited_alike_whatever_came_before_it(effect):
    """Sampled pictures come in any order; a mask is drawn once, on the first of them."""
    options = dict(region_options((20, 30, 80, 70), effect, 8))
    if effect == "fill":
        options["mask"] = mask_text(np.random.default_rng(0).random((40, 60)) < 0.2)
    images = [texture(seed) for seed in range(4)]

    def edited(order):
        edits = PictureEdits([Edit("region", tuple(options.items()))], None, "test")
        frames = {i: av.VideoFrame.from_ndarray(images[i], "bgr24") for i in order}
        done = {i: edits.apply(frame, i * 1_000_000) for i, frame in frames.items()}
        return [done[i].to_ndarray() for i in range(4)]

    for one, other in zip(edited([0, 1, 2, 3]), edited([2, 0, 3, 1]), strict=True):
        assert np.array_equal(one, other)


def test_edits_without_times_are_the_same_for_every_piece():
    edits = [Edit("region", region_options((0, 0, 10, 10), "fill", 1)), Edit("hflip")]
    assert cut_edits(edits, 3.0) == edits
    assert cut_edits([Edit("fade", (("st", "1"),))], 0.0) == [Edit("fade", (("st", "1"),))]


def test_mosaics_are_given_for_all_clips_and_for_each(op, clip):
    operator = op(MOSAIC, roi_strings=["0.25,0,0.5,0.5"], roi_key="faces")
    own = clip(extra=json.dumps({"faces": "[0.5,0.5,1,1]"}))
    result = operator.measure(own)
    boxes = [tuple(int(dict(e.arguments)[k]) for k in "xywh") for e in result.edits]
    assert boxes == [(16, 0, 16, 24), (32, 24, 32, 24)]
    assert (result.width, result.height) == (64, 48)
    listed = op(MOSAIC, roi_type="pixel", roi_key="boxes")
    from_column = listed.measure(clip(columns={"boxes": [[3, 3, 9, 9], [60, 40, 99, 99]]}))
    boxes = [tuple(int(dict(e.arguments)[k]) for k in "xywh") for e in from_column.edits]
    assert boxes == [(2, 2, 8, 8), (60, 40, 4, 8)]
    assert listed.measure(clip()).edits == ()
    outside = listed.measure(clip(columns={"boxes": [100, 100, 120, 120]}))
    assert outside.edits == ()


@pytest.mark.parametrize("name", [MOSAIC, WATERMARK])
def test_a_clips_own_regions_belong_to_what_is_measured(op, name):
    assert op(name).reads == ()
    assert op(name, roi_key="logo").reads == ("extra",)
    assert op(name, roi_key="video_watermark_boxes").reads == ("video_watermark_boxes",)


def test_an_unreadable_region_of_a_clip_is_that_clips_error(op, clip):
    with pytest.raises(ValueError, match="expected a ratio box"):
        op(MOSAIC, roi_key="faces").measure(clip(columns={"faces": "left half"}))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"roi_strings": ["0,0,1"]}, "ratio box"),
        ({"roi_strings": ["0.5,0,0.1,1"]}, "x1 < x2"),
        ({"roi_strings": ["0.5,0,10,10"], "roi_type": "pixel"}, "pixel box"),
        ({"blur_type": "erase"}, "blur_type"),
        ({"radius": 0}, "radius"),
    ],
)
def test_regions_that_are_none_are_refused_at_load(op, parameters, message):
    with pytest.raises(RecipeError, match=message):
        op(MOSAIC, **parameters)


@pytest.mark.parametrize(
    ("mask", "message"),
    [("", "cannot be read"), ("2:zz", "cannot be read"), ("2:00", "does not fit")],
)
def test_a_mask_that_is_none_is_one_clear_error(mask, message):
    options = dict(region_options((0, 0, 40, 20), "fill", 2)) | {"mask": mask}
    with pytest.raises(ValueError, match=message):
        branch(options)


@pytest.mark.parametrize("size", [(20, 40), (75, 101), (720, 1280)])
def test_a_mask_is_filled_cell_by_cell_and_stays_small(size):
    filled = np.random.default_rng(1).random(size) < 0.1
    text = mask_text(filled)
    cell, rows = int(text.split(":")[0]), text.split(":")[1].split(",")
    assert len(text) < 5000
    for row, digits in enumerate(rows):
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))
        stripe = filled[row * cell : (row + 1) * cell]
        for column in range(-(-size[1] // cell)):
            assert bits[column] == stripe[:, column * cell : (column + 1) * cell].any()


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((75, 101), {"codec": "ffv1"}),
        ((58, 41), {"codec": "ffv1", "pixel_format": "bgr0"}),
        ((96, 128), {"pixel_format": "yuv420p10le"}),
        ((96, 128), {"pixel_format": "yuv444p"}),
    ],
)
@pytest.mark.parametrize("effect", [*EFFECTS, "mask"])
def test_regions_work_on_odd_sizes_and_other_formats(
    op, tmp_path, write_video, file_clip, size, options, effect
):
    path = write_video(tmp_path / "odd.mkv", [texture(0, *size)] * 3, **options)
    plain = file_clip(path)
    box = pixel_box((0.5, 0.5, 1, 1), "ratio", plain.width, plain.height)
    region = dict(region_options(box, "fill" if effect == "mask" else effect, 6))
    if effect == "mask":
        dots = np.arange(box[2] - box[0]) % 8 < 4
        region["mask"] = mask_text(np.stack([dots] * (box[3] - box[1])))
    edited = file_clip(path, edits=(Edit("region", tuple(region.items())),))
    for before, after in zip(pictures(plain), pictures(edited), strict=True):
        assert after.shape == before.shape
        x1, y1, x2, y2 = changed(before, after)
        assert x1 >= box[0] - 1
        assert y1 >= box[1] - 1
        slack = 9 if effect in {"fill", "mask"} else 4  # near its outline a filling changes little
        assert x2 >= plain.width - slack
        assert y2 >= plain.height - slack


def test_a_rendered_clip_shows_what_was_decoded(textured, file_clip, tmp_path):
    options = {"w": "40", "h": "30", "x": "0:10 0.16:60", "y": "40", "to": "0.3"}
    options |= {"effect": "pixelate", "strength": "8"}
    edits = (Edit("region", tuple(options.items())), Edit("hflip"))
    for part in (
        {"edits": edits},
        {"edits": tuple(cut_edits(edits, 0.12)), "start_s": 0.12, "end_s": 0.4},
    ):
        clip = file_clip(textured, media_id="sha256:0", **part)
        made = render(clip, tmp_path, Access((str(textured.parent),)), Rendering(crf=5))
        rendered = pictures(file_clip(Path(made.uri)))
        decoded = pictures(clip)
        assert len(rendered) == len(decoded)
        for one, other in zip(rendered, decoded, strict=True):
            assert np.abs(one.astype(int) - other).mean() < 2
