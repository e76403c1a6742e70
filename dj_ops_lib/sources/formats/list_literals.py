"""Lists written as Python literals, element by element: what the cells of some CSV files hold.

Nothing in them is executed. Not here: what the elements mean.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import warnings
from typing import Any

_NOT_FINITE = {"nan": math.nan, "inf": math.inf}
"""Names by which `repr` writes floats that Python's grammar has no literal for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands where an element was that is no plain literal.

    Attributes:
        problem: What is wrong with it, without anything that differs from run to run.
    """

    problem: str


def parse_list(text: str) -> list[Any]:
    """The list that `text` holds; elements are what JSON can hold too, or `Unreadable`.

    `nan`, `inf` and `-inf` are the floats that Python writes so. Tuples inside are taken as well.

    Raises:
        ValueError: It is no list literal, or is nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # captions hold odd backslashes
            body = ast.parse(text.lstrip(" \t"), mode="eval").body
        elements = [_element(e) for e in body.elts] if isinstance(body, ast.List) else None
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"is not a list literal ({error})") from None
    if elements is not None:
        return elements
    if isinstance(body, ast.Tuple | ast.Dict | ast.Set | ast.Constant):
        raise ValueError(f"is {_kind(body)}, not a list literal")
    raise ValueError(f"is not a list literal ({_kind(body)})")


def _element(node: ast.expr) -> Any:
    try:
        return _value(node)
    except TypeError as error:
        return Unreadable(str(error))


def _value(node: ast.expr) -> Any:
    """The value of a literal.

    Raises:
        TypeError: It is none, or one that JSON cannot hold: bytes, sets, complex numbers.
    """
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Constant(value=value):
            raise TypeError(f"{type(value).__name__} in a list")
        case ast.Name(id=name) if name in _NOT_FINITE:
            return _NOT_FINITE[name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            value = _value(operand)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return -value if isinstance(sign, ast.USub) else value
        case ast.List(elts=elements):
            return [_value(e) for e in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(e) for e in elements)
    raise TypeError(f"{_kind(node)} in a list")


def _kind(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return f"the name {node.id[:40]!r}"
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    return type(node).__name__.lower()
