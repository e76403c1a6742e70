"""One pass over a clip for all observers: packets, pictures and sound, as they come.

`decode` is the only place that decodes for operators. Plans are merged, a frame
is decoded once and converted once per size and format, and nothing is kept that
is not being looked at, so memory does not grow with the length of a video. The
clip's span is honoured by seeking.

A decode error is: an error that the demuxer or the decoder returns; a packet or
a picture that FFmpeg marks as corrupt; a file that ends before the clip does and
0.1 s and two frames before what it declares (0.25 s where only the container
declares a duration). What comes before the first key frame after a seek, and
pictures that lean on it, are no error: they are not part of what was asked for.
A transport stream declares nothing: cut off, it is as long as what is left, and
only its last picture tells. Nothing is returned when one is met.
"""

from __future__ import annotations

from collections.abc import Sequence

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MediaError
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.clip_pass import ClipPass, DecodeReport
from dj_ops_lib.media.container import open_container
from dj_ops_lib.needs import Need, Observer

__all__ = ["DecodeReport", "decode"]


def decode(clip: Clip, wanted: Sequence[tuple[Need, Observer]], access: Access) -> DecodeReport:
    """Show a clip to its observers in one pass.

    Args:
        clip: The clip; its `video_uri`, span and edits say what is shown.
        wanted: What each observer needs to see.
        access: What may be read.

    Raises:
        MediaError: The file cannot be opened (as `probe.probe`), is another one than the clip's row
            tells of (`changed`), is damaged or ends early
            inside the clip (`decode_error`), or holds nothing of it (`span_out_of_range`).
            Observers have then seen a part of the clip only.
    """
    if clip.video_uri is None:
        raise MediaError(f"clip {clip.clip_id}: no video file is known for it", "missing")
    with open_container(clip.video_uri, access, clip) as container:
        return ClipPass(container, clip, clip.video_uri, wanted, access).run()
