"""Folders of dead processes are swept; those of living ones never."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from dj_ops_lib.media.scratch import LOCK, QUIET_S, scratch_folder, sweep

HOLDER = """
import sys
from pathlib import Path
from dj_ops_lib.media.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1]), "abc") as folder:
    (folder / "clip.mp4").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def hold(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that uses a folder until its input ends, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def test_the_folder_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    (killed, leftover), (alive, used) = hold(tmp_path / "s"), hold(tmp_path / "s")
    killed.kill()
    killed.communicate()
    age(used, 2 * QUIET_S)
    assert leftover.exists()
    assert sweep(tmp_path / "s") == 1
    assert (leftover.exists(), used.exists()) == (False, True)
    alive.communicate()
    assert alive.returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert sweep(tmp_path / "s") == 0


def test_the_folder_of_another_machine_is_swept_when_nothing_was_written_for_a_day(
    tmp_path: Path,
) -> None:
    for locked in (True, False):
        other = tmp_path / "abc.00000000.1"
        other.mkdir()
        if locked:  # by a process whose lock does not show here
            (other / LOCK).touch()
        (other / "clip.mp4").write_bytes(b"half")
        age(other, QUIET_S + 60)
        os.utime(other / "clip.mp4")
        assert sweep(tmp_path) == 0
        age(other, QUIET_S + 60)
        assert sweep(tmp_path) == 1
        tmp_path.mkdir(exist_ok=True)


def test_no_sweep_takes_a_folder_that_is_just_being_made(tmp_path: Path) -> None:
    made = threading.Event()

    def keep_sweeping() -> None:
        while not made.is_set():
            sweep(tmp_path / "s")

    sweeper = threading.Thread(target=keep_sweeping)
    sweeper.start()
    try:
        for _ in range(300):
            with scratch_folder(tmp_path / "s", "abc") as folder:
                (folder / "clip.mp4").write_bytes(b"whole")
                assert (folder / "clip.mp4").read_bytes() == b"whole"
    finally:
        made.set()
        sweeper.join()
    assert list(tmp_path.iterdir()) == []
