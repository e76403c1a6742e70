"""What the pages tell people to type works as written, in a checkout after the page's own start.

A page is read from its top: shell blocks run in one folder and hand their environment on, Python
blocks run in it, recipes are given to `dj plan` as they stand. Only what cannot end inside a test
is asked of `make` without doing it. Not here: that `make demo` builds everything from nothing,
which `conftest.py` and `.ci/run` do.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer.main

from dj_ops_lib import cli
from dj_ops_lib.warehouse import Warehouse

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
NOT_INSIDE_A_TEST = {
    "make test": "make -n test",  # this is it
    "make ui": "make -n ui",  # serves until it is stopped; test_browser.py does
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the page's blocks, from its top."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands between backticks in the page's sentences."""
    return SPAN.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))


@dataclasses.dataclass
class Reader:
    """Someone at a prompt in a checkout, who goes through a page."""

    folder: Path
    environment: dict[str, str]

    def shell(self, text: str) -> str:
        """What the commands print; the environment that they leave is the next block's."""
        for line, instead in NOT_INSIDE_A_TEST.items():
            text = re.sub(rf"^{line}$", instead, text, flags=re.MULTILINE)
        left = self.folder / ".environment"
        printed = self._run("bash", "-euc", f"{text}\nenv -0 > {shlex.quote(str(left))}")
        variables = left.read_text(encoding="utf-8").split("\0")
        self.environment = dict(v.split("=", 1) for v in variables if v)
        return printed

    def python(self, text: str) -> str:
        """What the code prints and, as at a prompt, what its last line is worth."""
        *before, last = text.strip().splitlines()
        return self._run("python", "-c", "\n".join([*before, f"print({last})"]))

    def plan(self, recipe: str) -> str:
        """What `dj plan` says of a recipe, in a file as the page shows it."""
        path = self.folder / "shown" / "defs.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(recipe, encoding="utf-8")
        return self._run(str(self.folder / ".venv" / "bin" / "dj"), "plan", str(path))

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(demo, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """In a checkout of which `make setup` and `make demo` have been made."""
    folder = tmp_path_factory.mktemp("reader") / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".venv", "build", ".git"}:
            (folder / entry.name).symlink_to(entry)
    # The environment of this test run, without leave to install anything into it.
    venv = Path(shutil.which("dj") or ROOT / ".venv/bin/dj").parent.parent
    (folder / ".venv").mkdir()
    for entry in venv.iterdir():
        if entry.name != ".installed":
            (folder / ".venv" / entry.name).symlink_to(entry)
    (folder / ".venv" / ".installed").touch()
    shutil.copytree(demo.folder, folder / "build" / "demo", symlinks=True)
    (folder / "build" / "demo" / "spool").mkdir(exist_ok=True)
    unset = ("DJ_", "DAGSTER_", "VIRTUAL_ENV")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(unset)}
    clean["DJ_SPOOL"] = str(folder / "build" / "spool")
    return Reader(folder, clean)


@pytest.fixture(scope="module")
def read(reader: Reader) -> list[tuple[str, str]]:
    """The README's blocks and what came of each."""
    do = {"sh": reader.shell, "python": reader.python, "yaml": reader.plan}
    return [(text, do[kind](text)) for kind, text in blocks(ROOT / "README.md") if kind]


def test_every_block_of_the_readme_runs_as_written_and_says_something(
    read: list[tuple[str, str]],
) -> None:
    assert [text.split()[0] for text, _ in read] == [
        "make", "make", "type:", ".", "import", "export"
    ]  # fmt: skip
    assert [text for text, said in read if not said.strip()] == []


def test_what_the_readme_shows_is_about_the_demo(read: list[tuple[str, str]], demo) -> None:
    said = {text.split()[0]: printed for text, printed in read}
    assert "are up to date" in read[0][1]
    still = demo.warehouse.lazy("msr_vtt/t2v/cleaned").filter(
        pl.col("rejected_by") == "video_motion_score_filter"
    )
    assert f"shape: ({min(10, len(still.collect()))}, " in said["import"]
    history = demo.warehouse.history("msr_vtt/t2v/cleaned")
    assert len(history) >= 3
    assert all(name in said["export"] for name in demo.warehouse.tables())
    assert "files/t2v/deduplicated" in said["."]


def test_commands_in_the_readmes_sentences_run_with_their_placeholders_filled(
    read: list[tuple[str, str]], reader: Reader
) -> None:
    warehouse = Warehouse(str(reader.folder / "build/demo/warehouse"))
    rows = warehouse.lazy("msr_vtt/t2v/cleaned").filter(keep=True).collect()
    clip, video = rows["clip_id"][0], rows["source_id"][0]
    commands = [s for s in spans(ROOT / "README.md") if s.startswith("dj ") and "<" in s]
    assert [c.split()[:2] for c in commands] == [["dj", "table"], ["dj", "takedown"]]
    for command in commands:
        reader.shell(command.replace("<clip_id>", clip).replace("<id>", video))
    left = warehouse.lazy("msr_vtt/t2v/cleaned").filter(source_id=video).collect()
    assert left.is_empty()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_block_that_nothing_runs(page: Path) -> None:
    """Outside of the README nothing is executable yet: a block that is needs its page's reader."""
    known = {"sh", "python", "yaml"} if page.name == "README.md" else set()
    assert {kind for kind, _ in blocks(page)} <= known | {""}


def mentioned() -> Iterator[tuple[str, list[str]]]:
    """(page, words) of every `dj ...` in a sentence of any page."""
    for page in PAGES:
        for span in spans(page):
            if span.startswith("dj "):
                yield page.name, shlex.split(span.replace("<", "").replace(">", ""))


@pytest.mark.parametrize(("page", "words"), list(mentioned()))
def test_every_command_and_option_in_a_sentence_exists(page: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(cli._typer)
    rest = words[1:]
    while rest and (below := getattr(command, "commands", None)):
        assert rest[0] in below, (page, words)
        command = below[rest.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert [w for w in rest if w.startswith("-") and w.partition("=")[0] not in options] == []


def test_every_file_and_variable_that_the_pages_name_exists() -> None:
    ours = ("dj_ops_lib", "dj_assets", "benchmarks", "deployments", "tests", "docs", ".ci")
    files = [*ROOT.iterdir(), *(path for folder in ours for path in (ROOT / folder).rglob("*"))]
    there = [f"/{path.relative_to(ROOT)}" for path in files]
    code = "".join(p.read_text(encoding="utf-8") for p in files if p.suffix in {".py", ".yaml"})
    missing = []
    for page in PAGES:
        for word in (w for span in spans(page) for w in span.split()):
            is_file = re.fullmatch(r"[\w./-]+\.(py|md|toml|txt)", word)
            if is_file and not any(path.endswith(f"/{word}") for path in there):
                missing.append((page.name, word))
            variable = re.fullmatch(r"(DJ_\w+)(=.*)?", word)
            if variable and variable[1] not in code:
                missing.append((page.name, word))
    assert missing == []
