"""Watermarks: found in moving pictures, filled in the decoded pixels."""

import cv2
import numpy as np
import pytest
import skimage.data
from shown_pictures import pictures, texture
from skimage.metrics import peak_signal_noise_ratio

from dj_ops_lib.errors import RecipeError

WATERMARK = "video_remove_watermark_mapper"


def marked(frames, box=(12, 10, 40, 22), moving=True):
    """Moving pictures with a static bright mark, and the pictures without it."""
    x1, y1, x2, y2 = box
    clean = [texture(i if moving else 0, sigma=6) for i in range(frames)]
    shown = [i.copy() for i in clean]
    for image in shown:
        image[y1:y2, x1:x2] = 250
    return shown, clean


@pytest.mark.parametrize("method", ["pixel_value", "pixel_diversity"])
@pytest.mark.parametrize("kind", ["ratio", "pixel"])
def test_the_mark_is_found_in_the_region(op, feed, clip, method, kind):
    region = {"ratio": "0,0,0.5,0.5", "pixel": "0,0,64,48"}[kind]
    operator = op(WATERMARK, roi_strings=[region], roi_type=kind, detection_method=method)
    shown, _ = marked(10)
    result = feed(operator, shown, clip(width=128, height=96))
    ((x1, y1, x2, y2),) = result.columns["video_watermark_boxes"]
    assert max(abs(x1 - 10), abs(y1 - 8), abs(x2 - 42), abs(y2 - 24)) <= 2
    assert [e.filter for e in result.edits] == ["region"]


@pytest.mark.parametrize("kind", ["ratio", "pixel"])
def test_a_clips_own_region_replaces_the_given_one(op, feed, clip, kind):
    own = {"ratio": "0,0,0.5,0.5", "pixel": "0,0,64,48"}[kind]
    elsewhere = {"ratio": "0.6,0.6,1,1", "pixel": "80,60,128,96"}[kind]
    operator = op(WATERMARK, roi_strings=[elsewhere], roi_type=kind, roi_key="mark")
    of_clip = clip(width=128, height=96, columns={"mark": [own]})
    boxes = feed(operator, marked(10)[0], of_clip).columns["video_watermark_boxes"]
    assert len(boxes) == 1
    assert boxes[0][0] < 42


def test_removing_the_mark_brings_the_picture_nearer_to_the_one_without(
    op, tmp_path, write_video, file_clip, watch
):
    shown, clean = marked(10, moving=True)
    path = write_video(tmp_path / "marked.mp4", shown, crf="5")
    clip = file_clip(path)
    result = watch(op(WATERMARK, roi_strings=["0,0,0.5,0.5"]), clip)
    assert (result.width, result.height) == (128, 96)
    after = pictures(file_clip(path, edits=result.edits))
    wanted = [cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in clean]
    mark = np.s_[10:22, 12:40]
    errors = [
        np.mean(
            [
                np.abs(i[mark].astype(int) - w[mark]).mean()
                for i, w in zip(seen, wanted, strict=True)
            ]
        )
        for seen in (pictures(clip), after)
    ]
    assert errors[1] < 0.25 * errors[0]


def test_without_frames_or_without_change_nothing_is_edited(op, feed, clip):
    assert feed(op(WATERMARK), [], clip()).edits == ()
    still = op(WATERMARK, detection_method="pixel_diversity", roi_strings=["0,0,1,1"])
    assert feed(still, [texture(0)] * 5, clip(width=128, height=96)).edits == ()


@pytest.mark.parametrize("method", ["pixel_diversity", "still_edges"])
def test_comparing_needs_two_frames(op, method):
    with pytest.raises(RecipeError, match="frame_num must be at least 2"):
        op(WATERMARK, detection_method=method, frame_num=1)


PHOTOGRAPHS = ["coffee", "chelsea", "astronaut", "gravel"]
LETTERS = np.s_[24:52, 20:190]
"""Where the letters of `lettered` are."""


def panned(name, frames=20):
    """A camera moves over one of scikit-image's photographs."""
    photograph = np.asarray(getattr(skimage.data, name)())
    if photograph.ndim == 2:
        photograph = np.stack([photograph] * 3, axis=2)
    large = cv2.resize(photograph[..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return [large[3 * i : 3 * i + 240, 6 * i : 6 * i + 320] for i in range(frames)]


def lettered(image, opacity=0.5):
    """A half-transparent white text on a picture, and its strokes."""
    letters = np.zeros(image.shape[:2], np.uint8)
    cv2.putText(letters, "SAMPLE TV", (20, 50), cv2.FONT_HERSHEY_DUPLEX, 1, 255, 2, cv2.LINE_AA)
    share = letters[..., None] / 255 * opacity
    return np.round(image * (1 - share) + 255 * share).astype(np.uint8), letters > 32


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_half_transparent_letters_are_found_in_moving_photographs(op, feed, clip, name):
    operator = op(WATERMARK, roi_strings=["0,0,0.7,0.35"], detection_method="still_edges")
    of_size = clip(width=320, height=240)
    images = panned(name)
    result = feed(operator, [lettered(i)[0] for i in images[::2]], of_size)
    strokes = lettered(images[0])[1]
    (edit,) = result.edits
    options = dict(edit.arguments)
    x, y = int(options["x"]), int(options["y"])
    found = np.zeros((240, 320), bool)
    cell, rows = options["mask"].split(":")
    cells = [np.unpackbits(np.frombuffer(bytes.fromhex(r), np.uint8)) for r in rows.split(",")]
    large = np.kron(np.array(cells), np.ones((int(cell), int(cell)), np.uint8))
    found[y : y + int(options["h"]), x : x + int(options["w"])] = large[
        : int(options["h"]), : int(options["w"])
    ]
    assert found[strokes].mean() > 0.95
    near = cv2.dilate(strokes.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert near[found].mean() > 0.95
    assert feed(operator, images[::2], of_size).edits == ()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_filling_letters_restores_most_of_a_photograph(
    op, tmp_path, write_video, file_clip, watch, name
):
    clean = panned(name)
    path = write_video(tmp_path / "tv.mp4", [lettered(i)[0] for i in clean], crf="5")
    operator = op(WATERMARK, roi_strings=["0,0,0.7,0.35"], detection_method="still_edges")
    edits = watch(operator, file_clip(path)).edits
    wanted = np.stack([cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) for i in clean])
    marked, filled = (
        peak_signal_noise_ratio(
            wanted[:, *LETTERS], np.stack(pictures(file_clip(path, edits=e)))[:, *LETTERS]
        )
        for e in ((), edits)
    )
    # Gravel has more detail than any filling can know.
    assert filled > marked + (2.5 if name == "gravel" else 6)


def test_where_nothing_moves_no_edge_is_the_watermarks(op, feed, clip):
    still = op(WATERMARK, detection_method="still_edges", roi_strings=["0,0,1,1"])
    marked_once = lettered(panned("coffee")[0])[0]
    assert feed(still, [marked_once] * 5, clip(width=320, height=240)).edits == ()
