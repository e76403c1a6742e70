"""`dj ops` lists the operators; `dj op` runs one of them on files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
import yaml
from rich.console import Console
from rich.table import Table

from dj_ops_lib.operator import Operator
from dj_ops_lib.registry import operator_class, operator_names


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
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for programs.")
    ] = False,
) -> None:
    """List the operators with their kind, parameters, defaults and columns."""
    described = [_described(operator_class(name)) for name in operator_names()]
    if as_json:
        for entry in described:
            typer.echo(json.dumps(entry, ensure_ascii=False))
        return
    table = Table("operator", "kind", "parameters = defaults", "columns", show_lines=True)
    for entry in described:
        parameters = [f"{k} = {v['default']}" for k, v in entry["parameters"].items()]
        columns = [f"{k} ({v})" for k, v in entry["columns"].items()]
        name = f"[bold]{entry['name']}[/bold]\n{entry['summary']}"
        table.add_row(name, entry["kind"], "\n".join(parameters), "\n".join(columns))
    Console().print(table)


def parse_parameters(given: list[str]) -> dict[str, Any]:
    """`["min_width=64", ...]` as parameters; values are read as YAML, as in a recipe.

    Raises:
        typer.BadParameter: One of them is not `key=value`.
    """
    parameters = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{item}' is not key=value", param_hint="-p")
        try:
            ratio = re.fullmatch(r"[\d.]+:[\d.]+", value)  # YAML 1.1 reads 16:9 as 969
            parameters[key] = value if ratio else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"'{item}': {error}", param_hint="-p") from None
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
    """Run one operator on video files and show what it measures and decides."""
    from dj_ops_lib.engine.single import run_operator
    from dj_ops_lib.recipe_file import idle_parameters, make_operator

    parameters = parse_parameters(parameter or [])
    operator = make_operator(name, parameters)
    for line in idle_parameters(name, parameters):
        typer.echo(line, err=True)
    outcomes = run_operator(operator, [str(v) for v in videos], text=text)
    if as_json:
        for outcome in outcomes:
            typer.echo(json.dumps(outcome, ensure_ascii=False))
        return
    table = Table(
        "input", "keep", "clips [s]", *(c.name for c in operator.columns), "edits", "error"
    )
    for outcome in outcomes:
        clips = ", ".join(f"{c['start_s']:.3f}-{c['end_s']:.3f}" for c in outcome["clips"])
        columns = [_shown(outcome["columns"].get(c.name), c.type) for c in operator.columns]
        edits = ", ".join(e["filter"] for e in outcome["edits"])
        error = (
            f"{outcome['error']['class']}: {outcome['error']['message']}"
            if outcome["error"]
            else ""
        )
        table.add_row(outcome["input"], str(outcome["keep"]), clips, *columns, edits, error)
    Console().print(table)


def _shown(value: Any, kind: pa.DataType) -> str:
    return f"{value:.4g}" if pa.types.is_floating(kind) and value is not None else str(value)
