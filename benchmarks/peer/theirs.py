"""The peer's answers: its program, run once for all recipes, and what it wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av.error

from .answers import Answer, look_at
from .cases import Case
from .environment import run_in_peer

LIMIT_S = 60
"""Seconds that the peer may take for one case, imports apart; it takes about two."""

PROGRAM = """
import json, signal, sys

class TooLong(BaseException):
    pass

def stop(number, frame):
    raise TooLong(f"not finished after {limit} s")

def main():
    global limit
    import datasets, torch, yaml
    from loguru import logger
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops import load_ops

    logger.remove()
    datasets.disable_caching()
    datasets.disable_progress_bars()
    jobs, result, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGALRM, stop)
    found = []
    for job in json.load(open(jobs)):
        samples = []
        media = "audios" if job["sound"] else "videos"
        for name, path in zip(job["names"], job["paths"]):
            text = "<__dj__video> a clip <|__dj__eoc|>"
            samples.append({"text": text, "name": name, media: [path]})
        signal.alarm(limit)
        try:
            operators = load_ops(yaml.safe_load(open(job["recipe"]))["process"])
            samples, stats = NestedDataset.from_list(samples), {}
            if operators[0]._name.endswith("_filter"):
                samples = operators[0].run(samples, reduce=False)
                stats = {row["name"]: row["__dj__stats__"] for row in samples}
            samples = samples.process(operators, open_monitor=False)
            rows = [[row["name"], row[media]] for row in samples]
            found.append({"rows": rows, "stats": stats})
        except (Exception, TooLong) as error:
            found.append({"error": f"{type(error).__name__}: {error}"})
        finally:
            signal.alarm(0)
    json.dump(found, open(result, "w"))

if __name__ == "__main__":
    main()
"""


def ask_peer(
    python: str, cases: Sequence[Case], media: Path, folder: Path
) -> list[dict[str, Answer]]:
    """What the peer does with each file of each case; its files lie in `folder`.

    Args:
        python: Its interpreter.
        cases: What is asked.
        media: Folder of the files.
        folder: Where recipes, pieces and results go.
    """
    jobs = []
    for number, case in enumerate(cases):
        recipe = folder / f"{number:03d}.yaml"
        recipe.write_text(case.recipe(folder / f"made_{number:03d}"), encoding="utf-8")
        job: dict[str, Any] = {"recipe": str(recipe), "names": case.files}
        job["paths"] = [str(media / name) for name in case.files]
        job["sound"] = case.operator.startswith("audio_")
        jobs.append(job)
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    result = folder / "result.json"
    run_in_peer(python, PROGRAM, folder / "jobs.json", result, LIMIT_S, folder=folder)
    found = json.loads(result.read_text(encoding="utf-8"))
    return [
        {name: _answer(case, name, answered, media) for name in case.files}
        for case, answered in zip(cases, found, strict=True)
    ]


def _answer(case: Case, name: str, answered: dict[str, Any], media: Path) -> Answer:
    if "error" in answered:
        return Answer(kept=False, error=answered["error"])
    made = [paths for of, paths in answered["rows"] if of == name]
    if case.operator.endswith("_filter"):
        stats = answered["stats"].get(name, {})
        return Answer(bool(made), statistics={k: v[0] for k, v in stats.items() if v})
    if case.operator.endswith("_deduplicator"):
        return Answer(bool(made))
    paths = [Path(path) for row in made for path in row]
    if not all(path.exists() for path in paths):
        return Answer(kept=False, error="a path to a file that does not exist")
    try:
        pieces = [look_at(path) for path in paths]
    except av.error.FFmpegError:
        return Answer(kept=True, error="a file that cannot be read")
    pieces.sort(key=lambda piece: (piece.first or 0, piece.last or 0))
    return Answer(bool(made), pieces=tuple(pieces))
