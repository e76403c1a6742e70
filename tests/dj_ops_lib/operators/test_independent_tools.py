"""What the filters measure, against what FFmpeg's filters and scikit-image say of the same file.

The ffmpeg program is another build than the libraries that decode for the operators.
"""

import re
import subprocess
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.color
import skimage.data
import skimage.filters
import skimage.measure
import skimage.registration

from dj_ops_lib.media.ffmpeg import find_ffmpeg, run_ffmpeg

RATE = 48_000
PHOTOGRAPHS = ["coffee", "chelsea", "astronaut", "rocket"]


def photograph(name, width=320, height=180):
    """A part of one of scikit-image's photographs, scaled to a size; BGR."""
    image = np.asarray(getattr(skimage.data, name)())[..., ::-1]
    high = image.shape[1] * height // width
    top = max(0, (image.shape[0] - high) // 2)
    return cv2.resize(image[top : top + high], (width, height), interpolation=cv2.INTER_AREA)


def log_of(path: Path, *arguments: str, part: tuple[str, ...] = ()) -> str:
    """What ffmpeg says while it decodes a file, or a part of it, through filters."""
    command = [find_ffmpeg(), "-hide_banner", "-nostats", "-threads", "1", *part, "-i", str(path)]
    command += [*arguments, "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def numbers(pattern: str, log: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, log)]


# --- picture --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "borders", [(0, 0, 0, 0), (20, 20, 0, 0), (0, 0, 32, 32), (16, 24, 40, 8)], ids=str
)
@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_borders_agree_with_cropdetect(op, tmp_path, write_video, file_clip, watch, borders, name):
    top, bottom, left, right = borders
    images = []
    for i in range(12):
        image = np.zeros((180, 320, 3), np.uint8)
        inner = np.roll(photograph(name), 3 * i, axis=1)
        image[top : 180 - bottom, left : 320 - right] = inner[
            top : 180 - bottom, left : 320 - right
        ]
        images.append(image)
    path = write_video(tmp_path / "framed.mp4", images)
    log = log_of(path, "-vf", "cropdetect=round=2:reset=0:skip=0")
    width, height, x, y = map(int, re.findall(r"crop=(\d+):(\d+):(\d+):(\d+)", log)[-1])
    columns = watch(op("video_letterbox_filter"), file_clip(path))
    ours = [columns[f"video_crop_{k}"] for k in ("x", "y", "width", "height")]
    assert ours == [pytest.approx(edge, abs=2) for edge in (x, y, width, height)]
    assert columns["video_border_ratio"] == pytest.approx(1 - width * height / 57_600, abs=0.02)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("light", [0.2, 1.0, 3.0])
def test_brightness_agrees_with_signalstats(
    op, tmp_path, write_video, file_clip, watch, name, light
):
    image = np.clip(photograph(name) * light, 0, 255).astype(np.uint8)
    path = write_video(tmp_path / "lit.mp4", [np.roll(image, 4 * i, axis=1) for i in range(8)])
    log = log_of(path, "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG")
    (luma,) = {round(np.mean(numbers(r"YAVG=([\d.]+)", log)), 6)}
    columns = watch(op("video_exposure_filter"), file_clip(path))
    # Limited range: 16 is black, 235 white.
    assert columns["video_brightness"] == pytest.approx((luma - 16) / 219, abs=0.01)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_exposure_agrees_with_scikit_image(op, feed, name):
    image = photograph(name)
    luma = skimage.color.rgb2yuv(image[..., ::-1])[..., 0]
    columns = feed(op("video_exposure_filter"), [image] * 3)
    assert columns["video_brightness"] == pytest.approx(luma.mean(), abs=0.002)
    assert columns["video_contrast"] == pytest.approx(luma.std(), abs=0.002)
    assert columns["video_dark_ratio"] == pytest.approx((luma * 255 < 16).mean(), abs=0.02)
    assert columns["video_bright_ratio"] == pytest.approx((luma * 255 > 239).mean(), abs=0.02)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_sharpness_agrees_with_scikit_image(op, feed, name):
    image = photograph(name)
    luma = np.round(skimage.color.rgb2yuv(image[..., ::-1])[..., 0] * 255)
    expected = skimage.filters.laplace(luma, ksize=3).var()
    score = feed(op("video_sharpness_filter"), [image])["video_sharpness"]
    assert score == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_sharpness_orders_blurs_as_scikit_images_blur_effect_does(op, feed, name):
    image = photograph(name)
    blurred = [image] + [
        np.round(skimage.filters.gaussian(image, s, channel_axis=2, preserve_range=True))
        for s in (0.7, 1.5, 3, 6)
    ]
    ours = [feed(op("video_sharpness_filter"), [i])["video_sharpness"] for i in blurred]
    theirs = [skimage.measure.blur_effect(i, channel_axis=2) for i in blurred]
    assert list(np.argsort(ours)) == list(np.argsort(theirs)[::-1])


def test_scene_cuts_agree_with_scdet(op, tmp_path, write_video, file_clip, watch):
    lengths = [30, 25, 40, 20]
    images = [
        np.roll(photograph(name), 2 * i, axis=1)
        for name, length in zip(PHOTOGRAPHS, lengths, strict=True)
        for i in range(length)
    ]
    path = write_video(tmp_path / "slides.mp4", images)
    theirs = numbers(r"lavfi\.scd\.time: ?([\d.]+)", log_of(path, "-vf", "scdet=threshold=10"))
    assert theirs == [1.2, 2.2, 3.8]
    for detector in ("ContentDetector", "AdaptiveDetector", "histogram"):
        spans = watch(op("video_split_by_scene_mapper", detector=detector), file_clip(path))
        assert [s.start_s for s in spans[1:]] == pytest.approx(theirs)


def test_text_covers_a_page_and_not_a_photograph(op, feed):
    page = cv2.cvtColor(skimage.data.page(), cv2.COLOR_GRAY2BGR)
    ratios = [
        feed(op("video_ocr_area_ratio_filter"), [image])["video_ocr_area_ratio"]
        for image in (page, photograph("coffee"), photograph("chelsea"))
    ]
    # Ten lines of print, 20 of 191 pixels high with their gaps, of 300 of 384 wide.
    assert 0.25 < ratios[0] < 0.9
    assert ratios[1:] == [0, 0]


@pytest.mark.parametrize("shift", [(0, 2), (1, 3), (-3, 1)])
@pytest.mark.parametrize("method", ["farneback", "dis"])
def test_motion_is_what_phase_correlation_finds(op, feed, shift, method):
    gravel = skimage.data.gravel()
    grays = [gravel[20 + y : 220 + y, 40 + x : 360 + x] for y, x in ((0, 0), shift)]
    images = [cv2.merge([gray] * 3) for gray in grays]
    moved, _, _ = skimage.registration.phase_cross_correlation(*grays)
    assert tuple(moved) == shift
    score = feed(op("video_motion_score_filter", method=method), images)["video_motion_score"]
    assert score == pytest.approx(np.hypot(*moved), rel=0.15)


# --- header ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["24", "30000/1001", "50", "vfr"])
def test_rate_duration_and_size_are_those_that_ffmpeg_prints(op, tmp_path, file_clip, watch, rate):
    path = tmp_path / "header.mp4"
    select = ["-vf", "select='lt(n,20)+not(mod(n,4))'", "-fps_mode", "vfr"]
    shown = ["-r", rate] if rate != "vfr" else select
    run_ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=50:duration=3"),
        *("-c:v", "libx264", "-preset", "ultrafast", *shown, str(path)),
    )
    log = log_of(path)
    hours, minutes, seconds = re.findall(r"Duration: (\d+):(\d+):([\d.]+)", log)[0]
    printed = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    clip = file_clip(path)
    (fps,) = numbers(r"Stream #0:0.*?([\d.]+) fps", log.split("Output #0")[0])
    assert op("video_fps_filter").measure(clip)["video_fps"] == pytest.approx(fps, abs=0.01)
    duration = op("video_duration_filter").measure(clip)["video_duration"]
    assert duration == pytest.approx(printed, abs=0.011)
    assert re.search(r"Stream #0:0.*? 160x96", log)
    assert op("video_resolution_filter").measure(clip) == {"video_width": 160, "video_height": 96}
    integrity = watch(op("video_integrity_filter"), clip)
    frames = int(
        re.findall(r"frame= *(\d+)", log_of(path, "-fps_mode", "passthrough", "-stats"))[-1]
    )
    assert integrity["video_decoded_frames"] == frames
    kilobits = numbers(r"Stream #0:0.*?(\d+) kb/s", log.split("Output #0")[0])[0]
    rates = watch(op("video_bitrate_filter"), clip)
    assert rates["video_bitrate"] / 1000 == pytest.approx(kilobits, abs=1.5)


# --- sound ----------------------------------------------------------------------------------


def tone(seconds, dbfs, channels=1):
    samples = np.sin(2 * np.pi * 997 * np.arange(round(seconds * RATE)) / RATE)
    return np.stack([10 ** (dbfs / 20) * samples] * channels)


def noise(seconds, level, channels=1):
    return level * np.random.default_rng(0).uniform(-1, 1, (channels, round(seconds * RATE)))


def bursts():
    """Like speech: syllables of noise of 0.2 s, words apart by 0.1 s, two long silences."""
    sound = noise(10, 0.2, 2)
    sound *= (np.arange(sound.shape[1]) / RATE % 0.3) < 0.2
    sound[:, 2 * RATE : 3 * RATE + RATE // 2] = 0
    sound[:, 8 * RATE :] = 0
    return sound


def surround():
    """Another level in each of six channels."""
    return np.concatenate([tone(6, dbfs) for dbfs in (-20, -26, -17, -10, -30, -23)])


def quiet_then_loud():
    return np.concatenate([noise(5, 0.003, 2), noise(5, 0.3, 2)], axis=1)


SOUNDS = {
    "tone": lambda: tone(6, -23, 2),
    "mono": lambda: tone(6, -18),
    "one side": lambda: np.concatenate([tone(6, -20), np.zeros((1, 6 * RATE))]),
    "noise": lambda: noise(6, 0.1, 2),
    "bursts": bursts,
    "quiet then loud": quiet_then_loud,
    "5.1": surround,
    "silence": lambda: np.zeros((2, 4 * RATE)),
}


@pytest.fixture(scope="module")
def sounding(tmp_path_factory, write_video):
    """Files with a picture and lossless sound, by the sound."""
    folder = tmp_path_factory.mktemp("sounds")
    made = {}
    for name, make in SOUNDS.items():
        samples = make()
        seconds = samples.shape[1] // RATE
        picture = write_video(folder / "picture.mp4", [photograph("coffee")] * 5 * seconds, fps=5)
        with wave.open(str(folder / "sound.wav"), "wb") as file:
            file.setparams((samples.shape[0], 2, RATE, 0, "NONE", ""))
            file.writeframes(np.round(samples.T * 32767).astype("<i2").tobytes())
        made[name] = folder / f"{name}.mkv"
        both = ("-i", str(picture), "-i", str(folder / "sound.wav"))
        run_ffmpeg(*both, "-c:v", "copy", "-c:a", "flac", str(made[name]))
    return made


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_agrees_with_ebur128(op, sounding, file_clip, watch, name):
    log = log_of(sounding[name], "-vn", "-af", "ebur128=framelog=verbose")
    (loudness,) = numbers(r"I: +(-?[\d.]+) LUFS", log.split("Summary:")[-1])
    columns = watch(op("video_audio_filter"), file_clip(sounding[name]))
    assert columns["video_loudness"] == pytest.approx(loudness, abs=0.11)


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize(("level", "shortest"), [(-60, 0.5), (-45, 0.05)])
def test_silence_agrees_with_silencedetect(op, sounding, file_clip, watch, name, level, shortest):
    log = log_of(sounding[name], "-vn", "-af", f"silencedetect=noise={level}dB:duration={shortest}")
    starts = numbers(r"silence_start: (-?[\d.]+)", log)
    lengths = numbers(r"silence_duration: ([\d.]+)", log)
    whole = SOUNDS[name]().shape[1] / RATE
    silent = sum(lengths) + (whole - starts[-1] if len(starts) > len(lengths) else 0)
    operator = op("video_audio_filter", silence_level=level, silence_duration=shortest)
    columns = watch(operator, file_clip(sounding[name]))
    assert columns["video_silence_ratio"] == pytest.approx(silent / whole, abs=0.005)


def test_the_silences_of_the_bursts_are_those_that_were_made(op, sounding, file_clip, watch):
    columns = watch(op("video_audio_filter"), file_clip(sounding["bursts"]))
    assert columns["video_silence_ratio"] == pytest.approx((1.5 + 2) / 10, abs=0.02)


@pytest.mark.parametrize("name", ["bursts", "quiet then loud", "5.1"])
def test_the_sound_of_a_clip_inside_a_file_is_that_of_its_part(
    op, sounding, file_clip, watch, name
):
    clip = file_clip(sounding[name], start_s=1.5, end_s=5.5)
    part = ("-ss", "1.5", "-t", "4")
    log = log_of(sounding[name], "-vn", "-af", "ebur128=framelog=verbose", part=part)
    (loudness,) = numbers(r"I: +(-?[\d.]+) LUFS", log.split("Summary:")[-1])
    columns = watch(op("video_audio_filter"), clip)
    assert columns["video_loudness"] == pytest.approx(loudness, abs=0.11)
    silences = log_of(sounding[name], "-vn", "-af", "silencedetect=noise=-60dB:d=0.5", part=part)
    silent = sum(numbers(r"silence_duration: ([\d.]+)", silences))
    assert columns["video_silence_ratio"] == pytest.approx(silent / 4, abs=0.01)


@pytest.mark.parametrize("name", ["tone", "bursts", "5.1"])
def test_edited_sound_is_heard_as_it_will_be_rendered(op, sounding, file_clip, watch, name):
    half = op("audio_ffmpeg_wrapped_mapper", filter_name="volume", filter_kwargs={"volume": 0.5})
    plain = file_clip(sounding[name])
    quieter = file_clip(sounding[name], edits=half.measure(plain).edits)
    loud, quiet = (watch(op("video_audio_filter"), c)["video_loudness"] for c in (plain, quieter))
    assert quiet - loud == pytest.approx(20 * np.log10(0.5), abs=0.02)
