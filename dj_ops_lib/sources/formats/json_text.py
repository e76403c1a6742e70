"""JSON as annotation files hold it: parsed without losing anything, written back likewise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(n for n in names if names.count(n) > 1)
        raise ValueError(f"the field {doubled!r} is there twice")
    return result


def parse_object(raw: bytes) -> dict[str, Any]:
    r"""The JSON object in `raw`.

    Raw control characters in strings are taken as they are, escaped surrogate pairs become one
    character, `NaN` and `Infinity`, which Python's own writer makes, become those words.

    Raises:
        ValueError: Not UTF-8, not JSON, not an object, nested too deeply, or a field there twice.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), strict=False, object_pairs_hook=_object, parse_constant=str
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} of the entry is not UTF-8") from None
    except json.JSONDecodeError as error:
        message = f"not JSON ({error.msg} at character {error.pos + 1} of the entry)"
        raise ValueError(message) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {json.dumps(value)[:40]}")
    return value


def salvage_text(raw: bytes, field: str) -> str | None:
    """The text or whole number that damaged JSON gives a field, None if several or none."""
    name = re.escape(json.dumps(field))
    pattern = rf'{name}\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?![\d.eE]))'
    found = set(re.findall(pattern, raw.decode("utf-8", "replace"), re.DOTALL))
    if len(found) != 1:
        return None
    try:
        return str(json.loads(found.pop(), strict=False))
    except ValueError:  # an escape that there is not, or more digits than Python reads
        return None


def is_storable(text: str) -> bool:
    r"""Whether `text` is Unicode; a lone surrogate such as `\ud83d` is not and fits no column."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def dump_object(fields: Mapping[str, Any]) -> str:
    """`fields` as JSON text; in ASCII escapes where a string in it is not Unicode.

    Numbers that JSON cannot write become words, as in `parse_object`.
    """
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    except ValueError:
        fields = json.loads(json.dumps(fields), parse_constant=str)
        text = json.dumps(fields, ensure_ascii=False)
    return text if is_storable(text) else json.dumps(fields)
