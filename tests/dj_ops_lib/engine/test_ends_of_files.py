"""Every picture of a file is in one of its pieces, whatever the header says about its end."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import polars as pl
import pyarrow as pa
import pytest
from engine_workshop import Workshop

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.files import run_recipe_on_files
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.engine.single import run_operator
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.ffmpeg import find_ffmpeg
from dj_ops_lib.media.render import render
from dj_ops_lib.operator import MOST_PIECES, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.rendering import Rendering
from dj_ops_lib.warehouse import Warehouse

HERE = Path(__file__).parent
LATE = HERE / "ends_after_the_header"
UNEVEN = HERE / "uneven_frame_rates"

SCENE = "video_split_by_scene_mapper"
DURATION = "video_split_by_duration_mapper"
KEYS = "video_split_by_key_frame_mapper"
INTEGRITY = "video_integrity_filter"

SPLITS: dict[str, dict[str, Any]] = {
    SCENE: {"threshold": 12.0, "min_scene_len": 5},
    DURATION: {"split_duration": 2.5, "keep_original_sample": False},
    KEYS: {"keep_original_sample": False},
}


CUT = [
    *(
        ("vfr.mp4", SCENE),
        ("vfr.mp4", DURATION),
        ("longhold.mp4", SCENE),
        ("longhold.mp4", DURATION),
    ),
    *(("program.mpg", DURATION), ("program.mpg", KEYS)),
    *(("h264.mpg", DURATION), ("h264.mpg", KEYS)),
    *(("short.avi", SCENE), ("short.avi", DURATION), ("short_h264.avi", DURATION)),
    *(("recorded.avi", KEYS), ("uncounted.avi", DURATION)),
]
"""Files, and splitters that find something in them: two have one key frame, one no scene change."""


def operators(**parameters: dict[str, Any]) -> tuple[Operator, ...]:
    return tuple(make_operator(name, values) for name, values in parameters.items())


def run(folder: Path, path: Path, *stages: Operator) -> list[dict[str, Any]]:
    """The rows that a recipe of one stage makes of one file."""
    warehouse = Warehouse(str(folder / "tables"))
    recipe = Recipe("r", (Stage("cleaned", stages),))
    run_recipe_on_files(warehouse, recipe, [str(path)])
    batches = [b for s in warehouse.shards("files/r/cleaned")
               for b in warehouse.read_shard("files/r/cleaned", s)]  # fmt: skip
    return pl.DataFrame(pa.Table.from_batches(batches)).sort("start_s").to_dicts()


def numbers(path: str) -> list[int]:
    """The numbers on the pictures: twelve blocks, the least significant bit on the left."""
    with av.open(path) as container:
        pictures = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    return [sum(int(p[8, 10 + 12 * k] > 128) << k for k in range(12)) for p in pictures]


H264 = ["libx264", "-bf", "3", "-pix_fmt", "yuv420p"]

PROGRAMS = {
    "program.mpg": ["mpeg2video", "-q:v", "2", "-bf", "2"],
    "h264.mpg": H264,
    "short.avi": ["mpeg4", "-q:v", "2", "-bf", "2"],
    "short_h264.avi": H264,
    "recorded.avi": ["mpeg4", "-q:v", "2"],
    "uncounted.avi": H264,
}
"""Files that are made here: what ffmpeg is told after `-c:v`."""

AVI = {
    "short.avi": (20, True),
    "short_h264.avi": (20, True),
    "recorded.avi": (100, False),
    "uncounted.avi": (0, False),
}
"""How many frames the header of an AVI counts, and whether its index is left: a recorder that is
interrupted writes neither."""


def spoil(path: Path, frames: int, *, indexed: bool) -> None:
    """Change what an AVI says about its end: `strh.dwLength`, `avih.dwTotalFrames`, `idx1`."""
    data = bytearray(path.read_bytes())
    for chunk, field in ((b"strh", 32), (b"avih", 16)):
        struct.pack_into("<I", data, data.find(chunk) + 8 + field, frames)
    path.write_bytes(data if indexed else data[: data.rfind(b"idx1")])


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of 100 numbered pictures, of which the header declares the first ones only."""
    folder = tmp_path_factory.mktemp("late")
    made = {folder / name: codec for name, codec in PROGRAMS.items()}
    command = [find_ffmpeg(), "-v", "error", "-i", str(UNEVEN / "film.mp4"), "-an", "-r", "25"]
    command += ["-fps_mode", "cfr", "-frames:v", "100", "-vf", "setpts=N/25/TB"]
    for path, codec in made.items():
        subprocess.run([*command, "-c:v", *codec, "-g", "25", str(path)], check=True)
        if path.name in AVI:
            frames, indexed = AVI[path.name]
            spoil(path, frames, indexed=indexed)
    return lambda name: folder / name if name in PROGRAMS else LATE / name


@pytest.mark.parametrize(("name", "splitter"), CUT)
def test_pieces_together_hold_every_picture(
    name: str, splitter: str, late: Callable[[str], Path], tmp_path: Path
) -> None:
    path = late(name)
    split = operators(**{splitter: SPLITS[splitter]}, **{INTEGRITY: {}})
    rows = run(tmp_path, path, *split)
    assert [row["error"] for row in rows] == [None] * len(rows)
    assert len(rows) > 1
    held = (3.92, 11.96) if name == "longhold.mp4" else (9.0, 9.0)  # of picture 98
    still = [r for r in rows if r["start_s"] > held[0] and r["end_s"] < held[1]]
    counted = sum(row["video_decoded_frames"] for row in rows if row not in still)
    assert counted == 100
    assert all(row["keep"] for row in rows)
    shown: list[int] = []
    for row in rows:
        done = render(
            Clip.from_row(row), tmp_path, Access((str(path.parent),)), Rendering(preset="ultrafast")
        )
        found = numbers(done.uri)
        assert len(found) == row["video_decoded_frames"]
        shown += found if row not in still else []
    assert shown == list(range(100))


@pytest.mark.parametrize("container", ["ts", "flv", "mkv", "mp4"])
def test_a_last_piece_with_a_held_picture_is_whole_in_every_container(
    container: str, tmp_path: Path
) -> None:
    """Picture 98 is held until 11.96 s; MPEG-TS and FLV do not say how long 99 is shown."""
    path = tmp_path / f"held.{container}"
    command = [find_ffmpeg(), "-v", "error", "-i", str(UNEVEN / "film.mp4"), "-an", "-vf"]
    command += ["setpts='if(lt(N,99),N/25,11.96)/TB'", "-frames:v", "100", "-enc_time_base"]
    command += ["1:1000", "-fps_mode", "passthrough", "-c:v", *H264, str(path)]
    subprocess.run(command, check=True)
    cut = operators(**{DURATION: {"split_duration": 2.9, "keep_original_sample": False}})
    *_, last = run(tmp_path, path, *cut, *operators(**{INTEGRITY: {}}))
    # Without a length of its own, 99 is shown as long as a picture of the film: 1/23.976 s.
    assert (last["start_s"], last["end_s"]) == pytest.approx((11.6, 12.0), abs=3e-3)
    assert last["video_decoded_ratio"] == pytest.approx(1.0, abs=3e-3)  # Matroska: whole ms
    assert last["rejected_by"] is None
    done = render(
        Clip.from_row(last), tmp_path, Access((str(tmp_path),)), Rendering(preset="ultrafast")
    )
    assert numbers(done.uri)[-1] == 99


def test_an_annotated_span_is_held_to_the_last_picture_not_to_the_header(
    workshop: Workshop,
) -> None:
    (workshop.videos / "v.mp4").write_bytes((LATE / "longhold.mp4").read_bytes())
    spans = [(3.0, 99.0), (11.0, 12.0), (13.0, 14.0)]
    workshop.raw("0", [{"source_id": "v", "start_s": a, "end_s": b} for a, b in spans])
    workshop.probe()
    held = [(r["end_s"], r["error"] and r["error"]["class"]) for r in workshop.rows("toys/media")]
    assert held == [(12.0, None), (12.0, None), (14.0, "span_out_of_range")]
    workshop.run(*operators(**{INTEGRITY: {}}))
    counted = [r["video_decoded_frames"] for r in workshop.rows()]
    assert counted == [25, 1]  # pictures 75 ... 99, and 99


@pytest.mark.parametrize(
    ("name", "split"),
    [("film.mp4", 0.68), ("film.mp4", 0.7), ("vfr.mkv", 0.7), ("dvdvfr.mkv", 0.7)],
)
def test_nothing_healthy_is_rejected_because_of_an_estimate(
    name: str, split: float, tmp_path: Path
) -> None:
    cut = operators(**{DURATION: {"split_duration": split}, INTEGRITY: {}})
    rows = run(tmp_path, UNEVEN / name, *cut)
    assert [row["rejected_by"] for row in rows] == [None] * len(rows)
    whole, *pieces = [r for r in rows if r["start_s"] is None] + [r for r in rows if r["start_s"]]
    assert whole["num_frames"] == (100 if name == "film.mp4" else None)
    assert whole["video_decoded_frames"] == 100
    assert {piece["num_frames"] for piece in pieces} == {None}
    rate = whole["fps"]
    assert all(p["estimated_frames"] == round(p["duration_s"] * rate) for p in pieces)


def test_a_clip_in_which_no_picture_begins_is_the_one_on_the_screen(tmp_path: Path) -> None:
    """Picture 98 of this file is shown from 3.92 s to 11.96 s; all measure it, and it renders."""
    clip = Clip("c", "s", "0", video_uri=str(LATE / "longhold.mp4"), media_id="m", start_s=6.0)
    for end_s, start_s in ((8.5, 6.0), (6.01, 6.0), (11.96, 11.95)):
        part = dataclasses.replace(clip, start_s=start_s, end_s=end_s)
        done = render(part, tmp_path, Access((str(LATE),)), Rendering(preset="ultrafast"))
        assert numbers(done.uri) == [98]
        with av.open(done.uri) as container:
            assert container.duration / av.time_base == pytest.approx(end_s - start_s, abs=1e-3)


def test_the_last_picture_is_black_as_long_as_it_is_shown(tmp_path: Path) -> None:
    """Two pictures a second, then twenty: the average rate says nothing about the last one."""
    path = tmp_path / "uneven.mp4"
    lasting = [0.5] * 4 + [0.05] * 20  # the last 20 are black: 1 s of 3 s
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"bf": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(len(lasting)):
            frame = av.VideoFrame(64, 64, "gray")
            frame.planes[0].update(bytes([200 if number < 4 else 0]) * frame.planes[0].buffer_size)
            frame.pts, frame.time_base = round(sum(lasting[:number]) * 20), Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (outcome,) = run_operator(*operators(video_black_freeze_filter={}), [str(path)])
    assert outcome["columns"]["video_black_ratio"] == pytest.approx(1 / 3, abs=1e-3)


def test_too_many_pieces_of_a_clip_are_refused_by_number(tmp_path: Path) -> None:
    cut = operators(**{DURATION: {"split_duration": 1e-6}})
    (row,) = run(tmp_path, LATE / "longhold.mp4", *cut)
    assert row["error"]["class"] == "too_many_pieces"
    assert "12000000 pieces" in row["error"]["message"]
    assert str(MOST_PIECES) in row["error"]["message"]


def test_a_deadline_has_a_ceiling_whatever_a_file_claims() -> None:
    options = EngineOptions(Access(()))
    assert options.deadline(600) == 3000
    assert options.deadline(1e12) == options.deadline_most_s
    assert EngineOptions(Access(()), deadline_s=1e5).deadline(1e12) == 1e5
