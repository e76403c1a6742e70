"""`dj ops` lists the operators; `dj op` runs one of them on files."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dj_ops_lib.cli.records import fields, shown
from dj_ops_lib.errors import SourceError
from dj_ops_lib.operator import Column, Filter, Operator, is_no_limit
from dj_ops_lib.registry import operator_class, operator_names
from dj_ops_lib.rejection import why
from dj_ops_lib.yaml_file import EXPONENT


def _described(operator: type[Operator]) -> dict[str, Any]:
    """Everything that the declaration of an operator says, as JSON values."""
    parameters = {}
    for name, field in operator.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        parameters[name] = {
            "default": field.default,
            "description": field.description,
            "unit": extra.get("unit"),
            "decides": bool(extra.get("decides")),
        }
    return {
        "name": operator.name,
        "kind": str(operator.kind),
        "version": operator.version,
        "summary": (operator.__doc__ or "").strip().split("\n")[0],
        "parameters": parameters,
        "columns": {c.name: f"{c.type} {c.unit or ''}".strip() for c in operator.columns},
    }


def ops(
    name: Annotated[
        str | None, typer.Argument(help="An operator: its parameters, defaults and columns.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for programs.")
    ] = False,
) -> None:
    """List the operators with their kind and what they do, or all about one of them."""
    names = operator_names() if name is None else [name]
    classes = [operator_class(n) for n in names]
    if as_json:
        for operator in classes:
            typer.echo(json.dumps(_described(operator), ensure_ascii=False))
    elif name is None:
        _print_list(classes)
    else:
        _print_one(classes[0])


def _print_list(classes: Sequence[type[Operator]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("operator", "kind"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it does")
    for operator in classes:
        entry = _described(operator)
        table.add_row(entry["name"], entry["kind"], Text(entry["summary"]))
    console = Console()
    console.print(table)
    console.print("`dj ops NAME` shows an operator's parameters, defaults and columns.")


def _print_one(operator: type[Operator]) -> None:
    console, entry = Console(), _described(operator)
    console.print(Text(f"{entry['name']}: {entry['kind']}, version {entry['version']}"))
    for paragraph in (inspect.getdoc(operator) or "").split("\n\n"):
        console.print(Text(" ".join(paragraph.split()) + "\n"))
    parameters = entry["parameters"]
    # What all filters share comes last: nobody looks for it first.
    own = sorted(parameters, key=lambda name: name in Filter.model_fields)
    for heading, values in (
        ("parameters", [n for n in own if not parameters[n]["decides"]]),
        (
            "thresholds (moving one measures nothing again)",
            [n for n in own if parameters[n]["decides"]],
        ),
    ):
        _print_fields(console, heading, {n: _parameter(**parameters[n]) for n in values})
    _print_fields(console, "columns", {c.name: _column(c) for c in operator.columns})


def _print_fields(console: Console, heading: str, values: Mapping[str, str]) -> None:
    if values:
        console.print(heading, highlight=False)
        console.print(fields(values))


def _parameter(*, default: Any, description: str, unit: str | None, **_: Any) -> str:
    value = "no limit" if is_no_limit(default) else "none" if default is None else str(default)
    measured = f" {unit}" if unit and value not in {"no limit", "none"} else ""
    return f"{value}{measured}; {description}"


def _column(column: Column) -> str:
    return f"{column.type}{f' {column.unit}' if column.unit else ''}; {column.description}"


def parse_parameters(given: list[str], option: str = "-p") -> dict[str, Any]:
    """`["min_width=64", ...]` of `option` as parameters; values are read as in a recipe.

    Raises:
        typer.BadParameter: One of them is not `key=value`.
    """
    parameters = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{item}' is not key=value", param_hint=option)
        try:
            ratio = re.fullmatch(r"[\d.]+:[\d.]+", value)  # YAML 1.1 reads 16:9 as 969
            number = EXPONENT.fullmatch(value)
            parameters[key] = value if ratio else float(value) if number else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"'{item}': {error}", param_hint=option) from None
    return parameters


def op(
    name: Annotated[str, typer.Argument(help="Name of the operator; `dj ops` lists them.")],
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", help="A parameter, key=value; may be repeated.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text that belongs to the videos.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a video, for programs.")
    ] = False,
) -> None:
    """Run one operator on video files and show what it measures and decides.

    Exits with 1 where a file could not be looked at.
    """
    from dj_ops_lib.engine.single import run_operator
    from dj_ops_lib.recipe_file import idle_parameters, make_operator

    parameters = parse_parameters(parameter or [])
    operator = make_operator(name, parameters)
    for line in idle_parameters(name, parameters):
        typer.echo(line, err=True)
    failures: list[str] = []
    for outcome in run_operator(operator, [str(v) for v in videos], text=text):
        if outcome["error"] is not None:
            failures.append(outcome["error"]["message"])
        if as_json:
            typer.echo(json.dumps(outcome, ensure_ascii=False))
        else:
            _print_outcome(operator, outcome)
        sys.stdout.flush()  # a pipe's reader has each as it comes, too
    if len(failures) == len(videos):
        raise SourceError("\n".join(["every video failed:", *(f"  {m}" for m in failures)]))
    if failures:
        raise typer.Exit(1)


def _print_outcome(operator: Operator, outcome: Mapping[str, Any]) -> None:
    """A block a file: what became of it, and one line a fact, so that no name is cut."""
    error = outcome["error"]
    fate = {True: "kept", False: "rejected", None: "measured"}[outcome["keep"]]
    if error:
        fate = f"error, {error['class']}: {error['message']}"
    console = Console()
    console.print(Text(f"{outcome['input']}: {fate}", style="bold"), soft_wrap=True)
    found = {}
    if outcome["keep"] is False:
        found["because"] = why(operator, outcome["columns"])
    spans = [f"{c['start_s']:.3f}-{c['end_s']:.3f}" for c in outcome["clips"]]
    found["clips [s]"] = ", ".join(spans)
    if not error:
        found |= {name: shown(value) for name, value in outcome["columns"].items()}
    found["edits"] = ", ".join(e["filter"] for e in outcome["edits"])
    console.print(fields({name: text for name, text in found.items() if text}))
