"""Small videos with awkward timing, made once, and an ffmpeg that tells what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_truth import ffmpeg, remux

from dj_ops_lib.media.access import Access

SOURCE = ["-f", "lavfi", "-i", "testsrc2=size=160x96:rate=24:duration=5"]
TONE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=5"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p"]


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by what is special about them."""
    root = tmp_path_factory.mktemp("videos")
    made = {name: root / f"{name}.mp4" for name in ("cfr", "vfr", "open_gop", "edit_list", "late")}
    made |= {name: root / f"{name}.mp4" for name in ("rotated", "mirrored", "sar", "fragmented")}
    made |= {name: root / f"{name}.mp4" for name in ("one_frame", "long_gop", "slides", "silent")}
    made["ten_bit"] = root / "ten_bit.mkv"
    for suffix in ("mkv", "ts", "flv", "avi"):
        made[suffix] = root / f"cfr.{suffix}"
    made["webm"] = root / "vp8.webm"
    cfr = made["cfr"]
    ffmpeg(*SOURCE, *TONE, *X264, "-g", "30", "-c:a", "aac", "-movflags", "faststart", cfr)
    ffmpeg(*SOURCE, *X264, "-g", "40", "-vf", "select='not(mod(n\\,3))+lt(n\\,30)'",
           *passthrough(), made["vfr"])  # fmt: skip
    ffmpeg(*SOURCE, *X264, "-preset", "veryfast", "-x264-params",
           "open-gop=1:keyint=24:min-keyint=24:bframes=3:scenecut=0", made["open_gop"])  # fmt: skip
    ffmpeg("-ss", "1.9", "-i", cfr, "-c", "copy", made["edit_list"])
    ffmpeg("-i", cfr, "-c", "copy", "-output_ts_offset", "3", "-avoid_negative_ts", "disabled",
           "-use_editlist", "0", made["late"])  # fmt: skip
    ffmpeg(*SOURCE, *X264, "-g", "500", "-sc_threshold", "0", made["long_gop"])
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=1/2:duration=10", *X264, made["slides"])
    ffmpeg(*SOURCE, *X264, "-frames:v", "1", made["one_frame"])
    ffmpeg(*SOURCE, *X264, "-g", "30", "-vf", "setsar=4/3", made["sar"])
    ffmpeg("-i", cfr, "-c", "copy", "-an", made["silent"])
    ffmpeg("-i", cfr, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", made["fragmented"])
    ffmpeg(*SOURCE, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
           made["ten_bit"])  # fmt: skip
    for suffix in ("mkv", "ts", "flv", "avi"):
        # Without a rate, ffmpeg 9 writes an AVI of 600 frames a second, most of them empty.
        rate = ["-r", "24"] if suffix == "avi" else []
        ffmpeg("-i", cfr, "-c", "copy", *rate, made[suffix])
    ffmpeg(*SOURCE, *TONE, "-c:v", "libvpx", "-deadline", "realtime", "-g", "48", "-c:a", "libopus",
           made["webm"])  # fmt: skip
    made |= {"hevc": root / "hevc.mp4", "divx": root / "divx.avi", "mpeg": root / "mpeg2.mpg"}
    hevc = "open-gop=1:keyint=24:min-keyint=24:bframes=3:log-level=error"
    ffmpeg(*SOURCE, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", hevc, made["hevc"])
    ffmpeg(*SOURCE, "-c:v", "mpeg4", "-g", "20", "-bf", "2", made["divx"])
    ffmpeg(*SOURCE, "-c:v", "mpeg2video", "-g", "15", "-bf", "2", made["mpeg"])
    made["intra_refresh"] = root / "intra_refresh.mp4"
    ffmpeg(*SOURCE, *X264, "-g", "30", "-intra-refresh", "1", made["intra_refresh"])
    remux(made["silent"], made["rotated"], degrees=-90)
    remux(made["silent"], made["mirrored"], degrees=90, hflip=True)
    return made


def passthrough() -> list[str]:
    """Options that keep each frame's time."""
    return ["-fps_mode", "passthrough", "-enc_time_base", "1/24"]


@pytest.fixture(scope="session")
def access(videos: dict[str, Path]) -> Access:
    """May read the generated files."""
    return Access(roots=(str(videos["cfr"].parent),))
