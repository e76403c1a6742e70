"""Real files that break whoever reads them: they crash, take for ever, unfold, or lead elsewhere.

Each is small and made here byte by byte, or by an encoder, the same at every run.
"""

from __future__ import annotations

import os
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAME_MS = 40
LONG_FRAMES = 1_000_000


def noise(path: Path, width: int, height: int, *, frames: int = 6) -> None:
    """A video of noise, of any shape."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"threads": "1", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            image = random.integers(0, 256, (height, width, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))


def low(path: Path) -> None:
    """Sixteen rows of noise: OpenCV 5.0's DIS optical flow writes outside of such pictures."""
    noise(path, 256, 16)


def long(path: Path) -> None:
    """Eleven hours in 24 MB: a picture, then a million times that nothing changes."""
    first, same = _pictures()
    times = range(FRAME_MS, LONG_FRAMES * FRAME_MS, FRAME_MS)
    path.write_bytes(FLV + _tag(0, first) + b"".join(_tag(t, same) for t in times))


def endless(path: Path) -> None:
    """A second of video, and one more picture after twelve days."""
    first, same = _pictures()
    times = [*range(FRAME_MS, 1000, FRAME_MS), 2**30]
    path.write_bytes(FLV + _tag(0, first) + b"".join(_tag(t, same) for t in times))


FLV = b"FLV\x01\x01\0\0\0\x09\0\0\0\0"


def _pictures() -> tuple[bytes, bytes]:
    """A picture, and that it stays, as FLV keeps H.263."""
    encoder = av.CodecContext.create("flv1", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", 25, Fraction(1, 25)
    packets = []
    for i in range(2):
        frame = av.VideoFrame(16, 16, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = i
        packets += encoder.encode(frame)
    first, same = (bytes(p) for p in [*packets, *encoder.encode(None)])
    return b"\x12" + first, b"\x22" + same


def _tag(time_ms: int, payload: bytes) -> bytes:
    time = (time_ms & 0xFFFFFF).to_bytes(3) + bytes([time_ms >> 24])
    head = b"\x09" + len(payload).to_bytes(3) + time + bytes(3)
    return head + payload + (11 + len(payload)).to_bytes(4)


def unfolding(path: Path) -> None:
    """A black picture of 400 MB in 400 KB: PNG, 8192 x 8192, 48 bits a pixel."""
    _png_movie(path, 8192)


def vast(path: Path) -> None:
    """Some KB that declare a picture of 10000 x 10000."""
    _png_movie(path, 1000)
    content = path.read_bytes()
    for width in (2, 4):  # bytes of a size in the container, and in the picture
        content = content.replace(2 * (1000).to_bytes(width), 2 * (10000).to_bytes(width))
    path.write_bytes(content)


def _png_movie(path: Path, edge: int) -> None:
    row = bytes(1 + 6 * edge)  # a filter byte, then red, green and blue
    compressor = zlib.compressobj()
    data = b"".join(compressor.compress(row) for _ in range(edge)) + compressor.flush()
    size = edge.to_bytes(4)
    chunks = ((b"IHDR", size + size + b"\x10\x02\0\0\0"), (b"IDAT", data), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(c).to_bytes(4) + name + c + zlib.crc32(name + c).to_bytes(4) for name, c in chunks
    )
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = edge
        stream.pix_fmt = "rgb48be"
        packet = av.Packet(png)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.is_keyframe = True
        container.mux(packet)


def truncated(path: Path) -> None:
    """The first half of a file whose index is at its end."""
    noise(path, 64, 64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def torn(path: Path) -> None:
    """A file whose header says more than half of its pictures that follow."""
    whole = path.with_suffix(".whole")
    with av.open(str(whole), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        random = np.random.default_rng(0)
        for _ in range(10):
            image = random.integers(0, 256, (64, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    content = whole.read_bytes()
    whole.unlink()
    start = content.index(b"mdat")
    path.write_bytes(content[: start + (len(content) - start) // 20])


def pipe(path: Path) -> None:
    """A FIFO, which nobody writes to."""
    os.mkfifo(path)


def playlist(path: Path) -> None:
    """A playlist that names a video outside of the media root."""
    secret = path.parent.parent / "secret.ts"
    noise(secret, 64, 64)
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:5", "#EXTINF:5,", str(secret), "#EXT-X-ENDLIST")
    path.write_text("\n".join(lines), encoding="ascii")
