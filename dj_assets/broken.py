"""A file under `defs/` that cannot be loaded takes down what it defines, and nothing else.

Its assets stay in the graph, unexecutable, with file, line and reason as their
description. `build_defs(strict=True)`, which `make check` runs, raises instead.
How Dagster finds the files is its own; the methods overridden here are private
and move with its pinned version.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster.components.core.decl import (
    ComponentDecl,
    ComponentLoaderDecl,
    DefsFolderDecl,
    build_filesystem_component_decl_from_context,
)
from dagster.components.core.defs_module import ComponentLoc, ComponentPath

from dj_assets.partitions import shards_of
from dj_ops_lib.rendering import RENDERED

_log = logging.getLogger(__name__)
_SOURCE_STAGES = ("manifest", "raw", "media")


class ToleratingTree(dg.ComponentTree):
    """The component tree in which a broken file is a `BrokenComponent`."""

    def _get_filesystem_decl(self) -> ComponentDecl[Any]:
        loc = ComponentPath.from_path(self.defs_module_path)
        known = self.state_tracker.get_cache_data(loc).component_decl
        if known is not None:
            return known
        made = self._folder(self.decl_load_context.for_component_loc(loc), self.defs_module_path)
        self.state_tracker.set_cache_data(loc, component_decl=made)
        return made

    def _folder(self, context: Any, path: Path) -> DefsFolderDecl:
        children = {}
        for child in sorted(p for p in path.iterdir() if p.name != "__pycache__"):
            within = context.for_component_loc(ComponentPath.from_path(child))
            if child.is_dir() and not (child / "defs.yaml").exists():
                children[child] = self._folder(within, child)
            elif (found := self._leaf(within, child)) is not None:
                children[child] = found
        return DefsFolderDecl(
            context=context,
            loc=ComponentPath.from_path(path),
            children=children,
            source_tree=None,
            component_file_model=None,
        )

    def _leaf(self, context: Any, path: Path) -> ComponentDecl[Any] | None:
        try:
            return build_filesystem_component_decl_from_context(context)
        except Exception as error:
            if not (path / "defs.yaml").exists():
                raise
            broken = BrokenComponent(path / "defs.yaml", error)

            def load(_: Any) -> BrokenComponent:
                return broken

            load.__annotations__["return"] = BrokenComponent
            return ComponentLoaderDecl(
                context=context, loc=ComponentPath.from_path(path), component_node_fn=load
            )

    def _load_component_at_loc(self, resolved_loc: ComponentLoc) -> None:
        try:
            super()._load_component_at_loc(resolved_loc)
        except Exception as error:
            if (file := _yaml_of(resolved_loc)) is None:
                raise
            decl = self._component_decl_tree()[resolved_loc]
            broken = BrokenComponent(file, error)
            self.state_tracker.set_cache_data(resolved_loc, component=broken, component_decl=decl)

    def _build_defs_inner(self, resolved_loc: ComponentLoc) -> dg.Definitions | None:
        try:
            return super()._build_defs_inner(resolved_loc)
        except Exception as error:
            if (file := _yaml_of(resolved_loc)) is None:
                raise
            defs = BrokenComponent(file, error).definitions()
            self.state_tracker.set_cache_data(resolved_loc, defs=defs)
            return defs


class BrokenComponent(dg.Component):
    """A file that cannot be loaded.

    Args:
        file: The `defs.yaml`.
        error: Why.
    """

    def __init__(self, file: Path, error: BaseException) -> None:
        self.file = file
        self.reason = reason(file, error)
        _log.error("%s; its assets cannot be run", self.reason)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Its assets, unexecutable."""
        return self.definitions()

    def definitions(self) -> dg.Definitions:
        """Its assets, unexecutable."""
        keys = asset_keys(self.file)
        return dg.Definitions(assets=[unexecutable(key, self.reason) for key in keys])


def unexecutable(path: Sequence[str], why: str) -> dg.AssetSpec:
    """An asset that stays in the graph and says why it cannot be run."""
    partitioned = path[-1] != "manifest" and path[0] != "broken"
    return dg.AssetSpec(
        dg.AssetKey(list(path)),
        description=f"**Cannot be run.** {why}",
        group_name=path[0],
        partitions_def=shards_of(path[0]) if partitioned else None,
    )


def reason(file: Path, error: BaseException) -> str:
    """What is wrong, with file and line, from the bottom of what Dagster raises."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    mark = getattr(cause, "problem_mark", None)
    if mark is not None:
        return f"{file}:{mark.line + 1}: not valid YAML: {getattr(cause, 'problem', cause)}"
    text = " ".join(str(cause).split())
    return text if str(file) in text else f"{file}: {text}"


def asset_keys(file: Path) -> list[tuple[str, ...]]:
    """The keys that a file defines, as far as can be told although it is broken."""
    text = file.read_text(encoding="utf-8", errors="replace")
    said = _attributes(text)
    name = said.get("name") if isinstance(said.get("name"), str) else file.parent.name
    if "SourceComponent" in text.partition("attributes")[0]:
        return [(str(name), stage) for stage in _SOURCE_STAGES]
    found = [
        (source, str(name), stage)
        for source in _words(said.get("sources"))
        for stage in (*_stages(said.get("stages")), *([RENDERED] if "render" in said else []))
    ]
    return found or [("broken", str(name))]


def _attributes(text: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return _guessed(text)
    said = document.get("attributes") if isinstance(document, dict) else None
    return said if isinstance(said, dict) else {}


def _guessed(text: str) -> Mapping[str, Any]:
    """The names in a text that is no YAML."""
    said: dict[str, Any] = {}
    if listed := re.search(r"^ *sources: *\[([^\]\n]*)", text, re.M):
        said["sources"] = re.findall(r"\w+", listed[1])
    elif block := re.search(r"^ *sources: *\n((?: *- *\w+ *\n)+)", text, re.M):
        said["sources"] = re.findall(r"\w+", block[1])
    said["stages"] = [{"name": n} for n in re.findall(r"^ *- *name: *(\w+)", text, re.M)]
    if re.search(r"^ *render:", text, re.M):
        said["render"] = {}
    return said


def _words(value: Any) -> Iterator[str]:
    for word in value if isinstance(value, list) else ():
        if isinstance(word, str) and re.fullmatch(r"\w+", word):
            yield word


def _stages(value: Any) -> Iterator[str]:
    entries = value if isinstance(value, list) else []
    names = dict.fromkeys(e.get("name") for e in entries if isinstance(e, dict))
    yield from _words(list(names))


def _yaml_of(loc: ComponentLoc) -> Path | None:
    """The `defs.yaml` of one component of it; None for folders and whole files."""
    if not isinstance(loc, ComponentPath) or loc.instance_key is None:
        return None
    file = loc.file_path / "defs.yaml"
    return file if file.exists() else None
