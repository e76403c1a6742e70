"""How a file stores its pictures, and the filters that bring them to the one form of all files.

That form is plain: upright, square pixels, progressive, of standard dynamic range. A
file can say otherwise in its header or on its pictures; here is where both are read.
Not here: words of headers (`labels`), the curve (`tone_mapping`), and who asks (`render`).
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error

from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.container import main_video, open_container
from dj_ops_lib.media.labels import Labels, labels_of
from dj_ops_lib.media.orientation import Orientation, declares_matrix, display_size, of_frame
from dj_ops_lib.media.tone_mapping import HDR, Node, is_wide, to_bt709

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from dj_ops_lib.media.access import Access

INTERLACED = {"tt", "bb", "tb", "bt"}

PROGRESSIVE: list[Node] = [
    ("idet", {}),
    ("bwdif", {"mode": "send_frame", "deint": "interlaced"}),
    ("setparams", {"field_mode": "prog"}),
]
"""Pictures whose lines come from two instants are made anew from one; labels are not believed:
`idet` looks at the lines, and says so to the filter after it."""

DEINTERLACERS = {"bwdif", "yadif"}


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """How the pictures of a file are stored.

    Attributes:
        size: (width, height) in pixels when upright and square.
        coded: Likewise as they are coded.
        orientation: How they are turned for display.
        by_quarters: Whether the file says just that, and not another angle near it.
        sample_aspect_ratio: Width of a pixel by its height.
        interlaced: Whether the header or the first picture calls the lines those of two instants.
        is_rgb: Whether they are stored as red, green and blue.
        labels: What the header says about fields and colours.
    """

    size: tuple[int, int]
    coded: tuple[int, int]
    orientation: Orientation
    by_quarters: bool
    sample_aspect_ratio: Fraction
    interlaced: bool
    is_rgb: bool
    labels: Labels

    @property
    def is_wide(self) -> bool:
        """Whether they hold a higher range or more colours than BT.709."""
        return is_wide(self.labels["color_transfer"], self.labels["color_primaries"])

    @property
    def is_plain(self) -> bool:
        """Whether a copy of them is in the form of all files."""
        return (
            self.orientation == Orientation()
            and self.by_quarters
            and self.sample_aspect_ratio == 1
            and not self.interlaced
            and not self.is_wide
        )

    @property
    def top_first(self) -> bool:
        """Whether the upper line of two is the earlier one, as far as the header says.

        Matroska writes `tb` for what MP4 calls `tt`: the letter of the field coded first tells.
        """
        return (self.labels["field_order"] or "t")[0] == "t"

    def plain_nodes(self, *, deinterlace: bool) -> list[Node]:
        """Filters from pictures as they are coded to upright and progressive ones of BT.709.

        Args:
            deinterlace: Whether pictures are made progressive where labels say they are not.
        """
        nodes = [*PROGRESSIVE] if deinterlace and self.interlaced else []
        if self.turned_by_nodes:
            nodes.append(("sidedata", {"mode": "delete", "type": "DISPLAYMATRIX"}))
            nodes += [(name, dict(options)) for name, options in self.orientation.filters]
        return nodes + bt709_nodes(self.labels, is_rgb=self.is_rgb)

    @property
    def turned_by_nodes(self) -> bool:
        """Whether `plain_nodes` turn pictures, where the ffmpeg program would do it otherwise.

        It turns before all filters, which makes columns of the lines of interlaced pictures, and
        by any angle, which decoding takes to the nearest quarter.
        """
        turned = self.orientation != Orientation()
        return not self.by_quarters or (turned and self.interlaced)

    def labels_for(
        self, encoder: str, pixel_format: str, *, plain: bool, uri: str
    ) -> dict[str, str]:
        """Options that have the ffmpeg program label what it encodes.

        Args:
            encoder: The encoder.
            pixel_format: What the encoder is given.
            plain: Whether pictures went through `plain_nodes`.
            uri: The file, for messages.

        Raises:
            MediaError: `unsupported`: pictures of high range do not fit into the pixel format.
        """
        if plain and self.is_wide:
            how = {"color_primaries": "bt709", "color_trc": "bt709"}
            return how | {"colorspace": "bt709", "color_range": "tv"}
        if plain and self.is_rgb:
            return {"colorspace": "bt709", "color_range": "tv"}
        how = {}
        if not plain and self.labels["color_transfer"] in HDR:
            depth = max(c.bits for c in av.VideoFormat(pixel_format).components)
            if depth < (self.labels["bit_depth"] or 10):
                raise MediaError(
                    f"{uri}: {self.labels['bit_depth']}-bit pictures of high dynamic range "
                    f"({self.labels['color_transfer']}) do not fit into pixel_format "
                    f"{pixel_format}: set pixel_format: yuv420p10le, or pictures: plain",
                    "unsupported",
                )
        if not plain and self.interlaced:
            if self.labels["field_order"] is None:
                raise MediaError(
                    f"{uri}: its pictures are interlaced, and its header does not say which field "
                    "comes first, so neither can a file that keeps them: set pictures: plain",
                    "unsupported",
                )
            how["flags:v"] = "+bitexact+ildct+ilme"
            if encoder == "libx264":  # by itself it says `top first` of all
                how["x264-params"] = "tff=1" if self.top_first else "bff=1"
        return how


def bt709_nodes(labels: Labels, *, is_rgb: bool) -> list[Node]:
    """Filters that bring the colours of pictures to BT.709; none where a matrix says all of them.

    Args:
        labels: What the header says of them.
        is_rgb: Whether they are stored as red, green and blue.
    """
    if is_wide(labels["color_transfer"], labels["color_primaries"]):
        return to_bt709(labels["color_transfer"], labels["color_space"], labels["color_range"])
    if is_rgb:  # without a word, FFmpeg takes the matrix of BT.601, and does not say so
        return [
            ("scale", {"out_color_matrix": "bt709", "out_range": "tv"}),
            ("format", {"pix_fmts": "yuv444p"}),
        ]
    return []


def stored(uri: str, access: Access) -> Stored:
    """Look at a file's header, and at its first picture where that says more.

    Raises:
        MediaError: As `probe.probe`.
    """
    with open_container(uri, access) as container:
        video = main_video(container, uri)
        labels = labels_of(video)
        sar = video.sample_aspect_ratio or Fraction(1)
        coded, name = (video.width, video.height), video.pix_fmt
        first = None
        if labels["field_order"] is None or declares_matrix(container, video):
            first = _first_picture(container, video)
        orientation = of_frame(first) if first is not None else Orientation()
        flagged = first is not None and bool(first.interlaced_frame)
        return Stored(
            size=display_size(*coded, sar, swaps=orientation.swaps),
            coded=coded,
            orientation=orientation,
            by_quarters=first is None or first.rotation % 90 == 0,
            sample_aspect_ratio=sar if sar > 0 else Fraction(1),
            interlaced=flagged or labels["field_order"] in INTERLACED,
            is_rgb=name is not None and av.VideoFormat(name).is_rgb,
            labels=labels,
        )


def _first_picture(container: InputContainer, video: VideoStream) -> VideoFrame | None:
    """The first picture that can be decoded; damage is for others to report."""
    try:
        for packet in container.demux(video):
            try:
                for frame in packet.decode():
                    return frame
            except av.error.InvalidDataError:
                continue
    except av.error.FFmpegError:
        return None
    return None


def check_labels(made: Path, uri: str, source: Stored, access: Access, *, plain: bool) -> None:
    """Whether a file that was encoded says of its pictures what they are.

    Args:
        made: The file.
        uri: What it was made of, for messages.
        source: How that is stored.
        access: What may be read; `made` is.
        plain: Whether it is to be plain, else as its source.

    Raises:
        MediaError: `unsupported`: it does not.
    """
    found = stored(str(made), dataclasses.replace(access, roots=(str(made.parent),)))
    if plain:
        wrong = [] if found.is_plain else [f"{found}"]
    else:
        pairs = {
            "rotation": (found.orientation, source.orientation),
            "sample aspect ratio": (found.sample_aspect_ratio, source.sample_aspect_ratio),
            "fields": (found.interlaced, source.interlaced),
            "first field": (found.top_first, source.top_first),
            "transfer": (found.labels["color_transfer"], source.labels["color_transfer"]),
            "primaries": (found.labels["color_primaries"], source.labels["color_primaries"]),
        }
        wrong = [f"{name} {a}, not {b}" for name, (a, b) in pairs.items() if a != b]
    if wrong:
        message = "ffmpeg labels the encoded pictures as what they are not"
        raise MediaError(f"{uri}: {message}: {'; '.join(wrong)}", "unsupported")
