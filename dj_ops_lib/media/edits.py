"""A clip's edits as a filter graph of libavfilter, applied to decoded frames.

The graph begins with what makes a picture upright and its pixels square, so
that an edit always sees what a viewer sees; `render` builds the same chain for
the ffmpeg program. Filters work on one picture at a time (`filter_rules`), so
only the pictures that somebody wants go through; the few that look at
neighbouring pictures, or count them, are fed every one of the clip.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dj_ops_lib.clip import Edit
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.orientation import display_size, of_frame
from dj_ops_lib.media.regions import REGION, add_region

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.filter import Graph
    from av.video.frame import VideoFrame

NEIGHBOURS = {"amplify", "atadenoise", "bwdif", "deflicker", "fade", "fftdnoiz", "hqdn3d"}
NEIGHBOURS |= {"idet", "lagfun", "noise", "normalize", "scroll", "yadif"}
"""Filters whose result depends on other pictures than the one at hand."""

_COUNTS = re.compile(r"(?<![A-Za-z_])[nN](?![A-Za-z_])")
_TIME = re.compile(r"(?<![A-Za-z_])[tT](?![A-Za-z_])")
_TICK = Fraction(1, 1_000_000)

Node = tuple[str, dict[str, str]]


def video_edits(edits: Sequence[Edit]) -> list[Edit]:
    """Those that change pictures."""
    return [edit for edit in edits if edit.stream == "video"]


def audio_edits(edits: Sequence[Edit]) -> list[Edit]:
    """Those that change sound."""
    return [edit for edit in edits if edit.stream == "audio"]


def needs_every_frame(edits: Sequence[Edit]) -> bool:
    """Whether a picture's result depends on the pictures before it."""
    return any(
        edit.filter in NEIGHBOURS or any(_COUNTS.search(value) for _, value in edit.arguments)
        for edit in video_edits(edits)
    )


def cut_edits(edits: Sequence[Edit], late_s: float) -> list[Edit]:
    """The edits of a piece that begins `late_s` seconds after the clip that was edited.

    Times in edits, such as those of a face that moves, count from the beginning of the clip that
    they were made for. Where there are any, the piece's clock is put forward for the edits.
    """
    if not late_s or not any(_has_times(edit) for edit in edits):
        return list(edits)
    clock = [Edit("setpts", (("expr", f"PTS{sign}{late_s:.6f}/TB"),)) for sign in ("+", "-")]
    return [clock[0], *edits, clock[1]]


def _has_times(edit: Edit) -> bool:
    values = dict(edit.arguments)
    if edit.filter == REGION:
        return bool({"from", "to"} & set(values)) or ":" in values.get("x", "") + values.get(
            "y", ""
        )
    return edit.stream == "video" and (
        edit.filter in {"fade", "setpts"} or any(_TIME.search(v) for v in values.values())
    )


def square(width: int, height: int) -> list[Node]:
    """Nodes that scale to a size and declare its pixels square."""
    return [
        ("scale", {"w": str(width), "h": str(height)}),
        ("setsar", {"sar": "1"}),
    ]


def picture_nodes(edits: Sequence[Edit]) -> list[Node]:
    """The edits on upright pictures with square pixels, which they are again at the end."""
    nodes = [(edit.filter, dict(edit.arguments)) for edit in video_edits(edits)]
    return [*nodes, ("scale", {"w": "round(iw*sar)", "h": "ih"}), ("setsar", {"sar": "1"})]


def add_node(graph: Graph, previous: Any, name: str, options: dict[str, str]) -> Any:
    """Add a filter after another, or the several filters of a region; what comes last."""
    if name == REGION:
        return add_region(graph, previous, options)
    node = graph.add(name, **options)
    previous.link_to(node)
    return node


def edited_size(width: int, height: int, edits: Sequence[Edit]) -> tuple[int, int]:
    """(width, height) that a clip of this display size has after its edits.

    Raises:
        ValueError: A filter cannot work on a picture of this size.
    """
    from dj_ops_lib.media.filter_rules import filtered_size

    chain = [(edit.filter, dict(edit.arguments)) for edit in video_edits(edits)]
    return filtered_size(chain, width, height)


class PictureEdits:
    """The video edits of one clip.

    Args:
        edits: The clip's edits.
        sample_aspect_ratio: That of its coded pictures.
        uri: Name of the file, for messages.
        bt709: Filters that bring its colours to BT.709 before all edits.
    """

    def __init__(
        self,
        edits: Sequence[Edit],
        sample_aspect_ratio: Fraction | None,
        uri: str,
        bt709: Sequence[Node] = (),
    ) -> None:
        self._edits = video_edits(edits)
        self._sar = sample_aspect_ratio
        self._uri = uri
        self._bt709 = bt709
        self._graph: Graph | None = None
        self._kind: tuple[Any, ...] = ()
        self._waiting: collections.deque[tuple[int, bool]] = collections.deque()

    def apply(self, frame: VideoFrame, time_us: int) -> VideoFrame:
        """One picture, edited; for edits that need no neighbours.

        Raises:
            MediaError: `decode_error`: a filter refuses it.
        """
        for edited, _, _ in self.push(frame, time_us, key_frame=False):
            return edited
        raise self._error("a filter holds the picture back")

    def push(
        self, frame: VideoFrame | None, time_us: int, *, key_frame: bool
    ) -> Iterator[tuple[VideoFrame, int, bool]]:
        """Feed the next picture, None at the end; edited ones with their time and key flag.

        Raises:
            MediaError: `decode_error`: a filter refuses it.
        """
        import av.error

        try:
            if frame is not None:
                self._prepare(frame)
                self._waiting.append((time_us, key_frame))
                frame.pts, frame.time_base = time_us, _TICK
            if self._graph is None:
                return
            self._graph.vpush(frame)
            while True:
                edited = self._graph.vpull()
                at, key = self._waiting.popleft() if self._waiting else (edited.pts or 0, False)
                yield edited, at, key
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            raise self._error(str(error.strerror)) from error

    def _prepare(self, frame: VideoFrame) -> None:
        kind = (frame.width, frame.height, frame.format.name)
        if kind == self._kind:
            return
        self._kind = kind
        orientation = of_frame(frame)
        size = display_size(frame.width, frame.height, self._sar, swaps=orientation.swaps)
        nodes: list[Node] = [(name, dict(options)) for name, options in orientation.filters]
        nodes += [*self._bt709, *square(*size), *picture_nodes(self._edits)]
        from av.filter import Graph

        self._graph = graph = Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
        )
        last: Any = source
        for name, options in nodes:
            last = add_node(graph, last, name, options)
        last.link_to(graph.add("buffersink"))
        graph.configure()

    def _error(self, text: str) -> MediaError:
        names = ", ".join(edit.filter for edit in self._edits)
        return MediaError(f"{self._uri}: editing ({names}) fails: {text}", "decode_error")


class SoundEdits:
    """The audio edits of one clip; the sound keeps its rate.

    Args:
        edits: The clip's edits.
        uri: Name of the file, for messages.
    """

    def __init__(self, edits: Sequence[Edit], uri: str) -> None:
        self._edits = audio_edits(edits)
        self._uri = uri
        self._graph: Graph | None = None
        self._kind: tuple[Any, ...] = ()

    def push(self, frame: AudioFrame | None, time_s: float) -> Iterator[tuple[AudioFrame, float]]:
        """Feed the next frame, None at the end; edited ones with their times in seconds.

        Raises:
            MediaError: `decode_error`: a filter refuses it.
        """
        import av.error

        if not self._edits:
            if frame is not None:
                yield frame, time_s
            return
        try:
            if frame is not None:
                self._prepare(frame)
                frame.pts, frame.time_base = round(time_s * 1_000_000), _TICK
            if self._graph is None:
                return
            self._graph.push(frame)
            while True:
                edited: Any = self._graph.pull()
                yield edited, float((edited.pts or 0) * edited.time_base)
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            names = ", ".join(edit.filter for edit in self._edits)
            message = f"{self._uri}: editing its sound ({names}) fails: {error.strerror}"
            raise MediaError(message, "decode_error") from error

    def _prepare(self, frame: AudioFrame) -> None:
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        if kind == self._kind:
            return
        self._kind = kind
        from av.filter import Graph

        self._graph = graph = Graph()
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=_TICK,
        )
        chain = [source, *(graph.add(e.filter, **dict(e.arguments)) for e in self._edits)]
        chain.append(graph.add("aresample", str(frame.sample_rate)))
        graph.link_nodes(*chain, graph.add("abuffersink")).configure()
