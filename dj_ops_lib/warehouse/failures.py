"""Lance's and the system's exceptions as errors of this project, at the warehouse's door.

Not here: what they mean (`dj_ops_lib/faults.py`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dj_ops_lib.errors import DjError, OutageError, WarehouseError
from dj_ops_lib.faults import explain

T = TypeVar("T", bound=type)


def told(warehouse: T) -> T:
    """Have every public method say in a line what Lance or the system refused, and where."""
    for name, method in list(vars(warehouse).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(warehouse, name, _telling(method))
    return warehouse


def as_warehouse_error(error: Exception, at: str) -> DjError | None:
    """The exception as an outage or a `WarehouseError`; None if it is neither's."""
    found = explain(error, at)
    if found is None or isinstance(error, DjError) or isinstance(found, OutageError):
        return found
    return WarehouseError(str(found))


def _telling(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        table = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        at = f"table '{table}' in {self.uri}" if table else str(self.uri)
        try:
            result = method(self, *arguments, **named)
        except Exception as error:
            _raise_told(error, at)
        return _streamed(result, at) if isinstance(result, Iterator) else result

    return call


def _streamed(batches: Iterator[Any], at: str) -> Iterator[Any]:
    try:
        yield from batches
    except Exception as error:
        _raise_told(error, at)


def _raise_told(error: Exception, at: str) -> None:
    found = as_warehouse_error(error, at)
    if found is None or found is error:
        raise error
    raise found from error
