"""Exact deduplicator."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

import pyarrow as pa

from dj_ops_lib.clip import Clip
from dj_ops_lib.needs import Observer, Packets
from dj_ops_lib.operator import Column, Columns, Deduplicator, parameter


class VideoDeduplicator(Deduplicator):
    """Finds clips whose compressed video is the same byte for byte.

    The hash is the MD5 over the packets of the video streams, so it does not see the container,
    its metadata or the sound. A clip in the middle of a file is the packets of its own frames
    (Data-Juicer sees whole files only), and edits are part of it. Several video streams are hashed
    one by one and their hashes together, where Data-Juicer hashes the streams one after the other.
    A clip without packets repeats nothing.

    Of equal clips the one that was kept first stays. If it goes, the next one comes back: in the
    run that removes it, and after a takedown in the next run of any shard of the table.

    Source: Data-Juicer's operator of the same name.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("video_hash", pa.string(), "MD5 over the clip's video packets"),
        Column("video_text_hash", pa.string(), "MD5 of the stripped text"),
    )
    reads: ClassVar[tuple[str, ...]] = ("text",)

    consider_text: bool = parameter(
        False, "clips are equal only if their texts are, too", decides=True
    )

    def needs(self) -> Packets:
        """Packets: nothing is decoded."""
        return Packets()

    def observe(self, clip: Clip) -> Observer:
        """Hash the packets as they come."""
        return _PacketHash(clip)

    @property
    def compares(self) -> tuple[str, ...]:
        """The packets, and the text if asked for."""
        return ("video_hash", "video_text_hash") if self.consider_text else ("video_hash",)


class _PacketHash(Observer):
    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._whole = clip.start_s is None and clip.end_s is None
        self._streams: dict[int, hashlib._Hash] = {}

    def packet(self, payload: bytes, pts_s: float | None, stream: int) -> None:
        if not self._whole and pts_s is not None:
            # Packets from the key frame before a span are needed to decode it, but they are not
            # its frames; half a millisecond is the rounding of Matroska's time base.
            span = self._clip.span
            if not span.start_s - 0.0005 <= pts_s < span.end_s - 0.0005:
                return
        if stream not in self._streams:
            self._streams[stream] = hashlib.md5(usedforsecurity=False)
        self._streams[stream].update(payload)

    def result(self) -> Columns:
        parts = [h.hexdigest() for _, h in sorted(self._streams.items())]
        if parts and self._clip.edits:
            parts.append(json.dumps([e.to_row() for e in self._clip.edits], sort_keys=True))
        if len(parts) > 1:
            joined = "\n".join(parts).encode()
            parts = [hashlib.md5(joined, usedforsecurity=False).hexdigest()]
        text = self._clip.text
        return {
            "video_hash": parts[0] if parts else None,
            "video_text_hash": None
            if text is None
            else hashlib.md5(text.strip().encode(), usedforsecurity=False).hexdigest(),
        }
