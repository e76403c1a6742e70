"""How far a file goes, against what its header declares: whether its end is missing."""

from __future__ import annotations

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import MICROSECONDS
from dj_ops_lib.media.position import NEVER

_MISSING_END_US = MICROSECONDS // 10
"""A file that ends this much, and two frames, before what it declares has lost its end."""

_LOOSE_END_US = MICROSECONDS // 4
"""The same where only the container declares a duration, which may be rounded or another
stream's."""


class Reach:
    """What was seen of one file. Times are microseconds from its beginning.

    Args:
        declared_us: The duration that the header declares; None if it does not.
        is_videos: Whether that is the video stream's own; else it ends where any stream does.
        frame_us: Duration of a frame.
        uri: Name of the file, for messages.
    """

    def __init__(
        self, declared_us: int | None, *, is_videos: bool, frame_us: float, uri: str
    ) -> None:
        self.declared_us = declared_us
        self.is_videos = is_videos
        self._frame_us = frame_us
        self._uri = uri
        self._reached_us = -NEVER

    def note(self, end_us: int, *, is_video: bool) -> None:
        """A packet that ends then was there."""
        if is_video or not self.is_videos:
            self._reached_us = max(self._reached_us, end_us)

    def check(self, clip_end_us: int | None) -> None:
        """At the end of the file: whether it stops before the clip does, and before it should.

        Raises:
            MediaError: `decode_error`.
        """
        if self.declared_us is None:
            return
        wanted = self.declared_us if clip_end_us is None else min(self.declared_us, clip_end_us)
        missing = _MISSING_END_US if self.is_videos else _LOOSE_END_US
        if self._reached_us < wanted - max(missing, round(2 * self._frame_us)):
            raise MediaError(
                f"{self._uri}: ends at {max(0, self._reached_us) / 1e6:.3f} s, declares "
                f"{self.declared_us / 1e6:.3f} s; the file is cut off or damaged",
                "decode_error",
            )
