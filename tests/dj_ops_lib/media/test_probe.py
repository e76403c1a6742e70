"""Header facts are those of the file as made, without decoding it."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from conventions_media import hdr, interlaced, said
from media_truth import clip, ffmpeg, pad, remux, shown

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import Header, probe
from dj_ops_lib.needs import Audio

UNCOUNTED = {"mkv", "ts", "flv", "webm", "fragmented"}
"""Containers that do not say how many pictures they hold."""


def test_every_fact_of_a_plain_file(videos: dict[str, Path], access: Access) -> None:
    header = probe(str(videos["cfr"]), access)
    rate = header.bit_rate
    assert rate is not None
    size = videos["cfr"].stat().st_size
    assert rate == pytest.approx(size * 8 / 5.0, rel=0.02)
    assert dataclasses.replace(header, bit_rate=None) == Header(
        width=160,
        height=96,
        fps=24.0,
        num_frames=120,
        duration_s=5.0,
        container="mov,mp4,m4a,3gp,3g2,mj2",
        video_codec="h264",
        pixel_format="yuv420p",
        bit_depth=8,
        field_order="progressive",
        color_transfer=None,
        color_primaries=None,
        color_space=None,
        color_range=None,
        rotation=0,
        sample_aspect_ratio="1:1",
        bit_rate=None,
        has_audio=True,
        audio_codec="aac",
        sample_rate=44100,
        audio_channels=1,
    )


@pytest.mark.parametrize("kind", ["mkv", "ts", "flv", "avi", "webm", "late", "fragmented"])
def test_duration_frames_and_rate_do_not_depend_on_the_container(
    kind: str, videos: dict[str, Path], access: Access
) -> None:
    header = probe(str(videos[kind]), access)
    assert header.duration_s == pytest.approx(5.0, abs=0.002)
    assert header.num_frames == (None if kind in UNCOUNTED else 120)
    assert round(header.duration_s * header.fps) == 120
    assert header.fps == pytest.approx(24, abs=0.01)


@pytest.mark.parametrize(
    "kind", ["vfr", "open_gop", "edit_list", "one_frame", "slides", "long_gop"]
)
def test_frames_are_as_many_as_ffmpeg_shows(
    kind: str, videos: dict[str, Path], access: Access
) -> None:
    header = probe(str(videos[kind]), access)
    assert header.num_frames == len(shown(videos[kind]))


@pytest.mark.parametrize(("kind", "step"), [("ts", 25), ("ts", 12), ("divx", 25)])
def test_empty_chunks_of_an_avi_are_no_frames(
    kind: str, step: int, videos: dict[str, Path], access: Access
) -> None:
    padded = videos["cfr"].parent / "padded.avi"
    pad(videos[kind], padded, itertools.count(0, step))
    header = probe(str(padded), access)
    assert header.num_frames == 120
    assert header.duration_s == pytest.approx(120 * step / 600, abs=step / 600)
    assert header.fps == pytest.approx(600 / step, rel=0.01)


def test_where_the_header_declares_no_duration_the_packets_are_walked(
    videos: dict[str, Path], access: Access
) -> None:
    live = videos["cfr"].parent / "live.mkv"
    with live.open("wb") as file:  # to a pipe, so that nothing can be filled in afterwards
        file.write(ffmpeg("-i", videos["cfr"], "-c", "copy", "-f", "matroska", "-").stdout)
    header = probe(str(live), access)
    assert header.duration_s == pytest.approx(5.0, abs=0.05)
    assert header.num_frames == 120


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_in_degrees_clockwise(
    degrees: int, videos: dict[str, Path], access: Access
) -> None:
    turned = videos["cfr"].parent / f"turned_{degrees}.mp4"
    remux(videos["silent"], turned, degrees=-degrees)
    header = probe(str(turned), access)
    assert header.rotation == degrees
    assert (header.width, header.height) == ((96, 160) if degrees % 180 else (160, 96))


def test_a_caption_in_the_metadata_is_not_taken_for_a_rotation(
    videos: dict[str, Path], access: Access
) -> None:
    path = videos["cfr"].parent / "spoof.mkv"
    title = "x\nSide data:\n      Display Matrix: rotation of 90.00 degrees"
    ffmpeg("-i", videos["silent"], "-c", "copy", "-metadata:s:v:0", f"title={title}", path)
    assert probe(str(path), access).rotation == 0


def test_an_error_names_file_and_class(access: Access, videos: dict[str, Path]) -> None:
    with pytest.raises(MediaError, match=r"nowhere\.mp4: no such file") as caught:
        probe(str(videos["cfr"].with_name("nowhere.mp4")), access)
    assert caught.value.error_class == "missing"


def test_a_clip_without_a_file_is_missing(access: Access) -> None:
    with pytest.raises(MediaError) as caught:
        decode(dataclasses.replace(clip("x"), video_uri=None), [(Audio(), None)], access)  # type: ignore[list-item]
    assert caught.value.error_class == "missing"


def test_fields_and_colours_are_those_that_the_file_was_made_with(tmp_path: Path) -> None:
    access = Access(roots=(str(tmp_path),))
    made = interlaced(tmp_path) | hdr(tmp_path)
    found = {kind: probe(str(path), access) for kind, path in made.items()}
    assert {kind: found[kind].field_order for kind in ("tff", "bff", "mpeg2", "progressive")} == {
        "tff": "tt",
        "bff": "bb",
        "mpeg2": "tt",
        "progressive": "progressive",
    }
    for kind, transfer in {"pq": "smpte2084", "hlg": "arib-std-b67"}.items():
        header = found[kind]
        assert (header.bit_depth, header.pixel_format) == (10, "yuv420p10le")
        assert (header.color_transfer, header.color_primaries) == (transfer, "bt2020")
        assert (header.color_space, header.color_range) == ("bt2020nc", "tv")
        assert f"(tv, bt2020nc/bt2020/{transfer}" in said(made[kind])
