"""Rendered clips hold the right pictures and sound, encoded at most once."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from media_truth import Seen, clip, ffmpeg, pad, pixels, psnr, shown

from dj_ops_lib.clip import Edit
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.needs import Audio, Every, Frames
from dj_ops_lib.rendering import Rendering

FAST = Rendering(preset="ultrafast", crf=10)
SPANS = [(None, None), (29 / 24, 59 / 24), (2.6, None)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rendered"


def with_access(access: Access, folder: Path) -> Access:
    return dataclasses.replace(access, roots=(*access.roots, str(folder)))


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    "kind",
    [
        "cfr",
        "vfr",
        "open_gop",
        "edit_list",
        "late",
        "fragmented",
        "ts",
        "webm",
        "avi",
        "hevc",
        "divx",
        "mpeg",
    ],
)
def test_a_rendered_clip_has_the_clips_pictures(
    kind: str, span: tuple, videos: dict[str, Path], access: Access, folder: Path
) -> None:
    piece = clip(videos[kind], *span)
    wanted, got = Seen(), Seen()
    decode(piece, [(Frames(Every()), wanted)], access)
    done = render(piece, folder, access, FAST)
    decode(clip(done.uri), [(Frames(Every()), got)], with_access(access, folder))
    assert len(got.frames) == len(wanted.frames)
    first = wanted.frames[0].time_s
    assert got.times == pytest.approx([f.time_s - first for f in wanted.frames], abs=2e-3)
    assert psnr(
        np.stack([f.image for f in got.frames]), np.stack([f.image for f in wanted.frames])
    ) > (32 if kind != "webm" else 28)


@pytest.mark.parametrize(("kind", "slow"), [("ts", 0), ("ts", 10), ("divx", 0)])
def test_an_avi_with_empty_chunks_is_rendered_picture_by_picture(
    kind: str, slow: int, videos: dict[str, Path], access: Access, folder: Path
) -> None:
    """Twenty-four pictures a second; from the fiftieth on, some are shown for twice as long."""
    times = [25 * (n + max(0, min(n - 50, slow))) for n in range(120)]
    padded = videos["cfr"].parent / "padded.avi"
    pad(videos[kind], padded, times)
    start, end = (times[40] / 600, times[71] / 600)
    done = render(clip(padded, start, end), folder, access, FAST)
    made, source = pixels(done.uri, 160, 96), pixels(videos[kind], 160, 96)
    assert len(made) == 31
    assert psnr(made, source[40:71]) > 35
    wanted = [(t - times[40]) / 600 for t in times[40:71]]
    assert [t for t, _ in shown(Path(done.uri))] == pytest.approx(wanted, abs=2e-3)


def test_a_span_between_key_frames_is_copied_and_others_are_encoded(
    videos: dict[str, Path], access: Access, folder: Path
) -> None:
    assert render(clip(videos["cfr"]), folder, access).how == "copied"
    copied = render(clip(videos["cfr"], 1.25, 2.5), folder, access)
    assert copied.how == "copied"
    source, copy = pixels(videos["cfr"], 160, 96), pixels(copied.uri, 160, 96)
    assert (copy == source[30:60]).all()
    assert render(clip(videos["cfr"], 1.3, 2.5), folder, access, FAST).how == "encoded"
    assert render(clip(videos["webm"], 0.0, 1.0), folder, access, FAST).how == "encoded"
    rough = render(clip(videos["cfr"], 1.5, 2.5), folder, access, Rendering(cut="copy"))
    assert rough.how == "copied"
    assert len(shown(rough.uri)) == 30  # from the key frame at 1.25 s


def test_rendering_again_does_nothing(
    videos: dict[str, Path], access: Access, folder: Path
) -> None:
    piece = dataclasses.replace(clip(videos["cfr"], 0.5, 1.0), signature="abc")
    first = render(piece, folder, access, FAST)
    stamp = Path(first.uri).stat().st_mtime_ns
    again = render(piece, folder, access, FAST)
    assert again == dataclasses.replace(first, how="found")
    assert Path(again.uri).stat().st_mtime_ns == stamp
    assert Path(first.uri).name.startswith("abc.")  # not what default options would give
    assert [p.name for p in folder.iterdir()] == [Path(first.uri).name]


def test_encoding_twice_gives_the_same_bytes(
    videos: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    piece = clip(videos["cfr"], 0.5, 1.0)
    made = [Path(render(piece, tmp_path / name, access, FAST).uri).read_bytes() for name in "ab"]
    assert hashlib.sha256(made[0]).digest() == hashlib.sha256(made[1]).digest()


def test_edits_are_rendered_as_ffmpeg_does_them_by_hand(
    videos: dict[str, Path], access: Access, folder: Path, tmp_path: Path
) -> None:
    edits = (Edit("crop", (("w", "96"), ("h", "64"))), Edit("hflip"))
    piece = dataclasses.replace(clip(videos["cfr"], 1.0, 2.0), edits=edits)
    done = render(piece, folder, access, FAST)
    ffmpeg("-ss", "1", "-i", videos["cfr"], "-t", "1", "-vf", "crop=96:64,hflip", "-c:v", "libx264",
           "-preset", "ultrafast", "-crf", "10", tmp_path / "hand.mp4")  # fmt: skip
    made, hand = pixels(done.uri, 96, 64), pixels(tmp_path / "hand.mp4", 96, 64)
    assert len(made) == len(hand) == 24
    assert psnr(made, hand) > 38


def test_decoding_shows_what_rendering_makes(
    videos: dict[str, Path], access: Access, folder: Path
) -> None:
    for kind, edits in {
        "cfr": (Edit("scale", (("w", "80"), ("h", "48"))), Edit("negate")),
        "rotated": (Edit("crop", (("w", "64"), ("h", "100"), ("x", "0"), ("y", "0"))),),
        "sar": (Edit("pad", (("w", "iw+20"), ("h", "ih+8"), ("x", "10"), ("y", "4"))),),
        "silent": (Edit("fade", (("t", "in"), ("nb_frames", "12"))),),
    }.items():
        piece = dataclasses.replace(clip(videos[kind], 0.5, 1.5), edits=edits)
        lazy, real = Seen(), Seen()
        decode(piece, [(Frames(Every()), lazy)], access)
        done = render(piece, folder, access, FAST)
        decode(clip(done.uri), [(Frames(Every()), real)], with_access(access, folder))
        assert len(lazy.frames) == len(real.frames) == 24, kind
        a, b = (np.stack([f.image for f in seen.frames]) for seen in (lazy, real))
        assert a.shape == b.shape, kind
        assert psnr(a, b) > 30, kind


def test_turned_and_stretched_videos_are_rendered_upright_with_square_pixels(
    videos: dict[str, Path], access: Access, folder: Path
) -> None:
    for kind, size in {"rotated": (96, 160), "mirrored": (96, 160), "sar": (213, 96)}.items():
        done = render(clip(videos[kind], 0.3, 0.9), folder, access, FAST)
        header = probe(str(done.uri), with_access(access, folder))
        assert (header.width, header.height) == (size[0] // 2 * 2, size[1])
        assert (header.rotation, header.sample_aspect_ratio) == (0, "1:1")


def test_sound_is_kept_and_in_step(
    access: Access, videos: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    root = videos["cfr"].parent
    beep = root / "beep.mp4"  # a white flash and a beep at 2 s
    ffmpeg("-f", "lavfi", "-i", "color=black:size=64x64:rate=25:duration=4",
           "-f", "lavfi", "-i", "sine=frequency=1000:duration=4",
           "-vf", "drawbox=color=white:t=fill:enable='between(t,2,2.2)'",
           "-af", "volume=enable='not(between(t,2,2.2))':volume=0",
           "-c:v", "libx264", "-g", "25", "-c:a", "aac", beep)  # fmt: skip
    for start in (0.5, 1.0, 1.37):
        done = render(clip(beep, start, 3.5), folder, access, FAST)
        seen = Seen()
        wanted = [(Frames(Every(), format="gray"), seen), (Audio(rate=16000), seen)]
        decode(clip(done.uri), wanted, with_access(access, folder))
        flash = next(f.time_s for f in seen.frames if f.image.mean() > 128)
        beep_at = np.argmax(np.abs(seen.samples[0]) > 0.05) / 16000
        assert flash == pytest.approx(2 - start, abs=0.041)
        assert beep_at == pytest.approx(2 - start, abs=0.041)


def test_sound_can_be_edited(videos: dict[str, Path], access: Access, folder: Path) -> None:
    edit = Edit("volume", (("volume", "0.25"),), stream="audio")
    piece = dataclasses.replace(clip(videos["cfr"], 1.0, 2.0), edits=(edit,))
    plain, lazy, real = Seen(), Seen(), Seen()
    decode(clip(videos["cfr"], 1.0, 2.0), [(Audio(), plain)], access)
    decode(piece, [(Audio(), lazy)], access)
    done = render(piece, folder, access, FAST)
    decode(clip(done.uri), [(Audio(), real)], with_access(access, folder))
    loudness = [np.sqrt(np.mean(s.samples[0, 4000:40000] ** 2)) for s in (plain, lazy, real)]
    assert loudness[1:] == pytest.approx([loudness[0] / 4] * 2, rel=0.05)


def test_a_damaged_video_leaves_no_file(
    videos: dict[str, Path], access: Access, folder: Path
) -> None:
    cut_off = videos["cfr"].parent / "cut_off.mp4"
    whole = videos["cfr"].read_bytes()
    cut_off.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(MediaError, match=r"cut_off\.mp4"):
        render(clip(cut_off, 0.5, 4.0), folder, access, FAST)
    assert list(folder.iterdir()) == []


def test_ffmpeg_is_told_which_demuxer_and_protocols_to_use(
    videos: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    from dj_ops_lib.media.cutting import place
    from dj_ops_lib.media.encoding import encode_command

    uri = str(videos["cfr"])
    where = place(uri, 0, None, access)
    command = encode_command(clip(uri), uri, tmp_path / "x.mp4", where, access, FAST)
    options = command[: command.index("-i")]
    assert options[options.index("-f") + 1] == "mov"
    assert options[options.index("-protocol_whitelist") + 1] == "file"
