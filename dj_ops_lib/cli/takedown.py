"""`dj takedown` removes what somebody objected to from every table, for good."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dj_ops_lib import settings
from dj_ops_lib.cli.table import JsonOption, WarehouseOption, open_warehouse, to_json
from dj_ops_lib.errors import WarehouseError

if TYPE_CHECKING:
    from dj_ops_lib.warehouse.takedown import Takedown
    from dj_ops_lib.warehouse.tombstones import Tombstone

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


def takedown(
    *,
    source_id: Annotated[
        list[str] | None, typer.Option(help="The dataset's own id of a video; repeatable.")
    ] = None,
    media_sha256: Annotated[
        list[str] | None, typer.Option(help="SHA-256 of a video file; repeatable.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="One id or SHA-256 a line; empty lines and those that begin with # are skipped."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="The dataset that ids belong to; default: every dataset.")
    ] = None,
    rendered: Annotated[
        list[str] | None,
        typer.Option(help="Another folder of rendered files than DJ_RENDERED; repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Kept beside the tombstones.")] = "",
    purge_versions: Annotated[
        bool,
        typer.Option(help="Also end tagged versions that hold it, and all untagged old ones."),
    ] = False,
    even_if_unknown: Annotated[
        bool, typer.Option(help="Also keep out what no row is about, should it come later.")
    ] = False,
    warehouse: WarehouseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove every clip of a video from every table, and keep them from coming back.

    Exits non-zero where something was asked for that no row is about, or a file is left.
    """
    stones = stones_from(source_id or (), media_sha256 or (), file, source)
    folders = [settings.rendered_root(), str(settings.temporary_folder()), *(rendered or ())]
    done = open_warehouse(warehouse).takedown(
        stones,
        reason=reason,
        rendered=folders,
        purge_versions=purge_versions,
        even_if_unknown=even_if_unknown,
    )
    typer.echo(to_json(done) if as_json else "\n".join(report(done)))
    if done.unknown or done.left:
        raise typer.Exit(1)


def stones_from(
    source_ids: Sequence[str], hashes: Sequence[str], file: Path | None, source: str | None
) -> list[Tombstone]:
    """What the options name.

    Raises:
        WarehouseError: They name nothing, or a hash is no SHA-256.
    """
    from dj_ops_lib.warehouse.tombstones import Tombstone

    stones = [Tombstone("source_id", value, source) for value in source_ids]
    for value in hashes:
        match = _SHA256.fullmatch(value)
        if match is None:
            raise WarehouseError(f"--media-sha256 {value}: a SHA-256 has 64 hexadecimal digits")
        stones.append(Tombstone("media", f"sha256:{match[1].lower()}"))
    for line in _lines(file) if file else ():
        match = _SHA256.fullmatch(line)
        stones.append(
            Tombstone("media", f"sha256:{match[1].lower()}")
            if match
            else Tombstone("source_id", line, source)
        )
    if not stones:
        raise WarehouseError("name what to take down: --source-id, --media-sha256 or --file")
    return stones


def report(done: Takedown) -> list[str]:
    """What a takedown did, one fact a line."""
    found = [f"{len(done.stones)} named, {len(done.clips)} clips descend from them"]
    found.extend(
        f"{t.table}: {t.rows} rows removed in version {t.version}"
        + (f", {t.old_versions} older versions hold them until cleanup" if t.old_versions else "")
        for t in done.tables
    )
    found.extend(f"file removed: {path}" for path in done.files)
    found.extend(
        f"tag '{t.tag}' of {t.table} (version {t.version}) "
        + (
            f"held {t.rows} of its rows and was ended"
            if t.purged
            else f"still holds {t.rows} of its rows; --purge-versions ends it"
        )
        for t in done.tagged
    )
    found.extend(f"NOT removed: {path}" for path in done.left)
    found.extend(
        f"unknown: nothing descends from {s.value}; --even-if-unknown keeps it out all the same"
        for s in done.unknown
    )
    return found


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise WarehouseError(f"--file {file} cannot be read: {e}") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
