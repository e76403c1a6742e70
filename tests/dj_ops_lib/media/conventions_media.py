"""Small videos that are not upright, square, progressive and SDR, and how each was made.

The lines of an interlaced one come from two instants: a moving picture of 50 instants a second,
of which one takes the even lines and the next the odd ones (FFmpeg's `tinterlace`).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from media_truth import ffmpeg, find_ffmpeg

NITS = (1, 10, 50, 100, 203, 400, 1000)
"""Luminance of the grey bars of `pq`, in cd/m2, from left to right; 48 pixels each."""

WIDTH, HEIGHT = 336, 96
FIELDS = ["-flags", "+ildct+ilme"]
HDR10 = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"


def pan(instants: int, seed: int = 3) -> np.ndarray:
    """A soft texture that moves 5 pixels to the side and 1 down an instant; (n, 96, 336) uint8."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT + 200, WIDTH + 600), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5).astype(np.float32)
    soft = np.clip((soft - soft.mean()) * 50 / soft.std() + 120, 16, 235).astype(np.uint8)
    pieces = [soft[t : t + HEIGHT, 5 * t : 5 * t + WIDTH] for t in range(instants)]
    return np.stack(pieces)


def encode_raw(
    frames: np.ndarray, target: Path, *options: str, rate: int = 25, raw: str = "gray"
) -> Path:
    """Raw frames through the ffmpeg program."""
    size = f"{WIDTH}x{HEIGHT}"
    command = [find_ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", raw]
    command += ["-s", size, "-r", str(rate), "-i", "-", *options, str(target)]
    subprocess.run(command, input=frames.tobytes(), check=True, capture_output=True)
    return target


def interlaced(root: Path) -> dict[str, Path]:
    """One second each: by what its label says and what its lines are."""
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p"]
    first = {"tff": "interleave_top", "bff": "interleave_bottom"}
    made = {}
    for order, mode in first.items():
        woven = f"tinterlace={mode},setfield={order}"
        made[order] = encode_raw(
            pan(50), root / f"{order}.mp4", "-vf", woven, *x264, *FIELDS,
            "-x264-params", f"{order}=1:keyint=10", rate=50,
        )  # fmt: skip
    made["mpeg2"] = encode_raw(
        pan(50), root / "mpeg2.mpg", "-vf", "tinterlace=interleave_top,setfield=tff",
        "-c:v", "mpeg2video", "-q:v", "2", "-pix_fmt", "yuv420p", *FIELDS, rate=50,
    )  # fmt: skip
    made["combed_labelled_progressive"] = encode_raw(
        pan(50), root / "lies.mp4", "-vf", "tinterlace=interleave_top,setfield=prog", *x264, rate=50
    )
    made["progressive_labelled_interlaced"] = encode_raw(
        pan(50)[::2], root / "fake.mp4", "-vf", "setfield=tff", *x264, *FIELDS,
        "-x264-params", "tff=1:keyint=10",
    )  # fmt: skip
    made["progressive"] = encode_raw(
        pan(50)[::2], root / "progressive.mp4", *x264, "-x264-params", "keyint=10"
    )
    return made


def perceptual_quantizer(nits: float) -> float:
    """SMPTE ST 2084: the signal, 0 to 1, for a luminance in cd/m2."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (nits / 10_000) ** m1
    return float(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def hdr(root: Path) -> dict[str, Path]:
    """`pq`: bars of `NITS` as HDR10; `hlg`: 75 % and other levels; grey above, reddish below."""
    width = WIDTH // len(NITS)
    levels = {
        "pq": [perceptual_quantizer(n) for n in NITS],
        "hlg": [0.1, 0.25, 0.375, 0.5, 0.65, 0.75, 1.0],
    }
    transfers = {"pq": "smpte2084", "hlg": "arib-std-b67"}
    made = {}
    for kind, signals in levels.items():
        luma = np.repeat([round(64 + 876 * s) for s in signals], width).astype("<u2")
        chroma = np.full((2, HEIGHT // 2, WIDTH // 2), 512, "<u2")
        chroma[:, HEIGHT // 4 :] = np.array([472, 572])[:, None, None]
        frame = np.concatenate([np.tile(luma, HEIGHT), chroma.ravel()])
        transfer = transfers[kind]
        params = f"log-level=error:keyint=5:{HDR10}".replace("smpte2084", transfer)
        made[kind] = encode_raw(
            np.tile(frame, 25), root / f"{kind}.mp4", "-c:v", "libx265", "-preset", "ultrafast",
            "-crf", "6", "-x265-params", params, "-color_primaries", "bt2020", "-color_trc",
            transfer, "-colorspace", "bt2020nc", "-color_range", "tv", raw="yuv420p10le",
        )  # fmt: skip
    return made


def said(path: Path | str) -> str:
    """How the ffmpeg program describes the video stream of a file, matrix of display included."""
    command = [find_ffmpeg(), "-hide_banner", "-i", str(path)]
    text = subprocess.run(command, capture_output=True, check=False).stderr.decode()
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if ": Video:" in line)
    return "\n".join(lines[start : start + 8])


def idet(path: Path | str) -> dict[str, int]:
    """Frames by what FFmpeg's idet takes them for, looking at several: tff, bff, progressive."""
    import re

    text = ffmpeg("-i", path, "-vf", "idet", "-f", "null", "-").stderr.decode()
    found = re.findall(r"Multi frame detection: TFF: *(\d+) BFF: *(\d+) Progressive: *(\d+)", text)
    return dict(zip(("tff", "bff", "progressive"), map(int, found[-1]), strict=True))
