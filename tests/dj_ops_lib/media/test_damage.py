"""What could be decoded of a damaged file is never passed off as the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_truth import Seen, clip, ffmpeg

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.needs import Audio, Every, Fps, Frames, KeyFrames, Need, Packets, Uniform

NEEDS: list[Need] = [
    *(Frames(at) for at in (Every(), Fps(2), Uniform(3), Uniform(1), KeyFrames())),
    *(Packets(), Audio()),
]


def cut_off(path: Path, share: float) -> Path:
    whole = path.read_bytes()
    damaged = path.with_name(f"cut_{share}_{path.name}")
    damaged.write_bytes(whole[: int(len(whole) * share)])
    return damaged


@pytest.mark.parametrize(
    "share",
    [0.6, pytest.param(0.3, marks=pytest.mark.slow), pytest.param(0.95, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("kind", ["cfr", "vfr", "mkv", "webm", "flv", "ten_bit", "long_gop"])
def test_a_file_that_was_cut_off_is_an_error_for_every_plan_that_reaches_the_end(
    kind: str, share: float, videos: dict[str, Path], access: Access
) -> None:
    if kind in {"vfr", "long_gop"}:  # their header is at the end: it goes first here
        moved = videos[kind].with_name(f"fast_{kind}.mp4")
        ffmpeg("-i", videos[kind], "-c", "copy", "-movflags", "faststart", moved)
        path = cut_off(moved, share)
    else:
        path = cut_off(videos[kind], share)
    for need in NEEDS:
        if need == Frames(Uniform(1)) and share > 0.5:
            continue  # the frame in the middle is there
        if need == Audio() and (kind not in {"cfr", "mkv", "webm", "flv"} or share > 0.9):
            continue  # no sound, or the sound is nearly all there
        with pytest.raises(MediaError, match=path.name) as caught:
            decode(clip(path), [(need, Seen())], access)
        assert caught.value.error_class == "decode_error", need


def test_the_part_before_the_damage_can_be_used(videos: dict[str, Path], access: Access) -> None:
    path = cut_off(videos["cfr"], 0.6)
    seen = Seen()
    decode(clip(path, 0.0, 1.5), [(Frames(Every()), seen)], access)
    assert len(seen.frames) == 36


def test_a_span_beyond_the_damage_is_an_error(videos: dict[str, Path], access: Access) -> None:
    path = cut_off(videos["cfr"], 0.5)
    for need in NEEDS:
        with pytest.raises(MediaError) as caught:
            decode(clip(path, 4.0, 4.5), [(need, Seen())], access)
        assert caught.value.error_class == "decode_error", need


def test_bytes_destroyed_in_the_middle_are_an_error(
    videos: dict[str, Path], access: Access
) -> None:
    content = bytearray(videos["cfr"].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path = videos["cfr"].with_name("destroyed.mp4")
    path.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        decode(clip(path), [(Frames(Every()), Seen())], access)
    assert caught.value.error_class == "decode_error"


def test_a_span_outside_the_file_says_so(videos: dict[str, Path], access: Access) -> None:
    for at in (Every(), KeyFrames(), Uniform(3)):
        with pytest.raises(MediaError) as caught:
            decode(clip(videos["cfr"], 8.0, 9.0), [(Frames(at), Seen())], access)
        assert caught.value.error_class == "span_out_of_range", at


def test_whole_files_of_every_kind_are_no_error(videos: dict[str, Path], access: Access) -> None:
    for path in videos.values():
        for need in NEEDS:
            decode(clip(path), [(need, Seen())], access)
