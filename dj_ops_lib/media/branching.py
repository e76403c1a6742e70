"""Filters of a graph that branches, for libavfilter and for the ffmpeg program alike.

Nodes are added in order and name their inputs; the last one is the result.
Not here: which nodes (`regions`, `filling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.filter import Graph

Output = tuple[int, int]
"""A node, by the order in which they were added, and which of its outputs."""

START: Output = (-1, 0)
"""What the first nodes begin with."""


class Branching:
    """A graph of filters with one input and one output."""

    def __init__(self) -> None:
        self._nodes: list[tuple[str, dict[str, str], tuple[Output, ...]]] = []

    def add(self, name: str, *inputs: Output, **options: str) -> Output:
        """Add a filter; its first output."""
        self._nodes.append((name, options, inputs))
        return len(self._nodes) - 1, 0

    def split(self, source: Output) -> tuple[Output, Output]:
        """Two copies of an output: each can be an input once only."""
        node, _ = self.add("split", source)
        return (node, 0), (node, 1)

    def add_to(self, graph: Graph, previous: Any) -> Any:
        """Add the filters after `previous`; the one that comes last."""
        made = [previous]
        for name, options, inputs in self._nodes:
            node = graph.add(name, **options)
            for pad, (source, output) in enumerate(inputs):
                made[source + 1].link_to(node, output, pad)
            made.append(node)
        return made[-1]

    def of_stream(self, stream: Any) -> Any:
        """The same for the ffmpeg program: ffmpeg-python's stream with the filters applied."""
        import ffmpeg

        made: list[Mapping[int, Any]] = [{0: stream}]
        for name, options, inputs in self._nodes:
            streams = [made[source + 1][output] for source, output in inputs]
            node = ffmpeg.filter_multi_output(streams, name, **options)
            made.append({0: node[0], 1: node[1]})
        return made[-1][0]
