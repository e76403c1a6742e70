"""`python -m dj_ops_lib.demo DIR [--seed N]`: write the demo corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import Progress

from dj_ops_lib.demo.generate import generate


def main() -> None:
    """Writes the corpus and shows how far it is."""
    parser = argparse.ArgumentParser(prog="python -m dj_ops_lib.demo", description=__doc__)
    parser.add_argument("dir", type=Path, help="folder to write to, laid out as DJ_DATA")
    parser.add_argument("--seed", type=int, default=0, help="what ids and scores are drawn from")
    given = parser.parse_args()
    with Progress(transient=True) as bar:
        task = bar.add_task("demo corpus", total=None)
        truth = generate(
            given.dir, given.seed, lambda name: bar.update(task, advance=1, description=name)
        )
    clips, videos = len(truth["clips"]), len(truth["videos"])
    print(f"{given.dir}: {videos} videos, {clips} annotated clips, truth.json")


if __name__ == "__main__":
    main()
