"""Recipe files: this project's (`stages:`) and Data-Juicer's (`process:`).

All of a file is checked before anything runs: names, parameters, ranges, and
that every column an operator reads is made by an earlier one. Every refusal
names file and line. Not here: what a recipe is (`recipe.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from dj_ops_lib import data_juicer
from dj_ops_lib.checks import ERRORS_EXPECTED
from dj_ops_lib.clip import CLIP_SCHEMA
from dj_ops_lib.errors import RecipeError
from dj_ops_lib.operator import Kind, Operator
from dj_ops_lib.recipe import Recipe, Stage
from dj_ops_lib.registry import nearest, operator_class
from dj_ops_lib.rendering import RENDERED, Rendering
from dj_ops_lib.yaml_file import YamlFile

Model = TypeVar("Model", bound=pydantic.BaseModel)


def load_recipe(path: Path | str, *, name: str | None = None, at: str | None = None) -> Recipe:
    """Read and check a recipe file.

    Args:
        path: A YAML file with `stages:` (ours) or `process:` (Data-Juicer's), or a `defs.yaml`,
            whose `attributes:` are the recipe.
        name: Name of the recipe where the file gives none; default: the file's stem, of a
            `defs.yaml` the folder's name, as in Dagster.
        at: Key of the mapping that holds the recipe, for other files that hold more than it.

    Raises:
        RecipeError: Anything that cannot run, with file, line and the nearest right name.
    """
    path = Path(path)
    document = YamlFile(path)
    body: Any = document.value
    where: tuple[str | int, ...] = ()
    if at is None and isinstance(body, dict) and "attributes" in body and "stages" not in body:
        at = "attributes"
    if at is not None:
        if not isinstance(body, dict) or at not in body:
            raise document.error((), f"expected a mapping with '{at}:'")
        body, where = body[at], (at,)
    if not isinstance(body, dict):
        raise document.error(where, "a recipe is a mapping with `stages:` or `process:`")
    folder = path.absolute().parent.name
    component = path.name == "defs.yaml" and at is not None and _is_name(folder)
    default = name or (folder if component else path.stem)
    if "process" in body:
        return _data_juicer(document, body, where, default)
    return _native(document, body, where, default)


_KEYS = {"name", "description", "sources", "stages", "render"}
_SHARES = {"keep_rate": [0.0, 1.0], "error_share": list(ERRORS_EXPECTED)}
_STAGE_KEYS = {"name", "operators", *_SHARES}


def _native(
    document: YamlFile, body: Mapping[str, Any], where: tuple[str | int, ...], default: str
) -> Recipe:
    for key in body:
        if key not in _KEYS:
            message = f"a recipe has no entry '{key}'{nearest(key, _KEYS)}"
            raise document.error((*where, key), message)
    if not isinstance(body.get("stages"), list) or not body["stages"]:
        raise document.error((*where, "stages"), "a recipe needs `stages:`, a list of at least one")
    stages: list[Stage] = []
    for i, entry in enumerate(body["stages"]):
        _append_stage(document, entry, stages, (*where, "stages", i))
    sources = body.get("sources") or []
    if not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
        raise document.error((*where, "sources"), "`sources:` is a list of names")
    name = body.get("name") or default
    if not isinstance(name, str) or not _is_name(name):
        message = f"the recipe name {name!r} must be lower-case letters, digits and _"
        raise document.error((*where, "name"), message)
    description = str(body.get("description") or "")
    rendering = _rendering(document, body, stages, where)
    return Recipe(name, tuple(stages), tuple(sources), description, rendering)


def _rendering(
    document: YamlFile,
    body: Mapping[str, Any],
    stages: Sequence[Stage],
    where: tuple[str | int, ...],
) -> Rendering | None:
    if "render" not in body:
        return None
    at = (*where, "render")
    if not isinstance(body["render"], dict):
        raise document.error(at, "`render:` is a mapping; `render: {}` renders with the defaults")
    if RENDERED in {s.name for s in stages}:
        message = f"`render:` makes the table '{RENDERED}'; give the stage another name"
        raise document.error(at, message)
    return _build(
        Rendering, "render", body["render"], lambda key, text: document.error((*at, key), text)
    )


def _two_shares(
    document: YamlFile, name: str, value: Any, at: tuple[str | int, ...]
) -> tuple[float, float]:
    match value:
        case [int() | float() as lowest, int() | float() as highest] if 0 <= lowest <= highest <= 1:
            return float(lowest), float(highest)
    message = f"{name} {value!r} must be [lowest, highest], two shares from 0 to 1"
    raise document.error(at, message)


def _append_stage(
    document: YamlFile, entry: Any, stages: list[Stage], place: tuple[str | int, ...]
) -> None:
    if not isinstance(entry, dict):
        raise document.error(place, "a stage is a mapping with `name:` and `operators:`")
    for key in entry:
        if key not in _STAGE_KEYS:
            message = f"a stage has no entry '{key}'{nearest(key, _STAGE_KEYS)}"
            raise document.error((*place, key), message)
    name = entry.get("name")
    if not isinstance(name, str) or not _is_name(name):
        message = "a stage needs a `name:` of lower-case letters, digits and _"
        raise document.error((*place, "name"), message)
    if name in {s.name for s in stages} | {"manifest", "raw", "media"}:
        raise document.error((*place, "name"), f"the stage name '{name}' is already taken")
    if not isinstance(entry.get("operators"), list) or not entry["operators"]:
        message = f"stage '{name}' needs `operators:`, a list of at least one"
        raise document.error((*place, "operators"), message)
    operators = [
        _operator(document, item, (*place, "operators", j))
        for j, item in enumerate(entry["operators"])
    ]
    shares = {
        key: _two_shares(document, key, entry.get(key, default), (*place, key))
        for key, default in _SHARES.items()
    }
    remarks = _remarks(entry["operators"])
    stages.append(Stage(name, tuple(operators), **shares, remarks=remarks))
    _check_stage(document, stages, (*place, "operators"))


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name == name.lower()


def _operator(document: YamlFile, item: Any, at: tuple[str | int, ...]) -> Operator:
    if isinstance(item, str):
        item = {item: None}
    if not isinstance(item, dict) or len(item) != 1:
        message = "an operator is written `- name` or `- name: {parameter: value}`"
        raise document.error(at, message)
    ((name, parameters),) = item.items()
    try:
        found = operator_class(name)
    except RecipeError as error:
        raise document.error((*at, name), str(error)) from None
    if not isinstance(parameters or {}, dict):
        raise document.error((*at, name), f"the parameters of {name} are a mapping")
    return _build_operator(
        found, parameters or {}, lambda key, text: document.error((*at, name, key), text)
    )


def make_operator(name: str, parameters: Mapping[str, Any]) -> Operator:
    """The operator `name` with `parameters`, checked.

    Raises:
        RecipeError: No such operator, no such parameter, or a value that it refuses.
    """
    return _build_operator(operator_class(name), parameters, lambda _, text: RecipeError(text))


def idle_parameters(name: str, parameters: Mapping[str, Any]) -> list[str]:
    """A line for each of the operator's `parameters` that is accepted and does nothing here."""
    return [data_juicer.remark(name, k, why) for k, why in _idle(operator_class(name), parameters)]


def _idle(found: type[Operator], given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(parameter, why it does nothing) for those that are Data-Juicer's and not the operator's."""
    own = found.model_fields
    whys = {k: data_juicer.why_idle(found.name, k, v) for k, v in given.items() if k not in own}
    return [(k, why) for k, why in whys.items() if why]


def _remarks(items: Sequence[Any]) -> tuple[str, ...]:
    """What is to be said of the operators that a recipe lists, once they are checked."""
    given = [next(iter(i.items())) for i in items if isinstance(i, dict)]
    return tuple(line for name, found in given for line in idle_parameters(name, found or {}))


def _build_operator(found: type[Operator], given: Mapping[str, Any], error: Any) -> Operator:
    idle = dict(_idle(found, given))
    own = {k: v for k, v in given.items() if k not in idle}
    for key in own:
        if refused := data_juicer.UNLESS_NULL.get((found.name, key)):
            raise error(key, f"{found.name}: {key} can only be null here: {refused}")
    return _build(found, found.name, own, error, also=data_juicer.EVERYWHERE)


def _build(
    model: type[Model],
    subject: str,
    given: Mapping[str, Any],
    error: Any,
    *,
    also: Collection[str] = (),
) -> Model:
    """A `model` with the parameters `given`; `error` makes what is raised for one of them.

    `also` are further names that could have been meant by a wrong one.
    """
    known = model.model_fields
    for key in given:
        if key not in known:
            close = nearest(key, known) or nearest(key, also)
            raise error(key, f"{subject} has no parameter '{key}'{close}")
    try:
        return model(**given)
    except pydantic.ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        blamed = first.get("ctx", {}).get("parameter", "")  # of a rule about several parameters
        key = str(first["loc"][0]) if first["loc"] else blamed
        value = f" {_short(repr(given[key]))}" if key in given else ""
        named = f"{subject}: {key}{value}" if key else subject
        reason = _short(first["msg"].removeprefix("Value error, "), 500)
        raise error(key, f"{named}: {reason}") from None


def _short(text: str, most: int = 100) -> str:
    """`text` as any terminal can show it, its middle left out beyond `most` characters."""
    text = text.encode("utf-8", "backslashreplace").decode()
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def _check_stage(document: YamlFile, stages: Sequence[Stage], at: tuple[str | int, ...]) -> None:
    """Every column that is read exists, none is made twice, deduplicators come last."""
    *earlier, stage = stages
    makers = {c.name: o.name for s in earlier for o in s.operators for c in o.columns}
    known = set(CLIP_SCHEMA.names) | set(makers)
    for i, operator in enumerate(stage.operators):
        for wanted in operator.reads:
            if wanted not in known:
                raise document.error(
                    (*at, i),
                    f"{operator.name} in stage '{stage.name}' reads the column '{wanted}', which "
                    f"no earlier operator makes{_makers_of(wanted) or nearest(wanted, known)}",
                )
        for made in operator.columns:
            maker = makers.setdefault(made.name, operator.name)
            if maker != operator.name or operator.name in {o.name for o in stage.operators[:i]}:
                raise document.error(
                    (*at, i),
                    f"{operator.name} makes the column '{made.name}', which {maker} already "
                    "makes; a stage uses an operator once, and no two operators share a column",
                )
        known |= {c.name for c in operator.columns}
        later = stage.operators[i + 1 :]
        if operator.kind is Kind.DEDUPLICATOR and later:
            raise document.error(
                (*at, i + 1),
                f"{later[0].name} comes after {operator.name} in one stage; a deduplicator "
                "compares the final clips of a stage, so put what follows into a stage of its own",
            )


def _makers_of(column: str) -> str:
    from dj_ops_lib.registry import operator_names

    makers = [n for n in operator_names() if column in {c.name for c in operator_class(n).columns}]
    return f"; {' or '.join(makers)} makes it" if makers else ""


def _data_juicer(
    document: YamlFile, body: Mapping[str, Any], where: tuple[str | int, ...], default: str
) -> Recipe:
    """A Data-Juicer recipe: a new stage where cutting, measuring and deduplicating alternate.

    `render:` beside `process:` is ours, and means what it does beside `stages:`.
    """
    process = body["process"]
    if not isinstance(process, list) or not process:
        raise document.error(("process",), "`process:` is a list of at least one operator")
    groups: list[list[Operator]] = []
    remarks: list[list[str]] = []
    for i, item in enumerate(process):
        operator = _operator(document, item, ("process", i))
        alone = {Kind.SPLITTER, Kind.DEDUPLICATOR}
        if (
            not groups
            or (operator.kind in alone) != (groups[-1][-1].kind in alone)
            or operator.kind is Kind.DEDUPLICATOR
            or operator.name in {o.name for o in groups[-1]}
        ):
            groups.append([])
            remarks.append([])
        groups[-1].append(operator)
        remarks[-1] += _remarks([item])
    stages: list[Stage] = []
    counts: dict[str, int] = {}
    for group, said in zip(groups, remarks, strict=True):
        base = {Kind.SPLITTER: "clips", Kind.DEDUPLICATOR: "deduplicated"}.get(
            group[0].kind, "cleaned"
        )
        counts[base] = counts.get(base, 0) + 1
        name = base if counts[base] == 1 else f"{base}_{counts[base]}"
        stages.append(Stage(name, tuple(group), remarks=tuple(said)))
        _check_stage(document, stages, ("process",))
    raw = str(body.get("project_name") or default)
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in raw.lower())
    rendering = _rendering(document, body, stages, where)
    return Recipe(name if name.isidentifier() else f"r_{name}", tuple(stages), rendering=rendering)
