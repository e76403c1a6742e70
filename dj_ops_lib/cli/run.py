"""`dj run` runs a recipe file over a folder of videos, without Dagster."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dj_ops_lib import settings
from dj_ops_lib.cli.progress import progress_bar
from dj_ops_lib.cli.summary import print_summary
from dj_ops_lib.errors import SourceError
from dj_ops_lib.recipe_file import load_recipe

SUFFIXES = frozenset((".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts"))


def find_videos(where: str) -> list[str]:
    """The video files of a folder (at any depth) or of a glob pattern, sorted, as absolute paths.

    A pattern is taken at its word: what it names is a video, whatever its suffix.

    Raises:
        SourceError: There are none.
    """
    folder = Path(where)
    if folder.is_dir():
        found = [str(p) for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES]
        missing = f"no file in {where} ends in {', '.join(sorted(SUFFIXES))}; give a glob pattern"
    else:
        matches = glob.glob(where, recursive=True)  # noqa: PTH207 - the pattern may be absolute
        found = [p for p in matches if Path(p).is_file()]
        missing = f"nothing matches {where}; --videos takes a folder or a quoted glob pattern"
    if not found:
        raise SourceError(missing)
    return sorted(str(Path(p).absolute()) for p in found)


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe file, ours or Data-Juicer's.")],
    videos: Annotated[str, typer.Option(help="A folder, or a quoted glob pattern.")],
    warehouse: Annotated[str, typer.Option(help="Where the tables go: a folder or s3://.")],
    source: Annotated[str, typer.Option(help="Name for the videos' tables.")] = "files",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode; default: one a core.")
    ] = None,
    retry_errors: Annotated[
        list[str] | None,
        typer.Option(help="Try clips with this error class again although they failed often; all."),
    ] = None,
    measure_all: Annotated[
        bool, typer.Option("--measure-all", help="Measure rejected clips further, for analysis.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(help="Key of the mapping that holds the recipe, as `attributes`.")
    ] = None,
) -> None:
    """Run a recipe over videos and write one Lance table a stage."""
    from dj_ops_lib.engine.files import run_recipe_on_files
    from dj_ops_lib.engine.options import EngineOptions, available_cores
    from dj_ops_lib.media.access import Access
    from dj_ops_lib.warehouse import Warehouse

    loaded = load_recipe(recipe, at=at)
    for line in loaded.remarks:
        typer.echo(line, err=True)
    found = find_videos(videos)
    console = Console()
    with progress_bar(console) as show:
        options = EngineOptions(
            Access(()),
            workers=workers or available_cores(),
            retry_errors=tuple(retry_errors or ()),
            measure_all=measure_all,
            progress=show,
        )
        reports = run_recipe_on_files(
            Warehouse(warehouse), loaded, found, source=source, options=options
        )
    print_summary(console, reports)
    last = reports[-1].table
    kept = sum(r.kept for r in reports if r.table == last)
    console.print(f"{kept} clips kept in {warehouse}, table {last}", highlight=False)
    if loaded.rendering is not None:
        folder = settings.rendered_folder(source, loaded.name)
        console.print(f"their files are in {folder}", highlight=False, soft_wrap=True)
