"""Sound is resampled, mixed and cut to the sample, and lies where the pictures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_truth import Seen, clip, ffmpeg

from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.needs import Audio, Every, Frames, Packets


def hear(path: Path, access: Access, need: Audio, *span: float) -> np.ndarray:
    seen = Seen()
    decode(clip(path, *span), [(need, seen)], access)
    return seen.samples


def written(path: Path, *options: str) -> np.ndarray:
    done = ffmpeg("-i", path, *options, "-f", "f32le", "-c:a", "pcm_f32le", "-")
    return np.frombuffer(done.stdout, np.float32)


def test_whole_sound_is_what_ffmpeg_writes(videos: dict[str, Path], access: Access) -> None:
    ours = hear(videos["cfr"], access, Audio())
    theirs = written(videos["cfr"])
    assert ours.shape[0] == 1
    size = min(ours.shape[1], len(theirs))
    assert size > 4.9 * 44100
    assert np.abs(ours[0, :size] - theirs[:size]).max() < 1e-4


@pytest.mark.parametrize("kind", ["cfr", "mkv", "ts", "flv", "webm", "late", "edit_list"])
def test_a_window_has_its_length_and_the_right_phase(
    kind: str, videos: dict[str, Path], access: Access
) -> None:
    whole = hear(videos[kind], access, Audio(rate=16000))
    part = hear(videos[kind], access, Audio(rate=16000), 1.0, 2.5)
    assert part.shape == (1, 24000)
    # Matroska and FLV keep time to the millisecond, which is 16 samples.
    lags = {
        lag: np.corrcoef(part[0, 4000:20000], whole[0, 20000 + lag : 36000 + lag])[0, 1]
        for lag in range(-16, 17)
    }
    assert max(lags.values()) > 0.99
    if kind not in {"mkv", "flv", "webm"}:
        assert lags[0] > 0.99


def test_resampling_keeps_the_tone(videos: dict[str, Path], access: Access) -> None:
    for rate in (8000, 16000, 48000):
        samples = hear(videos["cfr"], access, Audio(rate=rate), 0.0, 4.0)
        assert samples.shape == (1, 4 * rate)
        spectrum = np.abs(np.fft.rfft(samples[0]))
        assert np.argmax(spectrum) / 4 == pytest.approx(440, abs=1)


def test_channels_are_kept_or_mixed(tmp_path: Path) -> None:
    path = tmp_path / "stereo.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2",
           "-f", "lavfi", "-i", "sine=frequency=300:duration=2",
           "-f", "lavfi", "-i", "anullsrc=duration=2", "-filter_complex", "[1][2]amerge",
           "-ac", "2", "-c:v", "libx264", "-c:a", "pcm_s16le", "-shortest", path)  # fmt: skip
    access = Access(roots=(str(tmp_path),))
    both = hear(path, access, Audio(mono=False))
    mixed = hear(path, access, Audio(mono=True))
    assert both.shape[0] >= 2
    assert mixed.shape[0] == 1
    assert np.abs(both[0]).max() > 0.03


def test_sound_that_begins_late_is_preceded_by_silence(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=4",
           "-itsoffset", "1.5", "-f", "lavfi", "-i", "sine=duration=2",
           "-c:v", "libx264", "-c:a", "pcm_s16le", path)  # fmt: skip
    access = Access(roots=(str(tmp_path),))
    samples = hear(path, access, Audio(rate=8000))[0]
    assert np.abs(samples[: int(1.49 * 8000)]).max() == 0
    assert np.abs(samples[int(1.51 * 8000) :]).max() > 0.1
    assert len(samples) / 8000 == pytest.approx(3.5, abs=0.01)


def test_a_video_without_sound_is_no_error(videos: dict[str, Path], access: Access) -> None:
    assert hear(videos["silent"], access, Audio()).shape[1] == 0


def test_pictures_packets_and_sound_come_in_one_pass(
    videos: dict[str, Path], access: Access
) -> None:
    pictures, packets, sound = Seen(), Seen(), Seen()
    wanted = [(Frames(Every()), pictures), (Packets(), packets), (Audio(rate=16000), sound)]
    report = decode(clip(videos["cfr"], 1.25, 2.5), wanted, access)
    assert (len(pictures.frames), len(packets.packets)) == (30, 30)
    assert sound.samples.shape == (1, 20000)
    assert report.packets < 180  # of 120 and 216
