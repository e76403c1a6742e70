"""`dj render` makes files of a table's clips: cut, edited, encoded at most once."""

from __future__ import annotations

import collections
import contextlib
import enum
import json
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape

from dj_ops_lib import settings
from dj_ops_lib.cli.progress import progress_bar
from dj_ops_lib.cli.table import TableArgument, WarehouseOption, open_warehouse

if TYPE_CHECKING:
    from dj_ops_lib.engine.rendering import RenderedClip

_SHOWN_ERRORS = 20


class Cut(enum.StrEnum):
    """Where a clip may begin."""

    EXACT = "exact"
    COPY = "copy"


class Pictures(enum.StrEnum):
    """Which form pictures have."""

    PLAIN = "plain"
    AS_STORED = "as_stored"


def render(
    table: TableArgument,
    out: Annotated[
        str, typer.Option(help="Folder or s3:// for the files, named by clip signature.")
    ],
    warehouse: WarehouseOption = None,
    where: Annotated[str, typer.Option(help="Which rows, as SQL.")] = "keep = true",
    root: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder or s3:// that videos must lie under; repeatable; default DJ_DATA."
        ),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(help="URL of an S3-compatible server for s3://; default: AWS_ENDPOINT_URL."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="Its region; default: AWS_REGION.")] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Read public buckets without credentials.")
    ] = False,
    cut: Annotated[
        Cut, typer.Option(help="copy: begin at the key frame before the clip, never encode for it.")
    ] = Cut.EXACT,
    pictures: Annotated[
        Pictures,
        typer.Option(
            help="plain: all upright, of square pixels, progressive, BT.709, encoded for it where "
            "needed; as_stored: turned, oblong, interlaced or HDR as the video, and labelled so."
        ),
    ] = Pictures.PLAIN,
    crf: Annotated[int, typer.Option(min=0, max=51, help="Quality of x264; lower is better.")] = 18,
    preset: Annotated[str, typer.Option(help="Preset of x264.")] = "medium",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one a core.")
    ] = None,
    memory_mb: Annotated[
        int, typer.Option(min=1, help="Memory that a process may allocate, MiB.")
    ] = 4096,
    retry_errors: Annotated[
        list[str] | None,
        typer.Option(help="Try clips with this error class again although they failed often; all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a clip.")] = False,
) -> None:
    """Render the kept clips of a table; those that are there already are left alone."""
    from dj_ops_lib.engine.options import EngineOptions, available_cores
    from dj_ops_lib.engine.rendering import render_rows
    from dj_ops_lib.media.access import Access, ObjectStore
    from dj_ops_lib.rendering import Rendering

    reading = ObjectStore(endpoint_url, region, unsigned)
    tables = open_warehouse(warehouse)
    rows = pa.Table.from_batches(tables.scan(table, where=where), tables.schema(table))
    console = Console()
    counts: collections.Counter[str] = collections.Counter()
    failures: list[RenderedClip] = []
    with contextlib.nullcontext() if as_json else progress_bar(console) as show:
        options = EngineOptions(
            Access(tuple(root or [str(settings.data_root())]), object_store=reading),
            workers=workers or available_cores(),
            memory_mb=memory_mb,
            retry_errors=tuple(retry_errors or ()),
            progress=show,
        )
        made = render_rows(
            tables,
            table,
            rows,
            options=options,
            folder=out,
            rendering=Rendering(cut=cut.value, pictures=pictures.value, crf=crf, preset=preset),
            store=ObjectStore(endpoint_url, region),
        )
        for clip in made:
            counts[clip.how or "failed"] += 1
            if clip.error is not None:
                failures.append(clip)
            if as_json:
                typer.echo(_line(clip))
    if not as_json:
        _report(console, counts, failures, out)
    if failures:
        raise typer.Exit(1)


def _line(clip: RenderedClip) -> str:
    error = clip.error
    record = {
        "clip_id": clip.clip_id,
        "path": clip.uri,
        "how": clip.how,
        "error": error and {"class": error["class"], "message": error["message"]},
    }
    return json.dumps(record, ensure_ascii=False)


def _report(
    console: Console, counts: collections.Counter[str], failures: list[RenderedClip], out: str
) -> None:
    said = ", ".join(f"{number} {how}" for how, number in sorted(counts.items()))
    console.print(
        f"{said or 'no row of the table matches --where, nothing to render'}: {out}",
        highlight=False,
        soft_wrap=True,
    )
    for clip in failures[:_SHOWN_ERRORS]:
        error = clip.error or {}
        text = f"{clip.clip_id}: {error['class']}: {error['message']}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    if len(failures) > _SHOWN_ERRORS:
        console.print(f"... and {len(failures) - _SHOWN_ERRORS} more; --json gives all")
