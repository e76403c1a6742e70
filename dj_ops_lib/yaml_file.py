"""YAML that knows where everything stands, so that a refusal can name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dj_ops_lib.errors import RecipeError

SEXAGESIMAL = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
"""Tags under which YAML 1.1 reads `16:9` as 969; here it is the text that was written."""

EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""Numbers such as 1e-3, which YAML 1.1 takes for text, and YAML 1.2 and Data-Juicer for numbers."""

MOST_VALUES = 100_000
"""Values in a file, aliases counted each time they are used: nine lines can stand for billions."""


class YamlFile:
    """A parsed YAML document that remembers the line of every entry.

    Attributes:
        path: The file.
        value: Its content as dicts, lists and scalars.

    Raises:
        RecipeError: Not there, not UTF-8, not YAML, empty, a key given twice, nested too deeply, or
            more than `MOST_VALUES` values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._values = 0
        try:
            self.value = self._build(self._compose(), ())
        except RecursionError:
            message = "nested too deeply, or an alias stands inside of what it stands for"
            raise RecipeError(f"{path}:1: {message}") from None

    def _compose(self) -> yaml.Node:
        path = self.path
        try:
            text = path.read_text(encoding="utf-8")
            node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except FileNotFoundError:
            raise RecipeError(f"{path}: no such recipe file") from None
        except IsADirectoryError:
            raise RecipeError(f"{path}: a folder; name the recipe file in it") from None
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            problem = getattr(error, "problem", None) or error
            raise RecipeError(f"{path}:{line}: not valid YAML: {problem}") from None
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}:1: not UTF-8 text: {error}") from None
        if node is None:
            raise RecipeError(f"{path}:1: the file is empty; a recipe needs `stages:`")
        return node

    def _build(self, node: yaml.Node, at: tuple[str | int, ...]) -> Any:
        self._lines[at] = node.start_mark.line + 1
        self._values += 1
        if self._values > MOST_VALUES:
            message = f"more than {MOST_VALUES} values, aliases (*name) counted where they are used"
            raise self.error(at[:1], message)
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise RecipeError(f"{self.path}:{line}: a key must be a word, not a list")
                if key.value in mapping:
                    raise RecipeError(f"{self.path}:{line}: '{key.value}' is given twice")
                mapping[key.value] = self._build(value, (*at, key.value))
                self._lines[(*at, key.value)] = line
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*at, i)) for i, item in enumerate(node.value)]
        if ":" in node.value and node.tag in SEXAGESIMAL:
            return node.value
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if plain and EXPONENT.fullmatch(node.value):
            return float(node.value)
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(at, f"cannot read this value: {error}") from None

    def error(self, at: Sequence[str | int], message: str) -> RecipeError:
        """An error at `at`, or at the nearest enclosing entry that has a line."""
        where = tuple(at)
        while where not in self._lines and where:
            where = where[:-1]
        return RecipeError(f"{self.path}:{self._lines[where]}: {message}")
