"""Operators on real bytes: files of known content, odd files, and FFmpeg's own filters."""

import hashlib
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from dj_ops_lib.clip import Clip, Span
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.operator import Annotator, Filter, Splitter
from dj_ops_lib.registry import operator_class, operator_names

RED, GREEN, BLUE = (20, 20, 220), (30, 200, 30), (220, 60, 20)


def shot(color, frames, seed=0, width=128, height=96):
    """A square moves over a textured, coloured background."""
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    ground = cv2.GaussianBlur(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8), (0, 0), 2)
    for i in range(frames):
        image = ground.copy()
        x = 2 * i % (width - 24)
        image[30:54, x : x + 24] = 255 - np.array(color, np.uint8)
        yield image


def shots(*colors_and_frames, **size):
    for seed, (color, frames) in enumerate(colors_and_frames):
        yield from shot(color, frames, seed, **size)


def ffmpeg_log(path: Path, video_filter: str) -> str:
    command = [find_ffmpeg(), "-hide_banner", "-nostats", "-threads", "1", "-i", str(path)]
    command += ["-vf", video_filter, "-an", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.fixture(scope="session")
def three_shots(tmp_path_factory, write_video):
    """Cuts at frames 40 and 90 of 130, key frames elsewhere."""
    path = tmp_path_factory.mktemp("videos") / "three_shots.mp4"
    return write_video(path, shots((RED, 40), (GREEN, 50), (BLUE, 40)), gop=12)


def test_scene_cuts_are_exact_to_the_frame(op, three_shots, file_clip, watch):
    spans = watch(op("video_split_by_scene_mapper"), file_clip(three_shots))
    assert spans == [Span(0.0, 1.6), Span(1.6, 3.6), Span(3.6, 5.2)]


@pytest.mark.parametrize("detector", ["ContentDetector", "AdaptiveDetector"])
def test_scene_cuts_are_those_of_the_librarys_own_reader(
    op, three_shots, file_clip, watch, detector
):
    import scenedetect

    theirs = scenedetect.detect(str(three_shots), getattr(scenedetect, detector)())
    ours = watch(op("video_split_by_scene_mapper", detector=detector), file_clip(three_shots))
    assert [round(s.start_s * 25) for s in ours] == [s.frame_num for s, _ in theirs]


def test_a_clip_in_the_middle_of_a_file_is_cut_in_the_files_time(op, three_shots, file_clip, watch):
    part = file_clip(three_shots, start_s=1.0, end_s=5.0)
    spans = watch(op("video_split_by_scene_mapper"), part)
    assert spans == [Span(1.0, 1.6), Span(1.6, 3.6), Span(3.6, 5.0)]


def test_a_variable_frame_rate_is_cut_at_the_right_frame(
    op, tmp_path, write_video, file_clip, watch
):
    times = [0.04 * i for i in range(40)] + [1.6 + 0.1 * i for i in range(40)]
    images = shots((RED, 40), (GREEN, 40))
    path = write_video(tmp_path / "vfr.mp4", images, times_s=times)
    spans = watch(op("video_split_by_scene_mapper"), file_clip(path))
    assert [s.start_s for s in spans] == [0.0, pytest.approx(1.6, abs=1e-3)]


def test_key_frames_are_where_the_encoder_put_them(op, three_shots, file_clip, watch):
    spans = watch(op("video_split_by_key_frame_mapper"), file_clip(three_shots))
    starts = [round(s.start_s * 25) for s in spans]
    assert starts == list(range(0, 130, 12))
    assert spans[-1].end_s == pytest.approx(5.2)
    part = file_clip(three_shots, start_s=0.6, end_s=1.2)
    inside = watch(op("video_split_by_key_frame_mapper"), part)
    assert inside == [Span(0.6, 0.96), Span(0.96, 1.2)]


def test_a_clip_without_key_frames_is_one_piece(op, three_shots, file_clip, watch):
    part = file_clip(three_shots, start_s=0.52, end_s=0.92)
    assert watch(op("video_split_by_key_frame_mapper"), part) == [Span(0.52, 0.92)]


def test_the_packet_hash_does_not_see_the_container(op, three_shots, tmp_path, file_clip, watch):
    other = tmp_path / "copy.mkv"
    copy = [find_ffmpeg(), "-v", "error", "-i", str(three_shots), "-c", "copy"]
    copy += ["-metadata", "title=other", "-bsf:v", "null", str(other)]
    subprocess.run(copy, check=True)
    operator = op("video_deduplicator")
    hashes = {watch(operator, file_clip(p))["video_hash"] for p in (three_shots, other)}
    assert len(hashes) == 1
    parts = [(0.0, 1.0), (1.0, 2.0), (0.2, 0.4), (0.28, 0.44)]
    clips = [file_clip(three_shots, start_s=a, end_s=b) for a, b in parts]
    assert len({watch(operator, c)["video_hash"] for c in clips} - hashes) == len(parts)


def test_the_packet_hash_is_that_of_ffmpegs_stream_copy(op, three_shots, file_clip, watch):
    copy = [find_ffmpeg(), "-v", "error", "-i", str(three_shots), "-map", "0:v", "-c", "copy"]
    done = subprocess.run([*copy, "-f", "data", "-"], capture_output=True, check=True)
    expected = hashlib.md5(done.stdout).hexdigest()
    assert watch(op("video_deduplicator"), file_clip(three_shots))["video_hash"] == expected


def test_motion_of_a_real_file_is_the_squares(op, tmp_path, write_video, file_clip, watch):
    wide = np.random.default_rng(0).integers(0, 256, (96, 400)).astype(np.uint8)
    wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    images = [cv2.merge([wide[:, i : i + 128]] * 3) for i in range(50)]
    path = write_video(tmp_path / "pan.mp4", images)
    every = op("video_motion_score_filter", sampling_fps=25)
    assert watch(every, file_clip(path))["video_motion_score"] == pytest.approx(1, rel=0.1)
    sized = op("video_motion_score_filter", sampling_fps=25, size=48)
    assert watch(sized, file_clip(path))["video_motion_score"] == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize(("speed", "sampling"), [(1, 25), (3, 25), (3, 5)])
def test_the_codecs_motion_vectors_tell_the_speed(
    op, tmp_path, write_video, file_clip, watch, speed, sampling
):
    wide = np.random.default_rng(0).integers(0, 256, (96, 400)).astype(np.uint8)
    wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    images = [cv2.merge([wide[:, speed * i : speed * i + 128]] * 3) for i in range(50)]
    path = write_video(tmp_path / "pan.mp4", images, preset="veryfast")
    codec = op("video_motion_score_filter", method="motion_vectors", sampling_fps=sampling)
    step = 25 / sampling
    score = watch(codec, file_clip(path))["video_motion_score"]
    assert score == pytest.approx(speed * step, rel=0.2)
    part = watch(codec, file_clip(path, start_s=0.6, end_s=1.6))["video_motion_score"]
    assert part == pytest.approx(speed * step, rel=0.2)
    half = op("video_motion_score_filter", method="motion_vectors", sampling_fps=sampling, size=48)
    assert watch(half, file_clip(path))["video_motion_score"] == pytest.approx(score / 2, rel=1e-6)


def test_a_codec_without_prediction_has_no_motion_vectors(op, odd_files, file_clip, watch):
    codec = op("video_motion_score_filter", method="motion_vectors")
    assert watch(codec, file_clip(odd_files["odd_size"]))["video_motion_score"] == -1


@pytest.mark.parametrize(("noise", "seconds"), [(0.001, 1), (0.001, 2), (0.002, 1)])
def test_a_still_texture_is_frozen_as_long_as_freezedetect_says(
    op, tmp_path, file_clip, watch, noise, seconds
):
    """Key frames renew it by more than the noise, and begin a new run."""
    noisy = np.random.default_rng(1).normal(0, 1, (144, 256, 3))
    image = np.clip(128 + 120 * cv2.GaussianBlur(noisy, (0, 0), 1), 16, 235).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "still.png"), image)
    path = tmp_path / "still.mp4"
    command = [find_ffmpeg(), "-v", "error", "-loop", "1", "-i", str(tmp_path / "still.png")]
    command += ["-t", "6", "-r", "25", "-c:v", "libx264", "-crf", "28", "-g", "12"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True)
    log = ffmpeg_log(path, f"freezedetect=n={noise}:d={seconds}")
    starts = [float(t) for t in re.findall(r"freeze_start: ([\d.]+)", log)]
    ends = [float(t) for t in re.findall(r"freeze_end: ([\d.]+)", log)]
    ends += [6.0] * (len(starts) - len(ends))
    frozen = sum(ends) - sum(starts)
    own = op("video_black_freeze_filter", freeze_noise=noise, freeze_duration=seconds)
    assert watch(own, file_clip(path))["video_freeze_ratio"] * 6 == pytest.approx(frozen, abs=0.01)
    assert 2 < frozen < 5.9


def test_black_and_frozen_shares_agree_with_ffmpegs_filters(
    op, tmp_path, write_video, file_clip, watch
):
    black = [np.zeros((96, 128, 3), np.uint8)] * 30
    images = [*shot(RED, 40), *black, *shot(GREEN, 40, 1), *[next(shot(BLUE, 1))] * 60]
    path = write_video(tmp_path / "faults.mp4", images)
    log = ffmpeg_log(path, "blackdetect=d=0.1,freezedetect=d=1")
    seconds_black = sum(float(t) for t in re.findall(r"black_duration:([\d.]+)", log))
    starts = [float(t) for t in re.findall(r"freeze_start: ([\d.]+)", log)]
    lengths = [float(t) for t in re.findall(r"freeze_duration: ([\d.]+)", log)]
    seconds_frozen = sum(lengths) + (170 / 25 - starts[-1] if len(starts) > len(lengths) else 0)
    columns = watch(op("video_black_freeze_filter"), file_clip(path))
    assert columns["video_black_ratio"] * 170 / 25 == pytest.approx(seconds_black, abs=0.05)
    # FFmpeg counts a still from when its encoder has settled.
    assert columns["video_freeze_ratio"] * 170 / 25 == pytest.approx(seconds_frozen, abs=0.2)
    assert columns["video_freeze_ratio"] == pytest.approx(90 / 170, abs=0.03)
    assert columns["video_black_ratio"] == pytest.approx(30 / 170, abs=0.005)


def test_borders_agree_with_how_the_file_was_made(op, tmp_path, write_video, file_clip, watch):
    images = []
    for image in shot(GREEN, 30, width=160, height=90):
        framed = np.zeros((120, 160, 3), np.uint8)
        framed[15:105] = image
        images.append(framed)
    path = write_video(tmp_path / "letterbox.mp4", images)
    columns = watch(op("video_letterbox_filter"), file_clip(path))
    assert columns["video_crop_width"] == 160
    assert columns["video_crop_y"] == pytest.approx(15, abs=1)
    assert columns["video_crop_height"] == pytest.approx(90, abs=2)
    assert columns["video_border_ratio"] == pytest.approx(0.25, abs=0.02)


def test_bit_rate_and_loudness_of_a_file_with_sound(op, tmp_path, write_video, file_clip, watch):
    time_s = np.arange(4 * 48_000) / 48_000
    wave = 10 ** (-23 / 20) * np.sin(2 * np.pi * 997 * time_s)
    wave[2 * 48_000 :] = 0
    path = write_video(tmp_path / "tone.mp4", shot(RED, 100), sound=np.stack([wave, wave]))
    clip = file_clip(path)
    columns = watch(op("video_audio_filter"), clip)
    assert columns["video_has_audio"]
    assert columns["video_silence_ratio"] == pytest.approx(0.5, abs=0.03)
    assert columns["video_loudness"] == pytest.approx(-23, abs=0.6)
    copy = [find_ffmpeg(), "-v", "error", "-i", str(path), "-map", "0:v", "-c", "copy"]
    done = subprocess.run([*copy, "-f", "data", "-"], capture_output=True, check=True)
    bits = len(done.stdout) * 8
    rates = watch(op("video_bitrate_filter"), clip)
    assert rates["video_bitrate"] == pytest.approx(bits / 4, rel=1e-6)
    assert rates["video_bits_per_pixel"] == pytest.approx(bits / (128 * 96 * 100), rel=1e-6)


# --- every operator on every odd file -------------------------------------------------------


@pytest.fixture(scope="session")
def odd_files(tmp_path_factory, write_video):
    """Files that real sets hold, by what is odd about them."""
    folder = tmp_path_factory.mktemp("odd")
    made = {
        "plain": write_video(folder / "plain.mp4", shot(RED, 30)),
        "one_frame": write_video(folder / "one_frame.mp4", shot(RED, 1)),
        "two_frames": write_video(folder / "two_frames.mp4", shot(RED, 2)),
        "odd_size": write_video(
            folder / "odd_size.mkv", shot(RED, 12, width=101, height=75), codec="ffv1"
        ),
        "tiny": write_video(folder / "tiny.mkv", shot(RED, 12, width=40, height=58), codec="ffv1"),
        "ten_bit": write_video(folder / "ten_bit.mp4", shot(RED, 12), pixel_format="yuv420p10le"),
        "anamorphic": write_video(
            folder / "anamorphic.mp4", shot(RED, 12), sample_aspect_ratio=Fraction(4, 3)
        ),
        "variable_rate": write_video(
            folder / "vfr.mp4", shot(RED, 12), times_s=[i * i / 50 for i in range(12)]
        ),
        "black": write_video(folder / "black.mp4", [np.zeros((96, 128, 3), np.uint8)] * 12),
        "silent_track": write_video(
            folder / "silent.mp4", shot(RED, 30), sound=np.zeros((2, 57_600))
        ),
    }
    made["rotated"] = folder / "rotated.mp4"
    turn = [find_ffmpeg(), "-v", "error", "-i", str(made["plain"]), "-c", "copy"]
    turned = subprocess.run(
        [turn[0], "-v", "error", "-display_rotation", "90", *turn[3:], str(made["rotated"])],
        check=False,
    )
    if turned.returncode:  # before FFmpeg 6 the rotation is a metadata tag
        tag = ["-metadata:s:v:0", "rotate=90", "-y", str(made["rotated"])]
        subprocess.run([*turn, *tag], check=True)
    return made


ODD = [
    *("plain", "one_frame", "two_frames", "odd_size", "tiny", "ten_bit", "anamorphic"),
    *("variable_rate", "black", "silent_track", "rotated"),
]
NAMES = operator_names()


def check_result(operator, clip: Clip, result) -> None:
    """Exactly the declared columns, and values that Arrow takes for them."""
    import pyarrow as pa

    if isinstance(operator, Splitter):
        assert result[0].start_s >= clip.span.start_s
        assert result[-1].end_s <= clip.span.end_s + 1e-9
        assert all(s.start_s < s.end_s for s in result)
        return
    if isinstance(operator, Annotator):
        (result,) = operator.annotate([clip], [result])
    columns = getattr(result, "columns", result)
    assert set(columns) == {c.name for c in operator.columns}
    for column in operator.columns:
        pa.array([columns[column.name]], column.type)
    if isinstance(operator, Filter):
        assert all(v is None or v == v for v in columns.values())


@pytest.mark.parametrize("odd", ODD)
def test_every_operator_copes_with(odd, odd_files, file_clip, watch):
    clip = file_clip(odd_files[odd])
    for name in NAMES:
        operator = operator_class(name)()
        check_result(operator, clip, watch(operator, clip))


def test_every_operator_copes_with_a_clip_inside_a_file(three_shots, file_clip, watch):
    clip = file_clip(three_shots, start_s=1.2, end_s=2.4)
    for name in NAMES:
        operator = operator_class(name)()
        check_result(operator, clip, watch(operator, clip))


def test_rotation_and_pixel_aspect_are_seen_by_the_size_filters(op, odd_files, file_clip, kept):
    resolution, ratio = op("video_resolution_filter"), op("video_aspect_ratio_filter")
    rotated, wide = file_clip(odd_files["rotated"]), file_clip(odd_files["anamorphic"])
    assert resolution.measure(rotated) == {"video_width": 96, "video_height": 128}
    assert ratio.measure(wide)["video_aspect_ratios"] == pytest.approx(16 / 9, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_an_error_of_the_file_never_a_result(
    name, three_shots, tmp_path, file_clip, watch
):
    good = file_clip(three_shots)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(three_shots.read_bytes()[: three_shots.stat().st_size // 2])
    operator = operator_class(name)()
    clip = Clip(**{f: getattr(good, f) for f in Clip.__slots__} | {"video_uri": str(broken)})
    if type(operator.needs()).__name__ == "HeaderOnly":
        return
    with pytest.raises(MediaError):
        watch(operator, clip)


def test_operators_see_the_edited_picture(op, tmp_path, write_video, file_clip, watch):
    images = [np.roll(next(shot(GREEN, 1)), 2 * i, axis=1) for i in range(20)]
    plain = file_clip(write_video(tmp_path / "edited.mp4", images))
    half = op("video_resize_resolution_mapper", max_width=64).measure(plain)
    small = file_clip(
        tmp_path / "edited.mp4",
        edits=half.edits,
        width=half.width,
        height=half.height,
    )
    motion = op("video_motion_score_filter", sampling_fps=25, method="dis")
    scores = [watch(motion, c)["video_motion_score"] for c in (plain, small)]
    assert scores[1] == pytest.approx(scores[0] / 2, rel=0.3)
    assert op("video_resolution_filter").measure(small) == {"video_width": 64, "video_height": 48}
    padded = op("video_resize_aspect_ratio_mapper", min_ratio="2", mode="pad").measure(plain)
    wide = file_clip(
        tmp_path / "edited.mp4", edits=padded.edits, width=padded.width, height=padded.height
    )
    borders = watch(op("video_letterbox_filter"), wide)
    assert borders["video_crop_width"] == pytest.approx(128, abs=2)
    cropped = op("video_crop_border_mapper").measure(
        file_clip(tmp_path / "edited.mp4", edits=wide.edits, width=192, height=96, columns=borders)
    )
    assert (cropped.width, cropped.height) == (pytest.approx(128, abs=2), 96)
    crossed = file_clip(
        tmp_path / "edited.mp4", edits=(*wide.edits, *cropped.edits), width=cropped.width, height=96
    )
    assert watch(op("video_letterbox_filter"), crossed)["video_border_ratio"] < 0.03
