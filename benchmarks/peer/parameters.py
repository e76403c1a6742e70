"""Which parameters the peer's operators take: read from a release's own source, without running it.

    python benchmarks/peer/parameters.py [--version 1.6.1] [--write]

Downloads the release alone, without its dependencies, and prints what differs from the record that
the tests compare with; `--write` renews it. Without `--version` it is the newest release, and the
exit status is 1 if that differs. Parameters are those that the peer's own preflight check knows, of
the constructors and of `_BASE_PARAMS`, the operator's and its base classes', and those in
`_default_kwargs`, which two operators read besides.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dj_ops_lib.registry import operator_names

RECORD = Path(__file__).parents[2] / "tests/dj_ops_lib/operators/data_juicer_parameters.json"
EVERY = "every operator"
"""Entry of the record for what the base class of all operators takes."""

Parameters = dict[str, Any]
"""Default by name; a default that is no literal is {"code": as it is written}."""


def download(folder: Path, version: str | None = None) -> Path:
    """The wheel of a release, the newest if no version is given, in `folder`."""
    wanted = f"py-data-juicer=={version}" if version else "py-data-juicer"
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
    # Another Python than ours would do, too: the wheel is read, not installed.
    where = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest", str(folder)]
    subprocess.run([*command, *where, wanted], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def parameters_of(wheel: Path) -> dict[str, Any]:
    """The record of a release: its version, and by operator that we have, too, its parameters."""
    classes: dict[str, ast.ClassDef] = {}
    operators: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as package:
        for path in package.namelist():
            if path.startswith("data_juicer/ops/") and path.endswith(".py"):
                for node in ast.parse(package.read(path)).body:
                    if isinstance(node, ast.ClassDef):
                        classes[node.name] = node
                        if _is_operator(node):
                            operators[Path(path).stem] = node.name
    every = _taken(classes, "OP")
    ours = {name: operators[name] for name in operator_names() if name in operators}
    return {
        "version": wheel.name.split("-")[1],
        EVERY: every,
        **{
            name: {k: v for k, v in _taken(classes, found).items() if k not in every}
            for name, found in ours.items()
        },
    }


def _is_operator(node: ast.ClassDef) -> bool:
    return any("register_module" in ast.unparse(d) for d in node.decorator_list)


def _taken(classes: Mapping[str, ast.ClassDef], name: str) -> Parameters:
    """What the class and its bases take, the most derived default first."""
    if name not in classes:
        return {}
    taken = dict(_own(classes[name]))
    for base in classes[name].bases:
        taken = _taken(classes, ast.unparse(base).rpartition(".")[2]) | taken
    return taken


def _own(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            given = item.args
            positional = [*given.posonlyargs, *given.args][1:]
            missing: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
            defaults = [*missing, *given.defaults, *given.kw_defaults]
            for argument, default in zip([*positional, *given.kwonlyargs], defaults, strict=True):
                yield argument.arg, _value(default)
        elif isinstance(item, ast.Assign) and isinstance(item.value, ast.Dict):
            target = ast.unparse(item.targets[0])
            for key, value in zip(item.value.keys, item.value.values, strict=True):
                if key is None:
                    continue  # **OP._BASE_PARAMS: the base class's own
                if target == "_default_kwargs":
                    yield ast.literal_eval(key), _value(value)
                elif target == "_BASE_PARAMS" and isinstance(value, ast.Tuple):
                    yield ast.literal_eval(key), _value(value.elts[1])


def _value(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return {"code": ast.unparse(node)}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What the two records do not agree in, a line each, by operator and parameter."""
    lines = []
    for name in sorted((old.keys() | new.keys()) - {"version"}):
        before, after = old.get(name, {}), new.get(name, {})
        lines += [f"{name}: {k} is new" for k in sorted(after.keys() - before.keys())]
        lines += [f"{name}: {k} is gone" for k in sorted(before.keys() - after.keys())]
        lines += [
            f"{name}: {k} = {after[k]!r}, was {before[k]!r}"
            for k in sorted(before.keys() & after.keys())
            if before[k] != after[k]
        ]
    return lines


def read_record() -> dict[str, Any]:
    """The record that the tests compare with."""
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Compare a release with the record, and renew it if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", help="a release; default: the newest")
    parser.add_argument("--write", action="store_true", help="renew the record")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = parameters_of(download(Path(folder), given.version))
    lines = differences(read_record() if RECORD.exists() else {}, found)
    print(f"py-data-juicer {found['version']}", *(lines or ["the same as the record"]), sep="\n")
    if given.write:
        RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    elif lines:
        sys.exit(1)


if __name__ == "__main__":
    main()
