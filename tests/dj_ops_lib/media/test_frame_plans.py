"""Every plan gives the frames that ffmpeg shows, by time, whatever the file's timing."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_truth import Seen, clip, ffmpeg
from plan_truth import SMALL, expected, look

from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.needs import At, Every, Fps, Frames, KeyFrames, Packets, Uniform

KINDS = ["cfr", "vfr", "open_gop", "edit_list", "late", "rotated", "sar", "fragmented", "long_gop"]
KINDS += ["one_frame", "slides", "ten_bit", "mkv", "ts", "flv", "webm", "hevc", "divx", "mpeg"]
SPANS = [(None, None), (1.5, 2.75), (2.1, 2.3)]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("kind", KINDS)
def test_plans_give_the_frames_that_ffmpeg_shows(
    kind: str, span: tuple, videos: dict[str, Path], access: Access
) -> None:
    path = videos[kind]
    if span[0] and probe(str(path), access).duration_s < span[0]:
        span = (0.0, None)
    plans: list[At] = [Every(), KeyFrames(), Uniform(1), Uniform(3), Uniform(7)]
    plans += [Fps(2), Fps(5, with_second=True), Fps(2, pair_s=0.06), Fps(8, pair_s=0.2)]
    for at in plans:
        (alone,) = look(path, access, at, span=span)
        assert alone.times == pytest.approx(expected(path, access, at, span), abs=2e-3), at
    merged = look(path, access, *plans, span=span)
    for at, seen in zip(plans, merged, strict=True):
        assert seen.times == pytest.approx(expected(path, access, at, span), abs=2e-3), at
    few = [KeyFrames(), Uniform(3)]
    for at, seen in zip(few, look(path, access, *few, span=span), strict=True):
        assert seen.times == pytest.approx(expected(path, access, at, span), abs=2e-3), at


def test_an_avi_without_display_times_is_shown_in_order_from_zero(
    videos: dict[str, Path], access: Access
) -> None:
    every, keys = look(videos["avi"], access, Every(), KeyFrames(), span=(None, None))
    assert every.times == pytest.approx([i / 24 for i in range(120)], abs=1e-6)
    assert keys.times == pytest.approx([0, 1.25, 2.5, 3.75])
    (alone,) = look(videos["avi"], access, KeyFrames(), span=(1.0, 3.0))
    assert alone.times == pytest.approx([1.25, 2.5])
    for first, last in ((29, 58), (30, 40), (31, 47), (1, 12)):
        span = ((first - 0.3) / 24, (last + 0.7) / 24)
        (part,) = look(videos["avi"], access, Every(), span=span)
        assert part.times == pytest.approx([i / 24 for i in range(first, last + 1)], abs=1e-6)
        (few,) = look(videos["avi"], access, Uniform(4), span=span)
        for frame in [*part.frames, *few.frames]:
            same = every.frames[round(frame.pts_s * 24)]
            assert (frame.image == same.image).all(), frame.pts_s


@pytest.mark.parametrize("span", [*SPANS, (1.3, 2.4), (2.6, 4.0)])
def test_key_frames_that_are_none_lose_no_picture(
    span: tuple, videos: dict[str, Path], access: Access
) -> None:
    path = videos["intra_refresh"]
    for at in (Every(), Uniform(1), Uniform(2), Uniform(5), Fps(5)):
        (seen,) = look(path, access, at, span=span)
        assert seen.times == pytest.approx(expected(path, access, at, span), abs=2e-3), at
    keys, raw = Seen(), Seen()
    decode(clip(path), [(Frames(KeyFrames(), SMALL), keys), (Packets(), raw)], access)
    assert keys.times == pytest.approx([0, 1.25, 2.5, 3.75])
    assert len(raw.packets) == 120  # decoding begins anew, what was handed out is not again


def test_a_clip_without_any_frame_shows_the_picture_on_screen(
    videos: dict[str, Path], access: Access
) -> None:
    every, keys = look(videos["slides"], access, Every(), KeyFrames(), span=(3.0, 3.5))
    whole, *_ = look(videos["slides"], access, Every(), span=(None, None))
    assert every.times == keys.times == [3.0]
    assert (every.frames[0].image == whole.frames[1].image).all()


def test_key_frames_come_without_decoding_the_rest(videos: dict[str, Path], access: Access) -> None:
    report = decode(clip(videos["cfr"]), [(Frames(KeyFrames()), Seen())], access)
    assert report.frames_decoded == 4
    report = decode(clip(videos["mkv"]), [(Frames(KeyFrames()), Seen())], access)
    assert report.frames_decoded == 4
    report = decode(clip(videos["cfr"], 2.0, 3.0), [(Frames(KeyFrames()), Seen())], access)
    assert report.frames_decoded == 1


def test_a_window_is_reached_by_seeking_and_left_at_its_end(
    videos: dict[str, Path], access: Access
) -> None:
    seen = Seen()
    report = decode(clip(videos["cfr"], 2.6, 3.1), [(Frames(Every()), seen)], access)
    assert len(seen.frames) == 12
    assert report.seeks == 1
    assert report.packets < 40  # of 120: from the key frame at 2.5 s on


def test_uniform_frames_of_a_long_file_decode_one_group_of_pictures_each(
    videos: dict[str, Path], access: Access
) -> None:
    for kind, frames in (("cfr", 40), ("mkv", 60)):  # Matroska's index has every other key frame
        report = decode(clip(videos[kind]), [(Frames(Uniform(2)), Seen())], access)
        assert report.frames_decoded <= frames, kind
        assert report.seeks == 1


def test_a_frame_wanted_thrice_is_decoded_and_converted_once(
    videos: dict[str, Path], access: Access
) -> None:
    wanted = [
        (Frames(Every(), SMALL, "gray"), Seen()),
        (Frames(Every(), SMALL, "gray"), Seen()),
        (Frames(Uniform(5), SMALL, "gray"), Seen()),
        (Frames(Uniform(5), SMALL, "rgb24"), Seen()),
    ]
    report = decode(clip(videos["cfr"]), wanted, access)
    assert report.frames_decoded == 120
    assert report.conversions == 120 + 5
    assert report.frames_delivered == 120 + 120 + 5 + 5


def test_packets_are_those_in_the_file_and_nothing_is_decoded(
    videos: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    seen = Seen()
    report = decode(clip(videos["mkv"]), [(Packets(), seen)], access)
    raw = tmp_path / "raw.bin"
    ffmpeg("-i", videos["mkv"], "-map", "0:v", "-c", "copy", "-f", "data", raw)
    assert b"".join(seen.packets) == raw.read_bytes()
    assert report.frames_decoded == 0


def test_packets_of_a_window_are_those_shown_in_it(videos: dict[str, Path], access: Access) -> None:
    seen = Seen()
    decode(clip(videos["cfr"], 1.25, 2.5), [(Packets(), seen)], access)
    assert len(seen.packets) == 30
