"""Every operator that Data-Juicer has, too: the same recipes on both, and what comes out.

    python benchmarks/data_juicer_operators.py [--env DIR] [--only WORD] [--write]

Both sides run the same recipe files, an operator and a set of parameters each,
over the same generated videos (`peer/cases.py`, `peer/videos.py`). Compared are
kept clips, statistics, the frames of pieces, and the size, sound and picture of
edited clips, ours rendered. Ends with 1 if something differs that is no
documented exception (`peer/exceptions.py`), or if an exception explains nothing.
`--write` stores the table, and the peer's answers for the tests, if all is explained.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from peer.answers import Answer, ask_ours
from peer.cases import WITHOUT_PEER, Case, cases, file_names
from peer.comparison import Difference, differences
from peer.environment import VERSION, add_env_argument, peer_python
from peer.exceptions import KNOWN, Known, explanation
from peer.record import RECORD, write_record
from peer.theirs import ask_peer
from peer.videos import write_videos

PAGE = Path(__file__).parent.parent / "docs" / "data-juicer-measured.md"
PACKAGES = ("py-data-juicer", "av", "scenedetect", "opencv-python-headless", "datasets")


def versions(python: str) -> dict[str, str]:
    """What the answers were made with."""
    code = f"import importlib.metadata as m; [print(m.version(p)) for p in {PACKAGES}]"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = dict(zip(PACKAGES, done.stdout.split(), strict=True))
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    found["ffmpeg"] = ffmpeg.stdout.split()[2]
    found["by"] = "python benchmarks/data_juicer_operators.py --write"
    found["videos"] = f"peer/videos.py, encoded with av {importlib.metadata.version('av')}"
    return found


def table_row(case: Case, found: Sequence[Difference]) -> str:
    """A line of the table: what the same recipe gives."""
    given = case.name.removeprefix(f"{case.operator} ").replace("|", "\\|")
    if not found:
        return f"| {given} | {len(case.files)} | the same |"
    files: dict[str, list[str]] = collections.defaultdict(list)
    for difference in found:
        known = explanation(difference)
        reason = known.line if known else f"UNEXPLAINED: {difference.what}: {difference.text}"
        name = difference.file.removesuffix(".mp4")
        if name not in files[reason]:
            files[reason].append(name)
    different = {d.file for d in found}
    parts = []
    for reason, names in files.items():
        which = "all" if len(names) == len(case.files) else ", ".join(names)
        parts.append(f"{which}: {reason}")
    same = len(case.files) - len(different)
    return f"| {given} | {same} of {len(case.files)} | {'; '.join(parts)} |"


def table(compared: Iterable[tuple[Case, Sequence[Difference]]]) -> str:
    """The page's tables, one an operator."""
    lines: list[str] = []
    operator = ""
    for case, found in sorted(compared, key=lambda pair: pair[0].operator):
        if case.operator != operator:
            operator = case.operator
            lines += ["", f"## `{operator}`", "", "| parameters | same files | different |"]
            lines.append("|---|---:|---|")
        lines.append(table_row(case, found))
    return "\n".join(lines)


def write_page(made: dict[str, str], text: str, summary: str) -> None:
    """Write the page with the tables."""
    with_ = ", ".join(f"{name} {made[name]}" for name in (*PACKAGES, "ffmpeg"))
    without = "; ".join(f"`{name}`: {why}" for name, why in WITHOUT_PEER.items())
    head = (
        "# The same recipes on Data-Juicer and here\n\n"
        f"Made by `python benchmarks/data_juicer_operators.py --write`, with {with_}.\n\n"
        f"{summary}\n\n"
        "A file is the same if it is kept or dropped by both, "
        "with the same statistics (motion: within 2 %), pieces of the same frames, and an edited "
        "picture of the same size, sound and look (means of 8 x 8 parts). What is different "
        "is said in the words of [the compatibility page](data-juicer-compat.md).\n\n"
        f"Not measured: {without}.\n"
    )
    PAGE.write_text(head + text + "\n", encoding="utf-8")


def largest_deviation(
    compared: Iterable[tuple[Case, Sequence[Difference]]],
    theirs: Sequence[dict[str, Answer]],
    ours: Sequence[dict[str, Answer]],
) -> float:
    """Largest share by which statistics differ that count as the same."""
    shares = [0.0]
    for (case, found), their, our in zip(compared, theirs, ours, strict=True):
        other = {d.file for d in found if d.what == "statistics"}
        for file in set(case.files) - other:
            mine = our[file].statistics
            for name, value in their[file].statistics.items():
                if value and mine.get(name):
                    shares.append(abs(mine[name] / value - 1))
    return max(shares)


def unused(explained: set[Known], only: str) -> list[Known]:
    """Exceptions that explain nothing, where all cases were run."""
    return [] if only else [known for known in KNOWN if known not in explained]


def main() -> int:
    """Compare, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_env_argument(parser)
    parser.add_argument("--only", default="", help="operators with this in their name")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}, {RECORD.name}")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write is for all operators")
    python = peer_python(arguments.env)
    asked = [case for case in cases() if arguments.only in case.operator]
    with tempfile.TemporaryDirectory(prefix="data-juicer-") as folder:
        root = Path(folder)
        media, peer, own = (root / name for name in ("media", "peer", "own"))
        for place in (media, peer, own):
            place.mkdir()
        os.environ["DJ_RENDERED"] = str(root / "rendered")
        write_videos(media, file_names())
        theirs = ask_peer(python, asked, media, peer)
        ours: list[dict[str, Answer]] = [
            ask_ours(case, media, own / case.operator, rendered=True) for case in asked
        ]
    compared = [
        (case, [d for f in case.files for d in differences(case, f, their[f], our[f])])
        for case, their, our in zip(asked, theirs, ours, strict=True)
    ]
    text = table(compared)
    print(text)
    found = [d for _, some in compared for d in some]
    known = {k for d in found if (k := explanation(d)) is not None}
    unexplained = [d for d in found if explanation(d) is None]
    for difference in unexplained:
        print(f"UNEXPLAINED {difference.case.name}, {difference.file}: {difference.text}")
    idle = unused(known, arguments.only)
    for exception in idle:
        print(f"NOT SEEN {exception.operator}: {exception.line}")
    files = sum(len(case.files) for case in asked)
    differing = len({(d.case.name, d.file) for d in found})
    deviation = largest_deviation(compared, theirs, ours)
    summary = (
        f"{len(asked)} recipes over generated videos: {files} results of a recipe and a file, "
        f"{files - differing} the same, {differing} different as documented, {len(unexplained)} "
        f"differences undocumented. Statistics that count as the same differ by {deviation:.2%} at "
        "most."
    )
    print(f"py-data-juicer {VERSION}: {summary}")
    if arguments.write and not unexplained:
        made = versions(python)
        write_page(made, text, summary)
        write_record(made, asked, theirs)
    return 1 if unexplained or idle else 0


if __name__ == "__main__":
    sys.exit(main())
