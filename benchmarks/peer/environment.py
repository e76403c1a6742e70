"""The peer's own Python environment, built the first time, and programs run in it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

VERSION = "1.6.1"
PINS = (
    f"py-data-juicer=={VERSION}",
    "av==13.1.0",
    "scenedetect[opencv-headless]<0.7",
    "opencv-python-headless==4.11.0.86",
    "aiohttp",
)


def add_env_argument(parser: argparse.ArgumentParser) -> None:
    """Let the command line say where the environment is."""
    default = Path.home() / ".cache" / "dj_sora" / f"py-data-juicer-{VERSION}"
    parser.add_argument("--env", type=Path, default=default, help="the peer's environment")


def peer_python(env: Path) -> str:
    """The peer's interpreter; its environment is made if it is not there."""
    python = env / "bin" / "python"
    if not (env / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
        # pip tries ancient releases of the peer's many dependencies for more than ten minutes
        # without an end; uv needs 40 s (2026-11-22).
        subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
        uv = [str(env / "bin" / "uv"), "pip", "install", "--python", str(python), "-q"]
        subprocess.run([*uv, *PINS], check=True)
        (env / "complete").touch()
    return str(python)


def run_in_peer(python: str, program: str, *arguments: object, folder: Path) -> None:
    """Run a program's text with the peer's interpreter, in `folder`.

    Raises:
        SystemExit: It fails.
    """
    path = folder / "peer.py"
    path.write_text(program, encoding="utf-8")
    command = [python, str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
