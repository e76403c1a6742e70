"""What a header says about fields and colours, in FFmpeg's words, as ffprobe prints them.

Labels can be wrong: nothing is rejected because of one. Not here: what rendering makes
of them (`conventions`), and what the pictures themselves show (`video_interlace_filter`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_FIELD_ORDERS = (None, "progressive", "tt", "bb", "tb", "bt")
"""By FFmpeg's `AVFieldOrder`. First letter: the field coded first, second: that shown first."""

_TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
_MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
"""By the code points of ITU-T H.273, which FFmpeg's numbers are. 2 says `unspecified`."""


class Labels(TypedDict):
    """The columns of `clip.CLIP_SCHEMA` of these names; None where the header does not say."""

    bit_depth: int | None
    field_order: str | None
    color_transfer: str | None
    color_primaries: str | None
    color_space: str | None
    color_range: str | None


def labels_of(video: VideoStream) -> Labels:
    """What the header of a stream says about its pictures."""
    context = video.codec_context
    order = context.field_order
    return Labels(
        bit_depth=max((c.bits for c in video.format.components), default=None)
        if video.format is not None
        else None,
        field_order=_FIELD_ORDERS[order] if 0 <= order < len(_FIELD_ORDERS) else None,
        color_transfer=_TRANSFERS.get(int(context.color_trc)),
        color_primaries=_PRIMARIES.get(int(context.color_primaries)),
        color_space=_MATRICES.get(int(context.colorspace)),
        color_range={1: "tv", 2: "pc"}.get(int(context.color_range)),
    )
