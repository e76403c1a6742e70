"""`dj render` makes files of a table's clips: cut, edited, encoded at most once."""

from __future__ import annotations

import collections
import enum
import json
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from dj_ops_lib import settings
from dj_ops_lib.cli.table import TableArgument, WarehouseOption, open_warehouse
from dj_ops_lib.clip import Clip

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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a clip.")] = False,
) -> None:
    """Render the kept clips of a table; those that are there already are left alone."""
    from dj_ops_lib.engine.measuring import Failure
    from dj_ops_lib.engine.options import available_cores
    from dj_ops_lib.engine.pool import run_in_workers
    from dj_ops_lib.engine.rendering import GRACE_S
    from dj_ops_lib.media.access import Access, ObjectStore
    from dj_ops_lib.media.destination import destination
    from dj_ops_lib.media.render import render as render_clip
    from dj_ops_lib.media.scratch import sweep
    from dj_ops_lib.rendering import Rendering
    from dj_ops_lib.warehouse import Provenance

    options = Rendering(cut=cut.value, pictures=pictures.value, crf=crf, preset=preset)
    store = ObjectStore(endpoint_url, region)
    reading = ObjectStore(endpoint_url, region, unsigned)
    access = Access(tuple(root or [str(settings.data_root())]), object_store=reading)
    files = destination(out, store)
    sweep(files.scratch)
    tables = open_warehouse(warehouse)
    rows = pa.Table.from_batches(tables.scan(table, where=where), tables.schema(table))
    clips = [Clip.from_row(row) for row in rows.to_pylist()]
    tables.record_files(
        rows,
        [f"{files.uri}/{options.name(c.signature or '')}" for c in clips],
        made_for=None,
        provenance=Provenance(stage="files"),
    )
    console = Console()
    results = run_in_workers(
        render_clip,
        [(clip, files.uri, access, options, store) for clip in clips],
        workers=workers or available_cores(),
        memory_mb=memory_mb,
        deadlines=[options.deadline_s + GRACE_S] * len(clips),
    )
    counts: collections.Counter[str] = collections.Counter()
    failures: list[tuple[str, Failure]] = []
    shown: Any = results if as_json else track(results, "rendering", len(clips), console=console)
    try:
        for position, result in shown if clips else ():
            failed = isinstance(result, Failure)
            counts["failed" if failed else result.how] += 1
            if failed:
                failures.append((clips[position].clip_id, result))
            if as_json:
                typer.echo(_line(clips[position], result))
    finally:
        files.remove(options.name(s) for s in tables.taken_down(rows))
    if not as_json:
        _report(console, counts, failures, files.uri)
    if failures:
        raise typer.Exit(1)


def _line(clip: Clip, result: Any) -> str:
    from dj_ops_lib.engine.measuring import Failure

    if isinstance(result, Failure):
        error = {"class": result.error_class, "message": result.message}
        record = {"clip_id": clip.clip_id, "path": None, "how": None, "error": error}
    else:
        record = {"clip_id": clip.clip_id, "path": result.uri, "how": result.how}
        record["error"] = None
    return json.dumps(record, ensure_ascii=False)


def _report(
    console: Console, counts: collections.Counter[str], failures: list[Any], out: str
) -> None:
    said = ", ".join(f"{number} {how}" for how, number in sorted(counts.items()))
    console.print(f"{said or 'no clip matches'}: {out}", highlight=False, soft_wrap=True)
    for clip_id, failure in failures[:_SHOWN_ERRORS]:
        text = f"{clip_id}: {failure.error_class}: {failure.message}"
        console.print(escape(text), highlight=False, soft_wrap=True)
    if len(failures) > _SHOWN_ERRORS:
        console.print(f"... and {len(failures) - _SHOWN_ERRORS} more; --json gives all")
