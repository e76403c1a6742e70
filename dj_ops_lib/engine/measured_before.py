"""From a stored result back to what was asked: the operator with its parameters, and the clip.

The operator from the commits, which say with which parameters a digest was
measured; the clip from any table that holds it as it was then. Not here:
measuring it again (`audit.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import pydantic

from dj_ops_lib.clip import Clip
from dj_ops_lib.engine.probing import MEDIA, Probe, file_state
from dj_ops_lib.engine.segment import fingerprints
from dj_ops_lib.errors import DjError, MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.operator import Operator
from dj_ops_lib.registry import operator_class
from dj_ops_lib.warehouse import OperatorUse


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A stored result, and what was asked for it.

    Attributes:
        fact: The result, columns of `RESULT_SCHEMA`.
        operator: Who measured.
        clip: What was looked at.
    """

    fact: Mapping[str, Any]
    operator: Operator
    clip: Clip


class Operators:
    """The operators that measured, by the digest of what they measure.

    Args:
        uses: What the commits say, by digest.
    """

    def __init__(self, uses: Mapping[str, OperatorUse]) -> None:
        self._uses = uses
        self._known: dict[str, Operator | str] = {}

    def of(self, fact: Mapping[str, Any]) -> Operator | str:
        """The operator; or why it cannot be asked again."""
        digest = fact["digest"].hex()
        if digest not in self._known:
            use = self._uses.get(digest)
            self._known[digest] = (
                f"no commit says with which parameters {fact['operator']} measured it"
                if use is None
                else _operator(use)
            )
        return self._known[digest]


def _operator(use: OperatorUse) -> Operator | str:
    try:
        kind = Probe if use.operator == MEDIA else operator_class(use.operator)
        operator = kind.model_validate_json(json.dumps(use.parameters))
    except (DjError, pydantic.ValidationError):
        return f"{use.operator} is not known any more as it was asked"
    if operator.digest() != use.digest:
        versions = f"version {use.version} then, {operator.version} now"
        return f"{use.operator} measures something else now ({versions})"
    return operator


def clips_of(
    facts: Iterable[tuple[Mapping[str, Any], Operator]], tables: Iterable[pa.Table]
) -> dict[str, Clip]:
    """The clips by the fingerprints of those results for which one of the tables has it.

    Args:
        facts: Results, and who measured them.
        tables: Rows of clips.
    """
    wanted: dict[str, set[str]] = {}
    operators: dict[str, Operator] = {}
    for fact, operator in facts:
        fingerprint = _print_of(fact)
        operators[fingerprint[:32]] = operator
        wanted.setdefault(fingerprint[:32], set()).add(fingerprint)
    found: dict[str, Clip] = {}
    for table in tables:
        rows = pl.DataFrame(table).filter(pl.col("signature").is_not_null())
        for digest, operator in operators.items():
            if not set(operator.reads) <= set(rows.columns):
                continue
            prints = fingerprints(operator, rows)
            places = prints.is_in(list(wanted[digest] - found.keys())).arg_true()
            for place in places:
                found.setdefault(prints[place], Clip.from_row(rows.row(place, named=True)))
    return found


def file_of(fact: Mapping[str, Any], probe: Probe, uri: str | None, access: Access) -> Clip | str:
    """The file that a header was read of; or why it cannot be read again."""
    if uri is None:
        return "no table says any more where the file is"
    try:
        state = file_state(uri, dataclasses.replace(access, identity=probe.identity))
    except MediaError as error:
        return f"the file is {error.error_class}"
    if probe.fingerprint(state) != _print_of(fact):
        return "the file was changed or moved since"
    return Clip("", fact["source"], fact["shard"], fact["source_id"], video_uri=uri)


def _print_of(fact: Mapping[str, Any]) -> str:
    return str(fact["digest"].hex() + fact["subject"].hex())
