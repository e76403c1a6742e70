"""`dj run` runs a recipe file over a folder of videos, without Dagster."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dj_ops_lib import settings
from dj_ops_lib.cli.progress import progress_bar
from dj_ops_lib.cli.summary import print_summary
from dj_ops_lib.cli.videos import find_videos, told
from dj_ops_lib.errors import SourceError
from dj_ops_lib.recipe_file import load_recipe

if TYPE_CHECKING:
    from dj_ops_lib.report import StageReport
    from dj_ops_lib.warehouse import Warehouse


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def refuse_if_all_failed(tables: Warehouse, reports: Sequence[StageReport]) -> None:
    """End a run of which nothing but errors came with the reasons.

    Raises:
        SourceError: Every video, or every clip of them, failed.
    """
    errors = sum((collections.Counter(r.errors) for r in reports), collections.Counter[str]())
    last = [r for r in reports if r.table == reports[-1].table]
    if any(r.kept for r in last) or any(r.rejected for r in reports) or not errors:
        return
    examples: dict[str, str] = {}
    for table in dict.fromkeys(r.table for r in reports):
        for batch in tables.scan(table, columns=["error"]):
            for row in batch.to_pylist():
                if row["error"]:
                    examples.setdefault(row["error"]["class"], row["error"]["message"])
    reasons = "\n".join(f"  {count} {name}: {examples[name]}" for name, count in errors.items())
    hint = "; links are followed into folders that --root names" if "forbidden" in errors else ""
    raise SourceError(f"nothing is left, every video failed{hint}:\n{reasons}")


def run(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe file, ours (also a defs.yaml) or Data-Juicer's.")
    ],
    videos: Annotated[str, typer.Option(help="A folder, or a quoted glob pattern.")],
    warehouse: Annotated[str, typer.Option(help="Where the tables go: a folder or s3://.")],
    source: Annotated[str, typer.Option(help="Name for the videos' tables.")] = "files",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode; default: one a core.")
    ] = None,
    retry_errors: Annotated[
        list[str] | None,
        typer.Option(help="Try clips with this error class again although they failed often; all."),
    ] = None,
    measure_all: Annotated[
        bool, typer.Option("--measure-all", help="Measure rejected clips further, for analysis.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="Key of the mapping that holds the recipe; a defs.yaml needs none."),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Another folder in which links among the videos may end; repeatable."),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Let the videos take the place of others in the tables."),
    ] = False,
) -> None:
    """Run a recipe over videos and write one Lance table a stage."""
    from dj_ops_lib.engine.files import run_recipe_on_files
    from dj_ops_lib.engine.options import EngineOptions, available_cores
    from dj_ops_lib.media.access import Access
    from dj_ops_lib.warehouse import Warehouse

    if not _NAME.fullmatch(source):
        raise SourceError(
            f"--source {source!r} is no name; use letters, digits, '_', '-' and '.', and no slash"
        )
    tables = Warehouse(warehouse)
    loaded = load_recipe(recipe, at=at)
    for line in loaded.remarks:
        typer.echo(line, err=True)
    found = find_videos(videos, root or ())
    console = Console()
    if found.left_out:
        typer.echo(told(found.left_out), err=True)
    with progress_bar(console) as show:
        options = EngineOptions(
            Access(()),
            workers=workers or available_cores(),
            retry_errors=tuple(retry_errors or ()),
            measure_all=measure_all,
            progress=show,
        )
        reports = run_recipe_on_files(
            tables,
            loaded,
            found.paths,
            source=source,
            options=options,
            roots=found.roots,
            replace=replace,
        )
    print_summary(console, reports)
    last = reports[-1].table
    kept = sum(batch.num_rows for batch in tables.scan(last, columns=["clip_id"], where="keep"))
    console.print(f"{kept} clips kept in {warehouse}, table {last}", highlight=False)
    refuse_if_all_failed(tables, reports)
    if loaded.rendering is not None:
        folder = settings.rendered_folder(source, loaded.name)
        said = f"their files are in {folder}, named by rendered_uri in table {last}; files of clips"
        said += " that are no longer kept stay there until `dj prune --delete`"
        console.print(said, highlight=False, soft_wrap=True)
