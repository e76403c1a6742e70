"""Times of pictures or packets that follow one another, of which only some say when.

Where a container stamps the first picture of each of its packets alone, FFmpeg may give a stamp to
the picture before or after (MPEG program streams with pictures of less than 2 KiB, 2026-11-26). So
a stamp that is not where the pictures before it lead to is believed only if the next stamp does not
say that it is wrong. Not here: reading (`position`) and decoding (`video`).
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_MOST_WAITING = 300
"""What is held until a stamp that is doubted has been settled."""


class Succession(Generic[Item]):
    """Gives each item its time, in ticks: its own stamp, or the end of the one before it."""

    def __init__(self) -> None:
        self._waiting: collections.deque[tuple[Item, int | None, int]] = collections.deque()
        self._next: int | None = None

    def push(self, item: Item, stamp: int | None, length: int) -> Iterator[tuple[Item, int | None]]:
        """Take the next item; those whose time is known now, in order.

        Args:
            item: The item.
            stamp: When it says that it is; None if it does not.
            length: How long it lasts.

        Returns:
            Items and times; None where there is no stamp at all.
        """
        self._waiting.append((item, stamp, length))
        yield from self._settle(is_last=False)

    def flush(self) -> Iterator[tuple[Item, int | None]]:
        """The items that still wait."""
        yield from self._settle(is_last=True)

    def clear(self) -> None:
        """Forget everything: what comes next does not follow."""
        self._waiting.clear()
        self._next = None

    def _settle(self, *, is_last: bool) -> Iterator[tuple[Item, int | None]]:
        while self._waiting:
            item, stamp, length = self._waiting[0]
            if self._next is None and stamp is None:
                self._next = self._before_first()
                if self._next is None and not is_last and len(self._waiting) < _MOST_WAITING:
                    return
            time = self._next if stamp is None else stamp
            if stamp is not None and self._next is not None:
                is_right = self._is_right(stamp, self._next)
                if is_right is None and not is_last and len(self._waiting) < _MOST_WAITING:
                    return
                time = stamp if is_right else self._next
            self._waiting.popleft()
            if time is not None:
                self._next = time + length
            yield item, time

    def _before_first(self) -> int | None:
        """When the item in front is, if one that waits says when it is itself."""
        since = 0
        for _, stamp, lasts in self._waiting:
            if stamp is not None:
                return stamp - since
            since += lasts
        return None

    def _is_right(self, stamp: int, expected: int) -> bool | None:
        """Whether the stamp of the item in front is right; None as long as that is not known."""
        _, _, length = self._waiting[0]
        if 2 * abs(stamp - expected) < length:
            return True  # rounded
        for _, following, lasts in itertools.islice(self._waiting, 1, None):
            expected += length
            if following is not None:
                return 2 * abs(following - expected) >= lasts
            length = lasts
        return None
