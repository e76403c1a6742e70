"""Which files are taken for videos follows from what FFmpeg demuxes."""

from __future__ import annotations

import av
import pytest

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import DEMUXERS, VIDEO_EXTENSIONS, Access
from dj_ops_lib.media.fetch import resolve

MUXERS = (
    *("mov", "mp4", "3gp", "3g2", "ismv", "psp", "f4v", "ipod", "matroska", "webm", "avi", "flv"),
    *("mpegts", "mpeg", "vob", "dvd", "asf", "ogg", "ogv"),
)
"""FFmpeg's formats that the allowed demuxers read: some demuxers name no extension themselves."""

NO_VIDEO = {"avif", "heic", "heif", "ism", "isma", "m4a", "m4b", "mka", "mks", "wma"}


def test_every_extension_that_ffmpeg_gives_to_a_format_that_is_read_is_one_of_a_video():
    named = set().union(*(av.ContainerFormat(d, "r").extensions for d in DEMUXERS))
    named |= set().union(*(av.ContainerFormat(m, "w").extensions for m in MUXERS))
    assert named - NO_VIDEO - set(VIDEO_EXTENSIONS) == set()
    assert set(VIDEO_EXTENSIONS) - named == {"ogm", "divx"}
    assert len(set(VIDEO_EXTENSIONS)) == len(VIDEO_EXTENSIONS)


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "file:///a%00b", "file://host/x", "file:x"])
def test_a_file_uri_is_held_to_the_roots_like_its_path(uri, tmp_path):
    with pytest.raises(MediaError) as refused:
        resolve(uri, Access(roots=(str(tmp_path),)))
    assert refused.value.error_class == "forbidden"


def test_a_file_uri_leads_to_its_path(tmp_path):
    (tmp_path / "a b.mp4").write_bytes(b"x")
    found = resolve(f"file://{tmp_path}/a%20b.mp4", Access(roots=(str(tmp_path),)))
    assert found == str(tmp_path / "a b.mp4")
