"""A source's configuration: found without any, refused where it is wrong, never out of its root."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from dj_ops_lib.errors import MediaError, SourceError
from dj_ops_lib.media.fetch import resolve
from dj_ops_lib.sources.config import SourceConfig


def test_without_settings_everything_is_below_dj_data(tmp_path, monkeypatch):
    monkeypatch.setenv("DJ_DATA", str(tmp_path))
    config = SourceConfig(name="msr_vtt")
    assert config.folder == tmp_path / "msr_vtt"
    assert config.media_location == str(tmp_path / "msr_vtt" / "videos")
    assert config.access().roots == (config.media_location,)
    assert config.clip_license == "MSR-VTT terms: non-commercial research"


def test_a_source_may_have_another_name_than_its_dataset(tmp_path):
    config = SourceConfig(name="my_clips", dataset="panda70m", root=str(tmp_path), license="mine")
    assert config.reader.name == "panda70m"
    assert config.clip_license == "mine"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"name": "msrvtt"}, "did you mean 'msr_vtt'"),
        ({"name": "x", "dataset": "intervid"}, "did you mean 'internvid'"),
        ({"name": "msr_vtt", "annotations": ("../secret.json",)}, "must lie under its root"),
        ({"name": "msr_vtt", "annotations": ("/etc/passwd",)}, "must lie under its root"),
    ],
)
def test_an_unknown_dataset_or_a_path_out_of_the_folder_is_refused(settings, problem):
    with pytest.raises(SourceError, match=problem):
        SourceConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"rows_per_shard": 0}, {"name": "A b"}, {"identity": "md5"}, {"colour": "red"},
     {"limits": {"max_bytes": 0}}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(pydantic.ValidationError):
        SourceConfig(**({"name": "msr_vtt"} | settings))


def test_videos_are_found_by_id_with_any_extension_or_none(tmp_path):
    videos = tmp_path / "videos"
    (videos / "folder").mkdir(parents=True)
    for name in ("a.webm", "b.mp4", "b.mkv", "c", "-d_.mov", "sub"):
        (videos / name).touch()
    (videos / "folder" / "e.mp4").touch()
    (videos / "dir.mp4").mkdir()
    config = SourceConfig(name="internvid", root=str(tmp_path))
    found = {i: config.locate(i) for i in ("a", "b", "c", "-d_", "folder/e", "none", "dir")}
    names = {i: Path(uri).name if uri else None for i, uri in found.items()}
    assert names == {"a": "a.webm", "b": "b.mp4", "c": "c", "-d_": "-d_.mov", "folder/e": "e.mp4",
                     "none": None, "dir": None}  # fmt: skip


def test_videos_are_found_however_their_names_are_written(tmp_path):
    (tmp_path / "videos").mkdir()
    decomposed, composed = "cafe\u0301", "caf\u00e9"
    for name in (
        "upper.MP4",
        f"{decomposed}.mp4",
        f"{composed}2.mp4",
        "back\\slash.mp4",
        "old.3gp",
    ):
        (tmp_path / "videos" / name).touch()
    config = SourceConfig(name="internvid", root=str(tmp_path))
    asked = ("upper", composed, f"{decomposed}2", "back\\slash", "old")
    assert [Path(config.locate(i) or "none").name for i in asked] == [
        "upper.MP4",
        f"{decomposed}.mp4",
        f"{composed}2.mp4",
        "back\\slash.mp4",
        "old.3gp",
    ]
    resolve_error = config.locate("back\\slash")
    with pytest.raises(MediaError, match="empty"):  # looked at, not forbidden
        resolve(resolve_error, config.access())


def test_links_may_end_in_folders_that_are_named(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123").write_bytes(b"video")
    (tmp_path / "videos" / "v.mp4").symlink_to("../blobs/0123")
    uri = SourceConfig(name="internvid", root=str(tmp_path)).locate("v")
    with pytest.raises(MediaError, match="outside the media roots"):
        resolve(uri, SourceConfig(name="internvid", root=str(tmp_path)).access())
    config = SourceConfig(name="internvid", root=str(tmp_path), roots=("blobs",))
    assert resolve(uri, config.access()) == str(tmp_path / "blobs" / "0123")


@pytest.mark.parametrize("hostile", ["../secret", "/etc/passwd", "a/../../secret", "a\0b"])
def test_an_id_that_leads_out_of_the_media_root_is_refused_when_it_is_read(tmp_path, hostile):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "another.mp4").touch()
    (tmp_path / "secret.mp4").touch()
    (tmp_path / "secret").touch()
    config = SourceConfig(name="internvid", root=str(tmp_path))
    uri = config.locate(hostile)
    assert uri is not None
    with pytest.raises(MediaError) as refusal:
        resolve(uri, config.access())
    assert refusal.value.error_class in {"forbidden", "missing"}


def test_limits_and_object_store_reach_the_workers(tmp_path):
    config = SourceConfig(
        name="panda70m",
        root=str(tmp_path),
        media_root="s3://bucket/prefix/",
        identity="etag",
        limits={"max_width": 1920},
        object_store={"endpoint_url": "http://127.0.0.1:1", "unsigned": True},
    )
    access = config.access()
    assert access.roots == ("s3://bucket/prefix",)
    assert access.identity == "etag"
    assert access.limits.max_width == 1920
    assert access.limits.max_height == 8192
    assert access.object_store.endpoint_url == "http://127.0.0.1:1"
    assert access.object_store.unsigned
