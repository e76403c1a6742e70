"""Which FFmpeg filters an edit may use, and what they do to a picture's size.

Allowed is what maps one picture to one picture, or sound to sound of the same
length, and neither reads nor writes a file or the network. Not here: building
the filter graph of a clip's edits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from dj_ops_lib.media.regions import REGION, branch

_VIDEO = (
    "amplify atadenoise avgblur bilateral bm3d boxblur bwdif cas chromanr chromashift colorbalance "
    "colorchannelmixer colorcontrast colorcorrect colorhold colorize colorlevels colortemperature "
    "convolution crop curves dblur deband deblock deflate deflicker delogo despill dilation "
    "drawbox drawgrid edgedetect elbg epx eq erosion exposure fade fftdnoiz fillborders format "
    "gblur geq gradfun grayworld greyedge hflip histeq hqdn3d hqx hsvhold hue huesaturation "
    "idet inflate kirsch lagfun lenscorrection limiter lut lutrgb lutyuv median monochrome negate "
    "nlmeans noise normalize null owdenoise pad perspective pixelize pp prewitt pseudocolor "
    "removegrain rgbashift roberts rotate sab scale scharr scroll selectivecolor setdar setparams "
    "setrange setsar shear shuffleplanes smartblur sobel spp swapuv tonemap transpose unsharp "
    "uspp v360 vaguedenoiser vflip vibrance vignette xbr yadif yaepblur zscale"
)
VIDEO_FILTERS = frozenset(_VIDEO.split())
"""Filters from one picture to one picture. Left out on purpose: those that read or write files
(`movie`, `subtitles`, `drawtext`, `lut3d`, `removelogo`, `deshake`, `sr`, ...), take commands
(`sendcmd`, `zmq`), or change time (`fps`, `setpts`, `trim`, `loop`, `reverse`, `select`, ...)."""

_AUDIO = (
    "acompressor acontrast acrusher adeclick adeclip adecorrelate adenorm adynamicequalizer "
    "adynamicsmooth aemphasis aexciter afade afftdn aformat agate alimiter allpass anequalizer "
    "anlmdn anull aphaser apsyclip apulsator aresample asoftclip asubboost asubcut asupercut "
    "asuperpass asuperstop atilt bandpass bandreject bass biquad chorus compand crossfeed "
    "crystalizer dcshift deesser dialoguenhance dynaudnorm earwax equalizer extrastereo flanger "
    "haas hdcd highpass highshelf loudnorm lowpass lowshelf mcompand pan speechnorm stereotools "
    "stereowiden superequalizer tiltshelf treble tremolo vibrato virtualbass volume"
)
AUDIO_FILTERS = frozenset(_AUDIO.split())
"""Filters from sound to sound of the same length. Left out: those that read or write files
(`amovie`, `arnndn`, `sofalizer`, `firequalizer`, ...) or change time (`atempo`, `atrim`, ...)."""

FILE_OPTIONS = frozenset({"psfile", "plot", "file", "filename", "dumpfile", "model", "stats_file"})
"""Options that name a file in filters that are allowed without them."""


def check_filter(stream: str, name: str, arguments: Mapping[str, str]) -> None:
    """Whether a filter may be used, exists, and takes these options.

    Args:
        stream: `video` or `audio`.
        name: FFmpeg's name of the filter.
        arguments: Its options.

    Raises:
        ValueError: It may not, does not, or does not take them.
    """
    import av.error
    import av.filter

    allowed = VIDEO_FILTERS if stream == "video" else AUDIO_FILTERS
    if name not in allowed:
        raise ValueError(
            f"the {stream} filter {name!r} is not allowed: filters that read files, change time "
            "or have several inputs are left out (media/filter_rules.py lists the allowed ones)"
        )
    for option in sorted(FILE_OPTIONS & set(arguments)):
        raise ValueError(f"the option '{option}' of '{name}' is not allowed: it names a file")
    if name not in av.filter.filters_available:
        raise ValueError(f"the filter '{name}' is not part of this build of FFmpeg")
    try:
        av.filter.Graph().add(name, **arguments)
    except av.error.FFmpegError as error:
        raise ValueError(f"{name} refuses {dict(arguments)}: {error.strerror}") from None
    except ValueError as error:  # PyAV's words for an option that the filter does not have
        option = str(error).removeprefix("unused config: ")
        raise ValueError(f"the filter '{name}' has no option '{option}'") from None


def filtered_size(
    filters: Sequence[tuple[str, Mapping[str, str]]], width: int, height: int
) -> tuple[int, int]:
    """(width, height) in square pixels of a picture of this size after video filters.

    They are applied one after the other: a `scale` may leave oblong pixels to a `setsar`.

    Args:
        filters: Names and options.
        width: Of the picture, in square pixels.
        height: Likewise.

    Raises:
        ValueError: A filter cannot work on a picture of this size.
    """
    import av
    import av.error
    import av.filter

    for name, arguments in filters:
        if name == REGION:
            branch(arguments)
    chain = [(name, dict(arguments)) for name, arguments in filters if name != REGION]
    if not chain:
        return width, height
    try:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25)
        )
        square = graph.add("setsar", sar="1")
        nodes = [graph.add(name, **arguments) for name, arguments in chain]
        squared = graph.add("scale", w="round(iw*sar)", h="ih")
        graph.link_nodes(source, square, *nodes, squared, graph.add("buffersink")).configure()
        picture = av.VideoFrame(width, height, "yuv420p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        source.push(picture)
        source.push(None)
        result = graph.vpull()
    except av.error.FFmpegError as error:
        done = ", ".join(f"{name} {arguments}" for name, arguments in chain)
        message = f"{done} fails on {width}x{height}: {error.strerror}"
        raise ValueError(message) from None
    return result.width, result.height
