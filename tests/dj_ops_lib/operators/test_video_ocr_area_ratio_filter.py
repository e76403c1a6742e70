"""Text of known boxes, found by the real detector, offline."""

import socket

import cv2
import numpy as np
import pytest

from dj_ops_lib.errors import MissingExtraError, RecipeError
from dj_ops_lib.operators.filters import video_ocr_area_ratio_filter as module

NAME = "video_ocr_area_ratio_filter"
FONT = cv2.FONT_HERSHEY_SIMPLEX


def lines(*texts, height=180, width=320):
    """A picture with lines of text, and the share of it that their boxes cover."""
    image = np.full((height, width, 3), 60, np.uint8)
    area = 0
    for i, text in enumerate(texts):
        (w, h), _ = cv2.getTextSize(text, FONT, 1, 2)
        cv2.putText(image, text, (20, 50 + 50 * i), FONT, 1, (255, 255, 255), 2)
        area += w * h
    return image, area / (height * width)


@pytest.mark.parametrize("scale", [0.5, 1, 4])
def test_text_is_found_in_small_and_large_frames(op, feed, scale):
    image, share = lines("HELLO WORLD", "SECOND LINE")
    size = (round(320 * scale), round(180 * scale))
    shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    asked = op(NAME).needs().size.resolve(*size)
    looked_at = cv2.resize(shown, asked, interpolation=cv2.INTER_AREA)
    ratio = feed(op(NAME), [looked_at])["video_ocr_area_ratio"]
    assert share * 0.8 <= ratio <= share * 1.9


@pytest.mark.parametrize("texts", [("HELLO WORLD",), ("HELLO WORLD", "SECOND LINE")])
def test_the_ratio_is_that_of_the_boxes(op, feed, texts):
    image, share = lines(*texts)
    ratio = feed(op(NAME), [image])["video_ocr_area_ratio"]
    assert share * 0.8 <= ratio <= share * 1.9  # the detector's boxes have a margin


def test_the_ratio_is_the_mean_over_frames(op, feed):
    with_text, without = lines("HELLO WORLD")[0], lines()[0]
    once = feed(op(NAME), [with_text])["video_ocr_area_ratio"]
    mean = feed(op(NAME), [with_text, without])["video_ocr_area_ratio"]
    assert mean == pytest.approx(once / 2)


def test_a_picture_without_text_has_none(op, feed, kept):
    columns = feed(op(NAME), [lines()[0]])
    assert columns == {"video_ocr_area_ratio": 0.0}
    assert kept(op(NAME, max_area_ratio=0.0), columns) == [True]
    assert kept(op(NAME, min_area_ratio=0.0, min_closed_interval=False), columns) == [False]


class Overlapping:
    boxes = np.array([[[0, 0], [40, 0], [40, 20], [0, 20]]] * 3, np.float32)

    def __call__(self, image, **_):
        return self


def test_overlapping_boxes_count_once(op, clip, monkeypatch, feed):
    monkeypatch.setattr(module, "text_detector", Overlapping)
    image = np.zeros((80, 80, 3), np.uint8)
    assert feed(op(NAME), [image])["video_ocr_area_ratio"] == pytest.approx(1 / 8, abs=0.005)


def test_a_box_higher_than_a_line_is_no_text(op, monkeypatch, feed):
    monkeypatch.setattr(module, "text_detector", Overlapping)
    image = np.zeros((40, 80, 3), np.uint8)  # the boxes have half the picture's height
    assert feed(op(NAME), [image])["video_ocr_area_ratio"] == 0


def test_the_model_is_loaded_without_the_network(op, feed, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    module.text_detector.cache_clear()
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert feed(op(NAME), [lines("OFFLINE")[0]])["video_ocr_area_ratio"] > 0


def test_a_missing_package_is_one_error_that_names_the_extra(op, clip, monkeypatch):
    module.text_detector.cache_clear()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"dj-sora\[ocr\]"):
        op(NAME).observe(clip())


def test_languages_are_accepted_and_change_no_measurement(op):
    spoken = [op(NAME), op(NAME, languages_to_detect="en"), op(NAME, languages_to_detect=["fr"])]
    assert len({o.fingerprint() for o in spoken}) == 1
    assert "rapidocr" in op(NAME).model_revision


def test_no_frame_has_no_ratio(op, feed, clip):
    assert feed(op(NAME), [], clip()) == {"video_ocr_area_ratio": None}


@pytest.mark.parametrize(("parameter", "value"), [("frame_sample_num", 0), ("languages", ["en"])])
def test_wrong_parameters_are_refused(op, parameter, value):
    with pytest.raises(RecipeError, match=parameter):
        op(NAME, **{parameter: value})
