"""The corpus's annotation files, written as the three datasets' authors write theirs."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dj_ops_lib.demo.captions import caption, sentence
from dj_ops_lib.demo.plan import TRAIN_VIDEOS
from dj_ops_lib.demo.video import Annotation, Video
from dj_ops_lib.demo.world import FPS, Shot

SENTENCES = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry as written.

    Attributes:
        file: Name of the annotation file.
        row: 1-based line, CSV record or array element.
        video: Its video; None for the malformed entry.
        clips: The clips that it describes.
        problem: What is wrong with it on purpose.
    """

    file: str
    row: int
    video: Video | None
    clips: tuple[Annotation, ...] = ()
    problem: str | None = None


def write_msr_vtt(folder: Path, videos: Sequence[Video], seed: int) -> list[Entry]:
    """Two JSON files of two tables each; one video of the training file has no id."""
    drawn = random.Random(f"msr_vtt {seed}")  # noqa: S311
    malformed = {"category": 3, "url": "", "start time": 1.0, "end time": 4.0, "split": "train"}
    train, test = videos[:TRAIN_VIDEOS], videos[TRAIN_VIDEOS:]
    name = "train_val_videodatainfo.json"
    entries = _write_tables(folder / name, train, "train", drawn, [malformed])
    entries.append(Entry(name, len(train) + 1, None, problem="no video_id"))
    return entries + _write_tables(folder / "test_videodatainfo.json", test, "test", drawn, [])


def _write_tables(
    path: Path,
    videos: Sequence[Video],
    split: str,
    drawn: random.Random,
    malformed: list[dict[str, Any]],
) -> list[Entry]:
    listed = []
    sentences = []
    for number, video in enumerate(videos):
        begin = round(drawn.uniform(0, 200), 2)
        listed.append(
            {
                "category": drawn.randrange(20),
                "url": f"https://www.youtube.com/watch?v=demo{split}{number:03d}",
                "video_id": video.source_id,
                "start time": begin,
                "end time": round(begin + video.duration_s, 2),
                "split": split,
                "id": number,
            }
        )
        given = list(video.captions)
        given += [sentence(video.shots, v) for v in range(SENTENCES - len(given))]
        sentences += [{"caption": text, "video_id": video.source_id} for text in given]
    # The official files mix the sentences of all videos; those of one stay in order here, so
    # that its first caption is known.
    order = [s["video_id"] for s in sentences]
    drawn.shuffle(order)
    queues = {video.source_id: [s for s in sentences if s["video_id"] == video.source_id]
              for video in videos}  # fmt: skip
    mixed = [{**queues[video].pop(0), "sen_id": n} for n, video in enumerate(order)]
    info = {"contributor": "demo", "data_created": "2026-11-22", "version": "1.0", "year": "2026"}
    document = {"info": info, "videos": listed + malformed, "sentences": mixed}
    path.write_text(json.dumps(document), encoding="utf-8")
    whole = {video.source_id: (Annotation(0, video.frames),) for video in videos}
    return [Entry(path.name, n + 1, v, whole[v.source_id]) for n, v in enumerate(videos)]


def write_internvid(folder: Path, videos: Sequence[Video], seed: int) -> list[Entry]:
    """One JSON object a line; the twenty-second is cut off."""
    drawn = random.Random(f"internvid {seed}")  # noqa: S311
    name = "InternVid-10M-flt.jsonl"
    lines: list[str] = []
    entries: list[Entry] = []
    for video in videos:
        for clip in video.annotations:
            if len(lines) == 21:
                lines.append('{"YoutubeID": "dQw4w9WgXcQ", "Start_timestamp": "00:00')
                entries.append(Entry(name, len(lines), None, problem="cut off"))
            # Whole seconds are written without a fraction in every other line, as they occur.
            stamp = _clock if len(lines) % 2 else _clock_without_zero_fraction
            line = {
                "YoutubeID": video.source_id,
                "Start_timestamp": stamp(clip.start),
                "End_timestamp": stamp(clip.end),
                "Caption": _caption(video, clip),
                "Aesthetic_Score": round(drawn.uniform(3, 6), 10),
                "UMT_Score": round(drawn.uniform(0.2, 0.5), 10),
            }
            lines.append(json.dumps(line, ensure_ascii=False))
            entries.append(Entry(name, len(lines), video, (clip,)))
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return entries


def write_panda70m(folder: Path, videos: Sequence[Video], seed: int) -> list[Entry]:
    """One record a video, lists as Python writes them; the last has a caption too few."""
    drawn = random.Random(f"panda70m {seed}")  # noqa: S311
    name = "panda70m_training_2m.csv"
    entries: list[Entry] = []
    columns = ("videoID", "url", "timestamp", "caption", "matching_score",
               "desirable_filtering", "shot_boundary_detection")  # fmt: skip
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for video in videos:
            clips = video.annotations
            record = _record(video.source_id, clips, drawn)
            record["caption"] = str([_caption(video, clip) for clip in clips])
            writer.writerow([record[column] for column in columns])
            entries.append(Entry(name, len(entries) + 1, video, clips))
        broken = _record("dQw4w9WgXcQ", (Annotation(0, 40), Annotation(40, 80)), drawn)
        broken["caption"] = str(["A caption for one of two clips."])
        writer.writerow([broken[column] for column in columns])
        entries.append(Entry(name, len(entries) + 1, None, problem="lists differ in length"))
    return entries


def _record(video_id: str, clips: Sequence[Annotation], drawn: random.Random) -> dict[str, str]:
    pairs = [[_clock(clip.start)[1:], _clock(clip.end)[1:]] for clip in clips]
    return {
        "videoID": video_id,
        "url": f"https://www.youtube.com/watch?v={video_id}",
        "timestamp": str(pairs),
        "matching_score": str([round(drawn.uniform(0.3, 0.6), 10) for _ in clips]),
        "desirable_filtering": str(["desirable" for _ in clips]),
        "shot_boundary_detection": str([[pair] for pair in pairs]),
    }


def _caption(video: Video, clip: Annotation) -> str:
    seen: list[Shot] = [s for a, b, s in video.takes() if a < clip.end and b > clip.start]
    return clip.caption or caption(seen or list(video.shots))


def _clock(frame: int) -> str:
    milliseconds = frame * 1000 // FPS
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def _clock_without_zero_fraction(frame: int) -> str:
    return _clock(frame).removesuffix(".000")


WRITERS: dict[str, Callable[[Path, Sequence[Video], int], list[Entry]]] = {
    "msr_vtt": write_msr_vtt,
    "internvid": write_internvid,
    "panda70m": write_panda70m,
}
"""How each dataset's files are written, by source."""
