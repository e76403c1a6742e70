"""Timestamps of annotation files, in seconds."""

from __future__ import annotations

import re
from decimal import Decimal

_CLOCK = re.compile(r"(?:(?P<h>\d{1,4}):)?(?P<m>\d{1,2}):(?P<s>\d{1,2}(?:\.\d{1,20})?)", re.ASCII)
_LARGEST_S = 1e9
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,20})?", re.ASCII)


def parse_timestamp(value: object, field: str) -> float:
    """Seconds of `H:MM:SS.fff`, `HH:MM:SS`, `MM:SS` or of plain seconds, as text or number.

    Args:
        value: The timestamp.
        field: Its name, for the message.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST_S:
        return abs(float(value))  # a number has many spellings, 1e-05 and -0.0 among them
    text = value if isinstance(value, str) else ""
    if _SECONDS.fullmatch(text):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    if not clock or int(clock["m"]) > 59 or Decimal(clock["s"]) >= 60:
        raise ValueError(f"{field} {str(value)[:60]!r} is not a timestamp such as 00:01:02.345")
    return float(3600 * int(clock["h"] or 0) + 60 * int(clock["m"]) + Decimal(clock["s"]))


def format_timestamp(seconds: float) -> str:
    """Seconds as `H:MM:SS.mmm`, rounded to milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds:03d}"


def restore_timestamp(written: object, seconds: float, digits: int = 1) -> object:
    """The timestamp as the dataset wrote it, or anew if the clip now begins or ends elsewhere.

    Args:
        written: What the annotation file said.
        seconds: Where the clip begins or ends now.
        digits: Digits of the hours, where it is written anew.
    """
    try:
        unchanged = abs(parse_timestamp(written, "") - seconds) < 0.0005
    except ValueError:
        unchanged = False
    return written if unchanged else format_timestamp(seconds).zfill(10 + digits)


def parse_span(start: object, end: object, fields: tuple[str, str]) -> tuple[float, float]:
    """Start and end in seconds.

    Raises:
        ValueError: One is no timestamp, or the end does not come after the start.
    """
    start_s, end_s = parse_timestamp(start, fields[0]), parse_timestamp(end, fields[1])
    if end_s <= start_s:
        raise ValueError(f"{fields[1]} {end!r} does not come after {fields[0]} {start!r}")
    return start_s, end_s
