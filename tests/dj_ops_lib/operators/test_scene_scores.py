"""Scores of scene changes, frame by frame, beside PySceneDetect's own of the same file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import scenedetect

from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode

SCENE = "video_split_by_scene_mapper"
THRESHOLD = 14.0


@pytest.fixture(scope="module")
def film(tmp_path_factory, write_video) -> Path:
    """Shots of fine texture, whose changes score otherwise when pixels are averaged."""
    rng = np.random.default_rng(5)
    images = []
    for _ in range(6):
        fine = cv2.GaussianBlur(rng.normal(0, 1, (270, 480, 1)), (0, 0), 0.9)[..., None]
        images += [np.clip(128 + 40 * fine / fine.std(), 0, 255).repeat(3, 2).astype(np.uint8)] * 20
    return write_video(tmp_path_factory.mktemp("scores") / "film.mp4", images)


def library(film: Path) -> tuple[list[int], np.ndarray]:
    """Cuts, and the score of each frame after the first, as the library itself finds them."""
    video = scenedetect.open_video(str(film))
    statistics = scenedetect.StatsManager()
    manager = scenedetect.SceneManager(statistics)
    manager.add_detector(scenedetect.ContentDetector(threshold=THRESHOLD))
    frames = manager.detect_scenes(video)
    scores = [statistics.get_metrics(i, ["content_val"])[0] for i in range(1, frames)]
    return [scene[0].frame_num for scene in manager.get_scene_list()][1:], np.array(scores)


def ours(op, clip, film: Path, *, library_scaling: bool) -> tuple[list[int], np.ndarray]:
    operator = op(SCENE, threshold=THRESHOLD, library_scaling=library_scaling)
    observer = operator.observe(clip)
    detector, scores = observer._detectors[0], []
    process = detector.process_frame

    def spy(timecode, image):
        found = process(timecode, image)
        scores.append(detector._frame_score)
        return found

    detector.process_frame = spy
    decode(clip, [(operator.needs(), observer)], Access((str(film.parent),)))
    return [round(s.start_s * 25) for s in observer.result()[1:]], np.array(scores[1:])


def test_scores_are_the_librarys_where_its_scaling_is_asked_for(op, film, file_clip):
    cuts, scores = library(film)
    our_cuts, our_scores = ours(op, file_clip(film), film, library_scaling=True)
    assert our_cuts == cuts == [20, 40, 60, 80, 100]
    assert our_scores == pytest.approx(scores, abs=0.1)


def test_averaged_pixels_score_less_at_fine_detail(op, film, file_clip):
    _, scores = library(film)
    cuts, averaged = ours(op, file_clip(film), film, library_scaling=False)
    at_cuts = slice(19, None, 20)
    assert (averaged[at_cuts] < scores[at_cuts] - 1).all()
    assert len(cuts) < 5
