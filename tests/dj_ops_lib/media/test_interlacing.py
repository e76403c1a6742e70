"""Interlaced pictures are found by their lines, and made progressive as an edit.

Truth: how each video was woven from instants (`conventions_media`), and the ffmpeg program's idet.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conventions_media import HEIGHT, WIDTH, encode_raw, idet, interlaced, pan, said
from media_truth import Seen, clip, pixels, psnr, remux

from dj_ops_lib.clip import Clip, Edit
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.needs import Every, Frames, Uniform
from dj_ops_lib.recipe_file import make_operator
from dj_ops_lib.rendering import Rendering

FILTER, MAPPER = "video_interlace_filter", "video_deinterlace_mapper"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("interlaced")
    made = interlaced(root)
    for kind, degrees in {"turned": -90, "upside_down": 180}.items():
        made[kind] = root / f"{kind}.mp4"
        remux(made["tff"], made[kind], degrees=degrees)
    still = np.repeat(pan(1), 25, axis=0)
    made["still"] = encode_raw(still, root / "still.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    falling = np.full((25, HEIGHT, WIDTH), 40, np.uint8)
    for t in range(25):
        falling[t, 3 * t : 3 * t + 20, 100:200] = 200
    made["falling"] = encode_raw(
        falling, root / "falling.mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p"
    )
    halves = np.concatenate([pan(50)[::2], _woven(pan(60))[:25]])
    made["half"] = encode_raw(
        halves, root / "half.mp4", "-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p"
    )
    return made


def _woven(instants: np.ndarray) -> np.ndarray:
    """Even lines of an instant, odd ones of the next."""
    first, second = instants[::2], instants[1::2]
    even = np.arange(HEIGHT)[None, :, None] % 2 == 0
    return np.where(even, first, second)


def dj_op(*arguments: str) -> list[dict]:
    command = [sys.executable, "-c", "from dj_ops_lib.cli import app; app()", "op", *arguments]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_lines_tell_and_labels_do_not(made: dict[str, Path]) -> None:
    wanted = {
        "tff": 1.0,
        "bff": 1.0,
        "mpeg2": 1.0,
        "turned": 1.0,
        "upside_down": 1.0,
        "combed_labelled_progressive": 1.0,
        "progressive_labelled_interlaced": 0.0,
        "progressive": 0.0,
        "still": 0.0,
        "falling": 0.0,
    }
    kinds = [*wanted, "half"]
    rows = dict(zip(kinds, dj_op(FILTER, *(str(made[k]) for k in kinds)), strict=True))
    found = {kind: row["columns"]["video_interlaced_ratio"] for kind, row in rows.items()}
    ends = {kind: pytest.approx(ratio, abs=0.05) for kind, ratio in wanted.items()}
    assert {kind: found[kind] for kind in wanted} == ends
    assert sum(idet(made["falling"]).values()) > idet(made["falling"])["progressive"]  # why combs
    # The picture at the cut from one half to the other differs from both.
    assert found["half"] == pytest.approx(0.5, abs=0.1)
    counts = idet(made["half"])
    assert found["half"] == pytest.approx(counts["tff"] / sum(counts.values()), abs=0.05)
    assert {kind for kind, row in rows.items() if not row["keep"]} == {
        *(kind for kind, ratio in wanted.items() if ratio), "half",
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["tff", "bff", "combed_labelled_progressive", "turned", "upside_down"]
)
def test_the_mapper_shows_and_renders_the_instants(
    kind: str, made: dict[str, Path], tmp_path: Path
) -> None:
    access = Access(roots=(str(made[kind].parent), str(tmp_path)))
    edited, seen = _edited(made[kind], access), Seen()
    decode(edited, [(Frames(Every(), None, "gray"), seen)], access)
    measured = _ratio(edited, access)
    assert measured < 0.2
    frames = np.stack([f.image for f in seen.frames])
    rows = {"turned": lambda a: np.rot90(a, 1, (1, 2)), "upside_down": lambda a: a[:, ::-1, ::-1]}
    upright = rows.get(kind, lambda a: a)(frames)
    truth = pan(50)[::2]
    assert psnr(upright[1:-1], truth[1:-1]) > 30
    done = render(edited, tmp_path / "files", access, Rendering(preset="ultrafast", crf=6))
    assert "progressive" in said(done.uri).splitlines()[0]
    height, width = frames.shape[1:]
    assert psnr(pixels(Path(done.uri), width, height)[..., 1], frames) > 35


def _edited(path: Path, access: Access, **parameters: object) -> Clip:
    """The clip of a file with the edits of the mapper."""
    header = dataclasses.asdict(probe(str(path), access))
    whole = dataclasses.replace(clip(path), **header)
    whole = dataclasses.replace(whole, columns={"video_interlaced_ratio": _ratio(whole, access)})
    result = make_operator(MAPPER, parameters).measure(whole)
    assert (result.width, result.height) == (whole.width, whole.height)
    return dataclasses.replace(whole, edits=result.edits)


def _ratio(piece: Clip, access: Access) -> float:
    operator = make_operator(FILTER, {})
    observer = operator.observe(piece)
    decode(piece, [(operator.needs(), observer)], access)
    return float(observer.result()["video_interlaced_ratio"])


def test_the_mapper_leaves_progressive_pictures_alone(
    made: dict[str, Path], tmp_path: Path
) -> None:
    for kind in ("progressive", "progressive_labelled_interlaced"):
        access = Access(roots=(str(made[kind].parent),))
        seen = Seen()
        edited = _edited(made[kind], access, min_ratio=0)
        decode(edited, [(Frames(Every(), None, "gray"), seen)], access)
        plain = Seen()
        decode(clip(made[kind]), [(Frames(Every(), None, "gray"), plain)], access)
        for a, b in zip(seen.frames, plain.frames, strict=True):
            assert np.abs(a.image.astype(int) - b.image).max() <= 1, kind


def test_parameters_choose_which_clips_and_pictures_are_changed(made: dict[str, Path]) -> None:
    access = Access(roots=(str(made["tff"].parent),))
    combed, plain = made["combed_labelled_progressive"], made["progressive"]
    assert _ratio(_edited(combed, access, pictures="all", parity="tff"), access) < 0.2
    assert _edited(plain, access).edits == _edited(made["half"], access, min_ratio=0.9).edits == ()
    edits = _edited(plain, access, min_ratio=0, pictures="all", filter="yadif").edits
    assert [edit.filter for edit in edits] == ["yadif", "setparams"]


def test_few_pictures_of_a_clip_are_those_of_all(made: dict[str, Path]) -> None:
    """Neighbours are needed, so every picture goes through, whatever a plan asks for."""
    access = Access(roots=(str(made["tff"].parent),))
    edited, all_of_them, few = _edited(made["tff"], access), Seen(), Seen()
    decode(edited, [(Frames(Every()), all_of_them)], access)
    decode(edited, [(Frames(Uniform(3)), few)], access)
    assert len(few.frames) == 3
    by_time = {f.pts_s: f.image for f in all_of_them.frames}
    for frame in few.frames:
        assert (by_time[frame.pts_s] == frame.image).all()


def test_the_edit_is_allowed_in_the_wrapped_mapper_too() -> None:
    operator = make_operator("video_ffmpeg_wrapped_mapper", {"filter_name": "idet"})
    assert operator.measure(Clip("c", "s", "0", width=64, height=48)).edits == (Edit("idet"),)
