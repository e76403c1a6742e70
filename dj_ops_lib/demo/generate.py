"""Writes the whole corpus: videos, annotation files, shard sizes and `truth.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dj_ops_lib.demo.world import FPS, Picture

if TYPE_CHECKING:
    from dj_ops_lib.demo.video import Annotation, Video

ROWS_PER_SHARD = {"msr_vtt": 8, "internvid": 8, "panda70m": 6}
"""Entries in a shard, small enough for at least three shards a source; written into each
source's folder, where the pipeline looks for it."""

Progress = Callable[[str], None]


def generate(root: Path, seed: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Writes the corpus below `root`, laid out as `DJ_DATA`.

    `<source>/` holds the official annotation files and `videos/`, `truth.json` the right answers.
    The same seed gives the same frames and the same annotations everywhere.

    Args:
        root: Folder, made if needed; files of an earlier corpus are overwritten.
        seed: What ids, orders and scores are drawn from.
        progress: Called with the name of each file that has been written.

    Returns:
        What `truth.json` holds.
    """
    from dj_ops_lib.demo.plan import internvid, msr_vtt, panda70m

    plans = {"msr_vtt": msr_vtt(), "internvid": internvid(seed), "panda70m": panda70m(seed)}
    truth: dict[str, Any] = {"seed": seed, "recipe": "t2v", "fps": FPS, "sources": {},
                             "videos": [], "clips": [], "malformed": []}  # fmt: skip
    for source, videos in plans.items():
        _write_videos(root / source, videos, progress or (lambda _: None))
        _add_source(truth, root / source, source, videos)
    text = json.dumps(truth, ensure_ascii=False, indent=1)
    (root / "truth.json").write_text(text, encoding="utf-8")
    return truth


def _write_videos(folder: Path, videos: Sequence[Video], progress: Progress) -> None:
    media = folder / "videos"
    media.mkdir(parents=True, exist_ok=True)
    originals = [video for video in videos if not video.copy_of]
    # Two at a time: drawing and encoding release the interpreter's lock in turns.
    with ThreadPoolExecutor(max_workers=2) as threads:
        for video, _ in zip(
            originals, threads.map(lambda v: _write_video(media, v), originals), strict=True
        ):
            progress(f"{folder.name}/videos/{video.source_id}.mp4")
    for video in videos:
        if video.copy_of:
            shutil.copyfile(media / f"{video.copy_of}.mp4", media / f"{video.source_id}.mp4")
            progress(f"{folder.name}/videos/{video.source_id}.mp4")


def _write_video(media: Path, video: Video) -> None:
    path = media / f"{video.source_id}.mp4"
    path.unlink(missing_ok=True)
    match video.fate:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "text":
            path.write_text("<html><body>404: this video is gone</body></html>\n" * 20)
        case "whole":
            _encode(path, video)
        case "truncated":
            _encode(path, video)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) * 6 // 10])  # the index at the end is gone


def _encode(path: Path, video: Video) -> None:
    from dj_ops_lib.demo.encode import encode

    encode(path, pictures(video), video.encoding)


def pictures(video: Video) -> Iterable[Picture]:
    """All frames of a video as they are encoded."""
    from dj_ops_lib.demo.encode import letterboxed, shrunk, titled, turned
    from dj_ops_lib.demo.world import draw

    width, height = video.drawn_size
    frames: Iterable[Picture] = (f for shot in video.shots for f in draw(shot, width, height))
    if video.encoding.rotation:
        frames = turned(frames, video.encoding.rotation // 90)
    elif (width, height) != (video.width, video.height):
        frames = shrunk(frames, video.width, video.height)
    if video.bar:
        frames = letterboxed(frames, video.bar)
    return titled(frames, video.titles) if video.titles else frames


def _add_source(truth: dict[str, Any], folder: Path, source: str, videos: list[Video]) -> None:
    from dj_ops_lib.demo.annotations import WRITERS
    from dj_ops_lib.demo.truth import clip_truth, video_truth

    rows_per_shard = ROWS_PER_SHARD[source]
    (folder / "source.yaml").write_text(f"rows_per_shard: {rows_per_shard}\n", encoding="utf-8")
    entries = sorted(WRITERS[source](folder, videos, truth["seed"]), key=_by_file_and_row)
    shards = _shards([(entry.file, entry.row) for entry in entries], rows_per_shard)
    truth["sources"][source] = {
        "rows_per_shard": rows_per_shard,
        "entries": len(entries),
        "shards": sorted(set(shards.values())),
        "annotation_files": sorted({entry.file for entry in entries}, reverse=True),
    }
    seen: dict[tuple[str, str, int, int], list[dict[str, Any]]] = {}
    for entry in entries:
        shard = shards[entry.file, entry.row]
        place = {
            "source": source,
            "shard": shard,
            "annotation_file": entry.file,
            "annotation_row": entry.row,
        }
        if entry.video is None:
            error = {"stage": "raw", "keep": False, "error": "malformed_annotation"}
            truth["malformed"].append({**place, "problem": entry.problem, "outcome": error})
            continue
        for clip in entry.clips:
            key = {**place, "source_id": entry.video.source_id, **_annotated(source, clip)}
            file = entry.video.copy_of or entry.video.source_id
            copies = seen.setdefault((shard, file, clip.start, clip.end), [])
            truth["clips"].append(clip_truth(entry.video, clip.start, clip.end, key, copies))
            copies.append(key)
    for video in videos:
        file = f"{source}/videos/{video.source_id}.mp4"
        truth["videos"].append(video_truth(source, video, file))


def _by_file_and_row(entry: Any) -> tuple[bool, str, int]:
    # MSR-VTT's training file comes before its test file, as in the reader's list.
    return not entry.file.startswith("train"), entry.file, entry.row


def _shards(places: list[tuple[str, int]], rows_per_shard: int) -> dict[tuple[str, int], str]:
    """The shard of each entry: every file begins a new one."""
    shards: dict[tuple[str, int], str] = {}
    files: dict[str, int] = {}
    current = -1
    for place in places:
        count = files.get(place[0], 0)
        current += count % rows_per_shard == 0
        files[place[0]] = count + 1
        shards[place] = f"{current:05d}"
    return shards


def _annotated(source: str, clip: Annotation) -> dict[str, float | None]:
    """The span as the annotation says; MSR-VTT's clips are whole files."""
    if source == "msr_vtt":
        return {"annotated_start_s": None, "annotated_end_s": None}
    return {"annotated_start_s": clip.start / FPS, "annotated_end_s": clip.end / FPS}
