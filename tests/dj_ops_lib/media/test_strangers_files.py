"""Files that try something: nothing outside the roots is read, nothing blocks, limits hold."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import av
import pytest
from media_truth import Seen, clip, ffmpeg

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media import fetch
from dj_ops_lib.media.access import Access, Limits
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.needs import Every, Frames


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def refused(uri: str | Path, root: Path, **changes: object) -> MediaError:
    """The error that every way of reading the file raises."""
    access = Access(roots=(str(root),), **changes)  # type: ignore[arg-type]
    errors = []
    for read in (
        lambda: probe(str(uri), access),
        lambda: decode(clip(str(uri)), [(Frames(Every()), Seen())], access),
        lambda: render(clip(str(uri)), root / "out", access),
    ):
        with pytest.raises(MediaError) as caught:
            read()
        errors.append(caught.value)
        assert Path(uri).name in str(caught.value)
    assert len({error.error_class for error in errors}) == 1, errors
    assert not [p for p in (root / "out").glob("**/*") if p.is_file()]
    return errors[0]


def playlist(target: Path) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ts"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_playlist_that_names_a_local_file_reads_nothing(
    name: str, scheme: str, root: Path, videos: dict[str, Path]
) -> None:
    secret = root / "secret.ts"
    secret.write_bytes(videos["ts"].read_bytes())
    before = secret.stat().st_atime_ns
    (root / name).write_text(playlist(Path(f"{scheme}{secret}")))
    assert refused(root / name, root).error_class in {"corrupt", "unsupported"}
    assert secret.stat().st_atime_ns == before


@pytest.mark.parametrize("name", ["list.ffconcat", "list.mp4"])
def test_a_concat_script_reads_nothing(name: str, root: Path, videos: dict[str, Path]) -> None:
    (root / "secret.mp4").write_bytes(videos["cfr"].read_bytes())
    (root / name).write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert refused(root / name, root).error_class == "unsupported"


def test_a_dash_manifest_and_a_session_description_read_nothing(
    root: Path, videos: dict[str, Path]
) -> None:
    (root / "secret.mp4").write_bytes(videos["cfr"].read_bytes())
    (root / "a.mpd").write_text(
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet><Representation id="0" bandwidth="1"><BaseURL>secret.mp4</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    (root / "b.sdp").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n")
    for name in ("a.mpd", "b.sdp"):
        assert refused(root / name, root).error_class in {"corrupt", "unsupported"}


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1:9/x.mp4", "concat:/etc/passwd|/etc/hosts", "file:///etc/x.mp4",
     "subfile,,start,0,end,9,,:/etc/passwd", "data://video,x", "tcp://127.0.0.1:9/x.mp4"],
)  # fmt: skip
def test_other_protocols_are_not_spoken(uri: str, root: Path) -> None:
    assert refused(uri, root).error_class in {"forbidden", "missing"}


def test_links_and_dots_do_not_lead_out_of_the_roots(
    root: Path, videos: dict[str, Path], access: Access
) -> None:
    outside = videos["cfr"]
    (root / "link.mp4").symlink_to(outside)
    (root / "up").symlink_to(outside.parent)
    for uri in (
        outside,
        root / "link.mp4",
        root / "up" / outside.name,
        f"{root}/../../{outside.parent.name}/{outside.name}",
    ):
        assert refused(uri, root).error_class == "forbidden"
    (root / "inside.mp4").write_bytes(outside.read_bytes())
    (root / "inner_link.mp4").symlink_to(root / "inside.mp4")
    inner = Access(roots=(str(root),))
    assert probe(f"{root}/x/../inner_link.mp4", inner).num_frames == 120
    (root.parent / "media_of_others").mkdir()
    neighbour = root.parent / "media_of_others" / "a.mp4"
    neighbour.write_bytes(outside.read_bytes())
    assert refused(neighbour, root).error_class == "forbidden"


def test_pipes_folders_and_devices_are_refused_before_they_are_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.mp4")  # opening it would wait for a writer for ever
    (root / "folder.mp4").mkdir()
    assert refused(root / "pipe.mp4", root).error_class == "unsupported"
    assert refused(root / "folder.mp4", root).error_class == "unsupported"
    assert refused("/dev/zero", Path("/dev")).error_class == "unsupported"


def test_what_is_no_video_says_so(root: Path) -> None:
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("a text that somebody gave the name of a video\n" * 40)
    (root / "noise.mp4").write_bytes(bytes(range(256)) * 99)
    assert refused(root / "empty.mp4", root).error_class == "corrupt"
    assert refused(root / "text.mp4", root).error_class in {"corrupt", "unsupported"}
    assert refused(root / "noise.mp4", root).error_class in {"corrupt", "unsupported"}
    assert refused(root / "nowhere.mp4", root).error_class == "missing"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", root / "sound.m4a")
    assert refused(root / "sound.m4a", root).error_class == "unsupported"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64", "-frames:v", "1", root / "still.png")
    assert refused(root / "still.png", root).error_class == "unsupported"


@pytest.mark.parametrize(
    "limits",
    [Limits(max_bytes=1000), Limits(max_width=159), Limits(max_height=95),
     Limits(max_duration_s=4.9), Limits(max_frames=119)],
)  # fmt: skip
def test_limits_hold_before_anything_is_decoded(
    limits: Limits, videos: dict[str, Path], access: Access
) -> None:
    tight = dataclasses.replace(access, limits=limits)
    with pytest.raises(MediaError, match="limit") as caught:
        probe(str(videos["cfr"]), tight)
    assert caught.value.error_class == "too_large"


def test_a_picture_that_grows_on_the_way_stays_within_the_limits(root: Path) -> None:
    for size in (64, 512):
        ffmpeg("-f", "lavfi", "-i", f"testsrc=size={size}x{size}:rate=10:duration=1",
               "-c:v", "libx264", "-bsf:v", "h264_mp4toannexb", root / f"{size}.ts")  # fmt: skip
    grows = root / "grows.ts"
    grows.write_bytes((root / "64.ts").read_bytes() + (root / "512.ts").read_bytes())
    small = Access(roots=(str(root),), limits=Limits(max_width=128, max_height=128))
    assert probe(str(grows), small).width == 64
    with pytest.raises(MediaError) as caught:
        decode(clip(grows), [(Frames(Every()), Seen())], small)
    assert caught.value.error_class == "decode_error"


def test_a_cover_picture_is_not_the_video(root: Path, videos: dict[str, Path]) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=48x48", "-frames:v", "1", root / "cover.jpg")
    ffmpeg("-i", root / "cover.jpg", "-i", videos["silent"], "-map", "0", "-map", "1", "-c", "copy",
           "-disposition:v:0", "attached_pic", root / "covered.mp4")  # fmt: skip
    header = probe(str(root / "covered.mp4"), Access(roots=(str(root),)))
    assert (header.width, header.height, header.num_frames) == (160, 96, 120)


def test_identity_is_the_content(videos: dict[str, Path], access: Access, root: Path) -> None:
    import hashlib

    path = videos["cfr"]
    copy = root / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    name, size = fetch.identify(str(path), access)
    assert name == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert size == path.stat().st_size
    assert fetch.identify(str(copy), Access(roots=(str(root),))) == (name, size)


def test_no_process_wide_logging_is_left_changed(videos: dict[str, Path], access: Access) -> None:
    before = av.logging.get_level()
    probe(str(videos["rotated"]), access)
    assert av.logging.get_level() == before
