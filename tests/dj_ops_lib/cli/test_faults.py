"""Full disks, read-only places, torn files, stores that are away: a line, and what to do."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from test_commands import DJ, ENVIRONMENT, dj, encode

from dj_ops_lib.cli.videos import find_videos
from dj_ops_lib.errors import OutageError, SourceError
from dj_ops_lib.faults import explain, outage_of
from dj_ops_lib.placing import put_in_place
from tests.dj_ops_lib.engine.engine_workshop import wait_for

RECIPE = "stages: [{name: cleaned, operators: [video_duration_filter]}]"
STORE = {
    "AWS_ENDPOINT": "http://127.0.0.1:9",  # the discard port, which nothing listens on
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, a folder with a video, and its tables."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "videos").mkdir()
    encode(folder / "videos" / "one.mp4", "testsrc2=s=192x128:r=10:d=1")
    (folder / "r.yaml").write_text(RECIPE)
    dj(folder, "run", "r.yaml", "--videos", "videos", "--warehouse", "tables")
    return folder


def on_a_small_disk(
    folder: Path, options: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess:
    """`dj` where `small/` is a file system of its own, seen by that process only."""
    (folder / "small").mkdir(exist_ok=True)
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]
    script = f'mount -t tmpfs -o {options} tmpfs small && exec "$@"'
    return subprocess.run(
        [*namespace, "sh", "-c", script, "sh", str(DJ), *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [("size=64k", "No space left on device; free space there"), ("ro", "Read-only file system")],
)
def test_a_place_that_takes_no_table_is_named_in_a_line(place: Path, options: str, said: str):
    run = ("run", "r.yaml", "--videos", "videos", "--warehouse", "small/w")
    done = on_a_small_disk(place, options, *run)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "small/w" in line
    assert said in line
    assert ".rs:" not in line


@pytest.mark.parametrize(
    "operator", ["video_duration_filter", "{video_resize_resolution_mapper: {max_width: 480}}"]
)
def test_a_disk_that_is_full_while_clips_become_files_ends_the_run(
    place: Path, tmp_path: Path, operator: str
):
    """Copied by the library, or encoded by the program."""
    (tmp_path / "videos").mkdir()
    noise = "nullsrc=s=640x360:r=10:d=2,geq=random(1)*255:128:128"
    encode(tmp_path / "videos" / "noise.mp4", noise)
    text = f"{{stages: [{{name: cleaned, operators: [{operator}]}}], render: {{}}}}"
    (tmp_path / "r.yaml").write_text(text)
    run = ("run", "r.yaml", "--videos", "videos", "--warehouse", "w", "--workers", "1")
    done = on_a_small_disk(tmp_path, "size=100k", *run, DJ_RENDERED="small")
    assert done.returncode == 2, done.stdout + done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert f"{tmp_path}/small" in line
    assert "No space left on device; free space there" in line
    assert not (tmp_path / "w" / "files" / "r" / "rendered.lance").exists()


def test_a_warehouse_in_a_file_is_refused(place: Path):
    run = ("run", "r.yaml", "--videos", "videos", "--warehouse", "r.yaml/w")
    said = dj(place, *run, expect=2)
    assert said.count("\n") == 1
    assert "r.yaml/w" in said
    assert "a part of the path is a file" in said


@pytest.mark.parametrize("damage", ["torn", "gone"])
def test_a_damaged_table_is_named_with_what_makes_it_whole(
    place: Path, tmp_path: Path, damage: str
):
    tables = shutil.copytree(place / "tables", tmp_path / "tables")
    (data,) = (tables / "files" / "media.lance" / "data").iterdir()
    if damage == "torn":
        os.truncate(data, 100)
    else:
        data.unlink()
    table = ("files/media", "--warehouse", str(tables))
    for command in (["table", "maintain", *table], ["render", *table, "--out", "made"]):
        said = dj(place, *command, expect=2)
        assert said.count("\n") == 1
        assert "files/media" in said
        assert "dj table restore" in said


def test_the_trace_is_there_for_who_asks(place: Path):
    command = ("run", "videos", "--videos", "videos", "--warehouse", "w")
    plain, traced = dj(place, *command, expect=2), dj(place, "--debug", *command, expect=2)
    assert plain == "error: videos: a folder; name the recipe file in it\n"
    assert traced.startswith("Traceback")
    assert traced.endswith(plain)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (KEYS, "AWS_ALLOW_HTTP=true"),
        (KEYS | {"AWS_ALLOW_HTTP": "true"}, "does the store answer"),
        ({"AWS_ALLOW_HTTP": "true"}, "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_store_that_cannot_be_asked_is_named_with_the_setting_that_is_wrong(
    place: Path, settings: dict[str, str], said: str
):
    command = ("table", "history", "files/raw", "--warehouse", "s3://bucket/w")
    told = dj(place, *command, expect=2, **(STORE | settings))
    assert told.count("\n") == 1
    assert "s3://bucket/w" in told
    assert said in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "r.yaml", "--videos", "videos", "--warehouse", "w", "--workers", "-3"], "workers"),
        (["render", "files/media", "--out", "o", "--workers", "0"], "workers"),
        (
            ["run", "r.yaml", "--videos", "videos", "--warehouse", "w", "--retry-errors", "decode"],
            "no error class 'decode'; did you mean 'decode_error'?",
        ),
        (["run", "r.yaml", "--videos", "videos", "--warehouse", ""], "empty name"),
        (["run", "r.yaml", "--videos", "", "--warehouse", "w"], "--videos is empty"),
        (["table", "list", "--warehouse", ""], "empty name"),
        (["render", "files/media", "--out", "", "--warehouse", "tables"], "empty name"),
        (["table", "maintain", "--warehouse", "nowhere"], "no tables in nowhere"),
        (
            ["op", "video_duration_filter", "-p", "min_duration=5", "-p", "max_duration=1", "x"],
            "max_duration 1: it is below min_duration 5.0, so that nothing lies between them",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_and_makes_nothing(
    place: Path, arguments: list[str], said: str
):
    before = sorted(place.rglob("*"))
    told = dj(place, *arguments, expect=2)
    assert said in " ".join(told.replace("│", " ").split())
    assert sorted(place.rglob("*")) == before


def test_an_empty_place_in_the_environment_is_not_the_working_directory(place: Path):
    said = dj(place, "table", "list", expect=2, DJ_WAREHOUSE="")
    assert "DJ_WAREHOUSE is set and empty" in said


def test_files_are_answered_as_they_come_and_a_missing_one_fails_the_command(place: Path):
    said = dj(place, "op", "video_duration_filter", "videos/one.mp4", "no.mp4", expect=1)
    assert "videos/one.mp4: kept" in said
    assert "no.mp4: error, missing" in said


def test_an_operator_that_is_killed_leaves_nothing_behind(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Told to end, it cleans up; killed outright, the next one does."""
    left = functools.partial(tmp_path.glob, "dj-*/op/*/tables")
    for end in (signal.SIGTERM, signal.SIGKILL):
        running = subprocess.Popen(
            [str(DJ), "op", "video_motion_score_filter", str(place / "videos" / "one.mp4")],
            env={**ENVIRONMENT, "TMPDIR": str(tmp_path), "DJ_SPOOL": str(tmp_path / "spool")},
        )
        wait_for(lambda: any(left()))  # its worker processes start after that
        running.send_signal(end)
        assert running.wait() == (143 if end is signal.SIGTERM else -end)
        assert any(left()) is (end is signal.SIGKILL)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dj(place, "op", "video_duration_filter", "videos/one.mp4")
    assert not any(left())


def test_a_folder_that_cannot_be_entered_is_not_passed_over(tmp_path: Path):
    """As another user where this one may enter everything."""
    closed = tmp_path / "videos" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "videos" / "one.mp4").touch()
    closed.chmod(0)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(SourceError, match="closed: the folder cannot be entered"):
            find_videos(str(tmp_path / "videos"))
    finally:
        os.seteuid(user)
        closed.chmod(0o755)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch):
    """What the kernel is asked for, in order, seen by its own means of tracing."""
    order: list[str] = []
    names = {}

    def audit(event: str, arguments: tuple) -> None:
        if event == "os.rename":
            order.append("rename")

    real_open, real_sync = os.open, os.fsync

    def opened(path, flags, *rest):
        handle = real_open(path, flags, *rest)
        names[handle] = Path(path)
        return handle

    def synced(handle):
        order.append(names[handle].name)
        real_sync(handle)

    sys.addaudithook(audit)
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    (tmp_path / "made").write_bytes(b"x")
    put_in_place(tmp_path / "made", tmp_path / "final")
    assert order == ["made", "rename", tmp_path.name]
    assert (tmp_path / "final").read_bytes() == b"x"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ESTALE])
def test_a_devices_fault_is_an_outage_also_behind_another_error(number: int):
    cause = OSError(number, os.strerror(number), "/mnt/x")
    error = RuntimeError("something else")
    error.__cause__ = cause
    found = outage_of(error)
    assert isinstance(found, OutageError)
    assert str(found).startswith("/mnt/x: ")


def test_a_fault_of_the_program_is_no_outage():
    assert explain(TypeError("an argument too many")) is None
    assert outage_of(FileNotFoundError(errno.ENOENT, "gone", "x.mp4")) is None
