"""Finds operators, sources and exports by walking their packages.

A module's file name is the name of what it defines; nothing is imported before
it is asked for, so listing names costs no torch and no OpenCV.
"""

from __future__ import annotations

import collections
import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Set
from typing import TypeVar

from dj_ops_lib.errors import DjError, RecipeError
from dj_ops_lib.operator import Operator

T = TypeVar("T")

OPERATORS = "dj_ops_lib.operators"


@functools.cache
def module_names(package: str) -> dict[str, str]:
    """Dotted module path by file name, for all modules below `package`, sorted by name."""
    root = importlib.import_module(package)
    found = pkgutil.walk_packages(root.__path__, prefix=f"{package}.")
    names = {m.name.rpartition(".")[2]: m.name for m in found if not m.ispkg}
    return dict(sorted(names.items()))


def load_class(module: str, base: type[T]) -> type[T]:
    """The one public subclass of `base` that is defined in `module`."""
    loaded = importlib.import_module(module)
    classes = [
        c
        for n, c in inspect.getmembers(loaded, inspect.isclass)
        if issubclass(c, base) and c.__module__ == module and not n.startswith("_")
    ]
    if len(classes) != 1:
        raise DjError(
            f"{loaded.__file__} must define exactly one public {base.__name__}, "
            f"found {[c.__name__ for c in classes]}"
        )
    return classes[0]


CLOSE = 0.6
"""Likeness from which a name is offered in place of an unknown one; difflib's own default."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is close; ends an error message.

    Names are compared by what tells them apart: words that a third of the known names share,
    such as `video` and `filter`, would make `video_text_len_filter` look like
    `video_exposure_filter`.
    """
    names = list(known)
    words = collections.Counter(word for n in names for word in set(n.split("_")))
    shared = {word for word, count in words.items() if count >= max(3, len(names) / 3)}

    own = _without(shared, name)
    close = [n for n in names if _ratio(own, _without(shared, n)) >= CLOSE]
    best = max(close, key=lambda n: _ratio(name, n), default="")
    return f"; did you mean '{best}'?" if best else ""


def _without(shared: Set[str], name: str) -> str:
    return "_".join(word for word in name.split("_") if word not in shared) or name


def _ratio(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name, other).ratio()


def operator_names() -> list[str]:
    """Names of all operators, sorted."""
    return list(module_names(OPERATORS))


@functools.cache
def operator_class(name: str) -> type[Operator]:
    """The operator called `name`.

    Raises:
        RecipeError: There is none; the message names the nearest one.
    """
    modules = module_names(OPERATORS)
    if name not in modules:
        raise RecipeError(f"there is no operator '{name}'{nearest(name, modules)}")
    found = load_class(modules[name], Operator)
    found.name = name
    return found
