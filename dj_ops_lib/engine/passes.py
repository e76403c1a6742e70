"""Passes over clips in worker processes: longest first, recorded, counted, shown.

The glue between the pure runner and the pool. Not here: either of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dj_ops_lib.engine.measuring import Failure, Outcome, Task, measure_task
from dj_ops_lib.engine.options import EngineOptions, Progress
from dj_ops_lib.engine.recorded_results import RecordedResults
from dj_ops_lib.media.access import Access


class Passes:
    """Measures tasks in worker processes.

    Attributes:
        cpu_seconds: CPU time that the workers reported.

    Args:
        options: Settings of the run.
        results: Takes every result as it comes.
        table: Table that is being made, for the progress display.
        shard: Shard that is being made, for the progress display.
        function: What a worker does with a task.
    """

    def __init__(
        self,
        options: EngineOptions,
        results: RecordedResults,
        table: str,
        shard: str,
        function: Callable[[Task, Access], Outcome] = measure_task,
    ) -> None:
        self.cpu_seconds = 0.0
        self._options = options
        self._results = results
        self._table = table
        self._shard = shard
        self._function = function

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Run the tasks; yields (position, outcome) as they finish."""
        if not tasks:
            return
        from dj_ops_lib.engine.pool import run_in_workers

        options = self._options
        # The longest first: the last clips of a shard then end together.
        order = sorted(range(len(tasks)), key=lambda i: -(tasks[i].clip.duration_s or 0.0))
        results = run_in_workers(
            self._function,
            [(tasks[i], options.access) for i in order],
            workers=options.workers,
            memory_mb=options.memory_mb,
            deadlines=[options.deadline(tasks[i].clip.duration_s) for i in order],
            idle=self._results.flush_if_due,
        )
        names = tuple(dict.fromkeys(n for t in tasks for n, _ in t.operators))
        video_seconds, errors = 0.0, 0
        try:
            for done, (place, result) in enumerate(results, 1):
                task = tasks[order[place]]
                failed = isinstance(result, Failure)
                outcome = Outcome.failed(task, result) if isinstance(result, Failure) else result
                self._results.add(task, outcome)
                self.cpu_seconds += outcome.cpu_seconds
                video_seconds += task.clip.duration_s or 0.0
                errors += failed or any(m.failure for m in outcome.measurements.values())
                if options.progress is not None:
                    options.progress(
                        Progress(
                            self._table, self._shard, names, done, len(tasks), video_seconds, errors
                        )
                    )
                yield order[place], outcome
        except BaseException:  # also where the loop is left early: the stage will not end
            self._results.flush()
            raise
        finally:
            results.close()
