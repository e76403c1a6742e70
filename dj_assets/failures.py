"""A failed step says in one sentence what happened and what to do; the trace is folded away.

Not here: what an exception means (`dj_ops_lib/faults.py`).
"""

import contextlib
import traceback
from collections.abc import Iterator

import dagster as dg

from dj_ops_lib.faults import explain


@contextlib.contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turn errors of the library, of the system and of stores into a `dg.Failure`.

    Its description is what the library says, its metadata holds the trace. Faults of this program
    keep their trace.

    Raises:
        dg.Failure: As said.
    """
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        trace = "".join(traceback.format_exception(error))
        raise dg.Failure(
            description=str(told),
            metadata={"trace": dg.MetadataValue.md(f"```\n{trace[-16_000:]}\n```")},
        ) from None
