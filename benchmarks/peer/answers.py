"""An answer: what one side makes of one file; and our own side's answers."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.files import run_recipe_on_files
from dj_ops_lib.engine.options import EngineOptions
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.media.access import Access
from dj_ops_lib.operator import Kind
from dj_ops_lib.recipe_file import load_recipe
from dj_ops_lib.registry import operator_class
from dj_ops_lib.rendering import RENDERED, Rendering
from dj_ops_lib.warehouse import Warehouse

from .cases import Case
from .videos import VIDEOS, read_number


@dataclasses.dataclass(frozen=True)
class Piece:
    """A clip that is left of a file: all of it, a part, or an edited one.

    Attributes:
        frames: Pictures in it.
        first: Number of the first picture, None if it carries none.
        last: Number of the last picture.
        size: (width, height) of what is stored, turned as it is shown.
        sound: Whether it has sound.
        level: Root mean square of the sound, 1 is full scale; None if nobody has listened to it.
        thumbnail: Mean brightness of the 8 x 8 parts of the first picture, row by row; None if
            nobody has looked at it.
    """

    frames: int
    first: int | None
    last: int | None
    size: tuple[int, int]
    sound: bool
    level: float | None = None
    thumbnail: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one side makes of one file of one case.

    Attributes:
        kept: Whether anything of it is left.
        error: Why not, if it was a failure.
        statistics: What a filter measured, by the peer's names.
        pieces: What splitters and editors left, in order.
    """

    kept: bool
    error: str | None = None
    statistics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()


def look_at(path: Path) -> Piece:
    """What is in a file, by decoding all of it."""
    level = _level(path)
    frames, first, last, size, thumbnail = 0, None, None, (0, 0), None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0) if container.streams.video else ():
            gray = frame.to_ndarray(format="gray")
            last = read_number(gray)
            if frames == 0:
                upright = np.rot90(gray, frame.rotation // 90)
                first, size, thumbnail = last, upright.shape[::-1], _thumbnail(upright)
            frames += 1
    return Piece(frames, first, last, (size[0], size[1]), level is not None, level, thumbnail)


def _level(path: Path) -> float | None:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return float(np.sqrt(np.mean(np.concatenate(blocks, axis=1) ** 2))) if blocks else 0.0


def _thumbnail(gray: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    rows = np.array_split(gray, 8, axis=0)
    return tuple(round(float(p.mean())) for row in rows for p in np.array_split(row, 8, axis=1))


def ask_ours(case: Case, media: Path, folder: Path, *, rendered: bool) -> dict[str, Answer]:
    """What we do with each file of a case.

    Args:
        case: What is asked.
        media: Folder of the files.
        folder: Where recipe and tables go; cases of one operator may share it.
        rendered: Make the clips that an editor leaves, and look at these; they go to `DJ_RENDERED`.
    """
    folder.mkdir(exist_ok=True)
    recipe_path = folder / "recipe.yaml"
    recipe_path.write_text(case.recipe(folder), encoding="utf-8")
    try:
        recipe = load_recipe(recipe_path)
    except RecipeError as error:
        refusal = str(error).partition(": ")[2]
        return dict.fromkeys(case.files, Answer(kept=False, error=refusal))
    last = recipe.stages[-1].name
    if rendered and operator_class(case.operator).kind is Kind.EDITOR:
        # x264's own default quality, which is what the peer's ffmpeg takes, too.
        recipe, last = dataclasses.replace(recipe, rendering=Rendering(crf=23)), RENDERED
    warehouse = Warehouse(str(folder / "warehouse"))
    options = EngineOptions(Access(()), workers=2)
    paths = [str(media / name) for name in case.files]
    run_recipe_on_files(warehouse, recipe, paths, text="a clip", options=options, replace=True)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in case.files}
    for batch in warehouse.scan(f"files/{recipe.name}/{last}"):
        for row in batch.to_pylist():
            rows[Path(row["video_uri"]).name].append(row)
    return {name: _answer(case.operator, rows[name]) for name in case.files}


def _answer(operator: str, rows: Sequence[Mapping[str, Any]]) -> Answer:
    kept = [row for row in rows if row["keep"]]
    if not rows:
        return Answer(kept=False, error="the file cannot be read")
    error = rows[0]["error"]
    if error:
        return Answer(kept=bool(kept), error=f"{error['class']}: {error['message']}")
    found = operator_class(operator)
    statistics: dict[str, float] = {}
    pieces: list[Piece] = []
    if found.kind is Kind.FILTER:
        names = [c.name for c in found.columns]
        statistics = {n: rows[0][n] for n in names if rows[0][n] is not None}
    elif found.kind in {Kind.SPLITTER, Kind.EDITOR}:
        pieces = [_piece(row) for row in kept]
    pieces.sort(key=lambda p: (p.first or 0, p.last or 0))
    return Answer(bool(kept), None, statistics, tuple(pieces))


def _piece(row: Mapping[str, Any]) -> Piece:
    """What is in a row's own file, if it has one; else what the row says."""
    if row.get("rendered_uri"):
        return look_at(Path(row["rendered_uri"]))
    clip = Clip.from_row(row)
    video = VIDEOS[Path(row["video_uri"]).name.partition(".")[0]]
    coded = video.size[::-1] if video.degrees else video.size
    times = [video.time_s(i) for i in range(video.frames)]
    first = 0 if clip.start_s is None else bisect.bisect_left(times, clip.start_s - 1e-6)
    end = len(times) if clip.end_s is None else bisect.bisect_left(times, clip.end_s - 1e-6)
    numbers = (first, end - 1) if video.numbered else (None, None)
    size = (row["width"], row["height"]) if clip.edits else coded
    return Piece(end - first, *numbers, size, bool(row["has_audio"]))
