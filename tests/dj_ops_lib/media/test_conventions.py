"""All rendered files have one form, whatever the video's, and say what they are.

Files are judged by the ffmpeg program: its words for their headers, its idet for their lines, its
decoder for their pictures.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from conventions_media import FIELDS, HEIGHT, NITS, WIDTH, hdr, idet, interlaced, pan, said
from media_truth import Seen, clip, ffmpeg, pixels, psnr, remux, shown

from dj_ops_lib.clip import Edit
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.needs import Every, Frames
from dj_ops_lib.rendering import Rendering

FAST = {"preset": "ultrafast", "crf": 6}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conventions")


@pytest.fixture(scope="module")
def made(root: Path) -> dict[str, Path]:
    """Videos in other forms than the plain one, key frames every 0.4 s."""
    made = interlaced(root) | hdr(root)
    plain = made["progressive"]
    for kind, degrees, hflip in (
        ("right", -90, False), ("left", 90, False), ("down", 180, False), ("mirrored", 0, True),
        ("mirrored_right", -90, True), ("askew", 30, False),
    ):  # fmt: skip
        made[kind] = root / f"{kind}.mp4"
        remux(plain, made[kind], degrees=degrees, hflip=hflip)
    made["oblong"] = root / "oblong.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=4/3",
           made["oblong"])  # fmt: skip
    odd, made["odd"] = root / "odd_upright.mp4", root / "odd.mp4"
    ffmpeg("-i", plain, "-vf", "crop=335:95,format=yuv444p", "-c:v", "libx264", odd)
    remux(odd, made["odd"], degrees=-90)
    made["turned_lines"] = root / "turned_lines.mp4"
    remux(made["tff"], made["turned_lines"], degrees=-90)
    made["rgb"] = root / "rgb.mp4"
    ffmpeg("-i", plain, "-vf", "format=gbrp", "-c:v", "libx264rgb", "-qp", "0", made["rgb"])
    made["old_colours"] = root / "old_colours.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v",
           "h264_metadata=colour_primaries=5:transfer_characteristics=6:matrix_coefficients=5",
           made["old_colours"])  # fmt: skip
    return made


@pytest.fixture
def access(root: Path, tmp_path: Path) -> Access:
    return Access(roots=(str(root), str(tmp_path)))


def rendered(path: Path, access: Access, folder: Path, *span: float, **options) -> tuple[str, str]:
    done = render(clip(path, *span), folder, access, Rendering(**{**FAST, **options}))
    return done.uri, done.how


UPRIGHT = {
    "right": lambda a: np.rot90(a, -1, (1, 2)),
    "left": lambda a: np.rot90(a, 1, (1, 2)),
    "down": lambda a: a[:, ::-1, ::-1],
    "mirrored": lambda a: a[:, :, ::-1],
}


@pytest.mark.parametrize("cut", ["exact", "copy"])
@pytest.mark.parametrize("span", [(), (0.4, 0.8), (0.5, 0.8)])
def test_all_pieces_of_a_turned_or_oblong_video_are_upright_and_square(
    made: dict[str, Path], access: Access, tmp_path: Path, span: tuple, cut: str
) -> None:
    frames = {(): slice(None), (0.4, 0.8): slice(10, 20), (0.5, 0.8): slice(13, 20)}[span]
    coded = pixels(made["progressive"], WIDTH, HEIGHT)[frames]
    for kind in ("right", "left", "down", "mirrored", "mirrored_right", "askew", "oblong"):
        uri, how = rendered(made[kind], access, tmp_path / kind, *span, cut=cut)
        assert how == "encoded", kind
        words = said(uri)
        assert "Display Matrix" not in words, kind
        assert "SAR" not in words or "SAR 1:1" in words, kind
        size = {"oblong": (448, HEIGHT), "down": (WIDTH, HEIGHT)}.get(kind, (HEIGHT, WIDTH))
        size = (WIDTH, HEIGHT) if kind in {"mirrored", "askew"} else size
        assert f", {size[0]}x{size[1]}" in words, kind
        if turn := UPRIGHT.get(kind):
            assert psnr(pixels(Path(uri), *size), turn(coded)) > 38, kind


def test_what_rendering_makes_of_a_turned_video_is_what_decoding_shows(
    made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    for kind in ("right", "mirrored", "mirrored_right", "askew", "oblong", "pq", "hlg"):
        piece, seen = clip(made[kind], 0.2, 0.6), Seen()
        decode(piece, [(Frames(Every()), seen)], access)
        uri, _ = rendered(made[kind], access, tmp_path / kind, 0.2, 0.6)
        shown_pictures = np.stack([f.image for f in seen.frames])
        height, width = shown_pictures.shape[1:3]
        assert psnr(pixels(Path(uri), width, height), shown_pictures) > 33, kind


def test_as_stored_keeps_orientation_and_pixel_shape_in_copies_and_encodings(
    made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    for kind in ("right", "mirrored", "oblong"):
        for span, how in {(0.4, 0.8): "copied", (0.5, 0.8): "encoded"}.items():
            uri, done = rendered(made[kind], access, tmp_path / kind, *span, pictures="as_stored")
            assert done == how
            words = said(uri)
            assert f", {WIDTH}x{HEIGHT}" in words
            if kind == "oblong":
                assert "SAR 4:3" in words
            else:
                matrix = [line for line in said(made[kind]).splitlines() if "rotation of" in line]
                assert matrix
                assert matrix[0] in words
    for pictures, size in {"as_stored": "334x94", "plain": "94x334"}.items():
        uri, _ = rendered(made["odd"], access, tmp_path / "odd", 0.5, 0.8, pictures=pictures)
        assert f", {size}" in said(uri)
    turned = dataclasses.replace(clip(made["right"], 0.4, 0.8), edits=(Edit("negate"),))
    done = render(turned, tmp_path / "edited", access, Rendering(**FAST, pictures="as_stored"))
    assert f", {HEIGHT}x{WIDTH}" in said(done.uri)


@pytest.mark.parametrize("kind", ["tff", "bff", "mpeg2", "turned_lines"])
def test_interlaced_video_is_rendered_progressive_without_combs(
    kind: str, made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    for span in [(), (0.4, 0.8)]:
        uri, how = rendered(made[kind], access, tmp_path / str(len(span)), *span)
        assert how == "encoded"
        assert "progressive" in said(uri).splitlines()[0]
        upright = "transpose=cclock," if kind == "turned_lines" else ""
        ffmpeg("-i", uri, "-vf", f"{upright}null", "-c:v", "libx264", "-qp", "0",
               tmp_path / "lines.mp4")  # fmt: skip
        found = idet(tmp_path / "lines.mp4")
        # FFmpeg's own bwdif, by hand, leaves four of 25 that idet takes for interlaced.
        assert found["progressive"] >= (21 if not span else 8), (kind, span, found)
    # One picture for every two instants: that of the field that comes first.
    whole = pixels(Path(rendered(made[kind], access, tmp_path / "0")[0]), *_size(kind))
    upright = np.rot90(whole, 1, (1, 2)) if kind == "turned_lines" else whole
    combed, truth = pixels(made["tff"], WIDTH, HEIGHT), pan(50)[::2]
    assert psnr(upright[..., 1], truth) > 30 > 25 > psnr(combed[..., 1], truth)


def _size(kind: str) -> tuple[int, int]:
    return (HEIGHT, WIDTH) if kind == "turned_lines" else (WIDTH, HEIGHT)


def test_labels_are_not_believed_where_lines_are_of_one_instant(
    made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    uri, _ = rendered(made["progressive_labelled_interlaced"], access, tmp_path)
    assert "progressive" in said(uri).splitlines()[0]
    assert psnr(pixels(Path(uri), WIDTH, HEIGHT)[..., 1], pan(50)[::2]) > 38


@pytest.mark.parametrize(("kind", "words"), [("tff", "top first"), ("bff", "bottom first")])
def test_as_stored_keeps_the_lines_and_says_so(
    kind: str, words: str, made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    for span, how in {(0.4, 0.8): "copied", (0.5, 0.8): "encoded"}.items():
        uri, done = rendered(made[kind], access, tmp_path, *span, pictures="as_stored")
        assert done == how
        assert words in said(uri).splitlines()[0]
        assert idet(uri)[kind] == len(shown(Path(uri)))


def test_lines_of_unknown_order_are_not_kept_under_a_guessed_label(
    made: dict[str, Path], access: Access, root: Path, tmp_path: Path
) -> None:
    """DV says on its pictures that they are interlaced; its header does not say so."""
    tape = root / "tape.avi"
    ffmpeg("-i", made["bff"], "-vf", "scale=720:576:interl=1,setfield=bff", "-c:v", "dvvideo",
           *FIELDS, "-pix_fmt", "yuv420p", tape)  # fmt: skip
    assert probe(str(tape), access).field_order is None
    uri, _ = rendered(tape, access, tmp_path / "plain", 0.2, 0.8)
    assert idet(uri)["progressive"] >= 13
    with pytest.raises(MediaError, match="which field comes first"):
        rendered(tape, access, tmp_path / "refused", 0.2, 0.8, pictures="as_stored")
    assert list((tmp_path / "refused").iterdir()) == []


@pytest.mark.parametrize("kind", ["pq", "hlg"])
def test_high_dynamic_range_becomes_bt709_and_says_so(
    kind: str, made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    for cut in ("exact", "copy"):
        uri, how = rendered(made[kind], access, tmp_path / cut, cut=cut)
        assert how == "encoded"
        assert "yuv420p(tv, bt709, progressive)" in said(uri).splitlines()[0]
        bars = _bars(uri)
        if kind == "pq":
            # Below the shoulder light is as it was; white is 203 cd/m2; BT.1886's gamma is 2.4.
            for nits, bar in zip(NITS[:3], bars, strict=False):
                assert bar == pytest.approx(16 + 219 * (nits / 203) ** (1 / 2.4), abs=2)
            assert bars[4] == pytest.approx(16 + 219 * 0.9, abs=3)
            assert bars[6] == pytest.approx(235, abs=1)
        else:
            # 75 % is diffuse white (BT.2408), the same 203 cd/m2; 50 % is 1000 * (1/12)^1.2.
            assert bars[5] == pytest.approx(16 + 219 * 0.9, abs=3)
            light = 1000 * (1 / 12) ** 1.2
            assert bars[3] == pytest.approx(16 + 219 * (light / 203) ** (1 / 2.4), abs=2)
        assert list(bars) == sorted(bars)


def _bars(path: str) -> list[float]:
    """Mean luma of the seven bars of a file, as it is stored."""
    luma = ffmpeg("-i", path, "-frames:v", "1", "-pix_fmt", "gray", "-vf", "extractplanes=y",
                  "-f", "rawvideo", "-").stdout  # fmt: skip
    rows = np.frombuffer(luma, np.uint8).reshape(HEIGHT, WIDTH)
    width = WIDTH // len(NITS)
    return [
        float(rows[10 : HEIGHT // 2 - 10, i * width + 12 : (i + 1) * width - 12].mean())
        for i in range(7)
    ]


def test_high_dynamic_range_as_stored_needs_its_bits(
    made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match="pixel_format: yuv420p10le"):
        rendered(made["pq"], access, tmp_path, 0.1, 0.8, pictures="as_stored")
    deep = {"pictures": "as_stored", "pixel_format": "yuv420p10le"}
    words = "yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive)"
    uri, how = rendered(made["pq"], access, tmp_path, 0.1, 0.8, **deep)
    assert how == "encoded"
    assert words in said(uri)
    uri, how = rendered(made["pq"], access, tmp_path, 0.2, 0.8, pictures="as_stored")
    assert how == "copied"
    assert words in said(uri)


def test_standard_range_keeps_its_colours_and_their_labels(
    made: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    uri, _ = rendered(made["rgb"], access, tmp_path, 0.1, 0.8)
    header = probe(uri, access)
    assert (header.color_space, header.color_range) == ("bt709", "tv")
    source = pixels(made["rgb"], WIDTH, HEIGHT)[3:20]
    assert psnr(pixels(Path(uri), WIDTH, HEIGHT), source) > 38
    uri, _ = rendered(made["old_colours"], access, tmp_path, 0.1, 0.8)
    header = probe(uri, access)
    labels = (header.color_space, header.color_transfer, header.color_primaries)
    assert labels == ("bt470bg", "smpte170m", "bt470bg")
