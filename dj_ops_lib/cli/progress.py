"""A progress bar over the engine's waves, for terminals."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from dj_ops_lib.engine.options import Progress as WaveProgress


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[WaveProgress], None]]:
    """A bar a wave with clips done, video-seconds per second and errors; goes when it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} video-s/s  {task.fields[errors]} errors"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        begun: dict[tuple[str, str, tuple[str, ...]], tuple[TaskID, float]] = {}

        def show(wave: WaveProgress) -> None:
            key = (wave.table, wave.shard, wave.operators)
            if key not in begun:
                text = f"{wave.table} {wave.shard}: {', '.join(wave.operators)}"
                task = bars.add_task(text, total=wave.total, speed=0.0, errors=0)
                begun[key] = (task, time.monotonic())
            task, start = begun[key]
            elapsed = max(time.monotonic() - start, 1e-9)
            speed = wave.video_seconds / elapsed
            bars.update(
                task,
                completed=wave.clips,
                total=wave.total,
                speed=speed,
                errors=wave.errors,
            )

        yield show
