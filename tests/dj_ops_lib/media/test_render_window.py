"""A clip of a remote video is the clip of the local one, though little of it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest
from media_truth import clip, ffmpeg

from dj_ops_lib.media import lance_blob
from dj_ops_lib.media.access import Access
from dj_ops_lib.media.lance_blob import blob_uri
from dj_ops_lib.media.render import render
from dj_ops_lib.media.window import fetch_window
from dj_ops_lib.rendering import Rendering

FAST = Rendering(preset="ultrafast", crf=10)
SPANS = [(29 / 24, 59 / 24), (1.25, None)]


class Blobs:
    """A Lance table of videos, and how many bytes of them were read."""

    def __init__(self, folder: Path, videos: list[Path]) -> None:
        import lance

        blob = pa.field("video", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
        content = pa.table({"video": [v.read_bytes() for v in videos]}, pa.schema([blob]))
        self._table = str(folder / "videos.lance")
        lance.write_dataset(content, self._table, data_storage_version="2.1")
        rows = lance.dataset(self._table).to_table(columns=[], with_row_id=True)["_rowid"]
        self._rows = dict(zip(videos, rows.to_pylist(), strict=True))
        self.access = Access((str(folder),))
        self.read = 0

    def uri(self, video: Path) -> str:
        return blob_uri(self._table, "video", self._rows[video])


@pytest.fixture(scope="module")
def blobs(videos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blobs]:
    """All of the videos, and three that are made for this."""
    root = videos["cfr"].parent
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=24:duration=60,noise=alls=20:allf=t",
           "-c:v", "libx264", "-preset", "ultrafast", "-g", "24", root / "minute.mp4")  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", "color=black:size=64x64:rate=25:duration=4",
           "-f", "lavfi", "-i", "sine=frequency=1000:duration=4",
           "-vf", "drawbox=color=white:t=fill:enable='between(t,2,2.2)'",
           "-af", "volume=enable='not(between(t,2,2.2))':volume=0",
           "-c:v", "libx264", "-g", "25", "-c:a", "aac", root / "flash.mp4")  # fmt: skip
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=24:duration=3", "-c:v", "libvpx-vp9",
           "-deadline", "realtime", "-cpu-used", "8", "-g", "30", root / "vp9.webm")  # fmt: skip
    more = [root / name for name in ("minute.mp4", "flash.mp4", "vp9.webm")]
    made = Blobs(tmp_path_factory.mktemp("blobs"), [*videos.values(), *more])
    original = lance_blob.open_blob

    class Counted(io.RawIOBase):
        def __init__(self, blob: io.BufferedReader) -> None:
            self._blob = blob
            self.seek, self.tell, self.close = blob.seek, blob.tell, blob.close  # type: ignore[method-assign]

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            found = self._blob.readinto(buffer)
            made.read += found
            return found

    def counted(uri: str, access: Access) -> Counted:
        return Counted(original(uri, access))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lance_blob, "open_blob", counted)
        yield made


def pictures(path: str) -> list[tuple[float, bytes]]:
    """Time and pixels of each picture of a file."""
    with av.open(path) as container:
        return [
            (f.time or 0.0, f.to_ndarray(format="rgb24").tobytes())
            for f in container.decode(video=0)
        ]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    "kind",
    ["cfr", "vfr", "open_gop", "edit_list", "late", "fragmented", "rotated", "mirrored", "sar",
     "ten_bit", "mkv", "flv", "ts", "vp9"],
)  # fmt: skip
def test_a_clip_of_a_remote_video_has_the_pictures_of_the_local_one(
    kind: str,
    span: tuple,
    videos: dict[str, Path],
    access: Access,
    blobs: Blobs,
    tmp_path: Path,
) -> None:
    video = videos.get(kind, videos["cfr"].with_name("vp9.webm"))
    local = render(clip(video, *span), tmp_path / "local", access, FAST)
    remote = render(clip(blobs.uri(video), *span), tmp_path / "remote", blobs.access, FAST)
    assert local.how == remote.how
    wanted, got = pictures(local.uri), pictures(remote.uri)
    assert [p for _, p in got] == [p for _, p in wanted]
    # A Matroska counts milliseconds, an MP4 does so before the first picture.
    assert [t for t, _ in got] == pytest.approx([t for t, _ in wanted], abs=1.1e-3)


def test_little_else_is_read_than_the_clip_needs(
    videos: dict[str, Path], blobs: Blobs, tmp_path: Path
) -> None:
    minute = videos["cfr"].with_name("minute.mp4")
    blobs.read = 0
    zero = fetch_window(
        blobs.uri(minute), tmp_path / "part.mp4", 30_500_000, 33_000_000, blobs.access
    )
    assert zero is not None
    size = minute.stat().st_size
    assert (tmp_path / "part.mp4").stat().st_size < size / 15
    assert blobs.read < size / 3  # in blocks of 1 MiB
    assert size > 8 * 2**20


def test_what_an_mp4_cannot_say_is_left_to_the_whole_file(
    videos: dict[str, Path], blobs: Blobs, tmp_path: Path
) -> None:
    whole = {
        kind: fetch_window(
            blobs.uri(videos[kind]), tmp_path / f"{kind}.mp4", 500_000, 2_000_000, blobs.access
        )
        is None
        for kind in ("avi", "ts", "webm", "mkv", "flv", "cfr", "open_gop", "fragmented")
    }
    assert {kind for kind, is_whole in whole.items() if is_whole} == {"avi", "ts", "webm"}


@pytest.mark.parametrize("start", [0.5, 1.0, 1.37])
def test_sound_is_in_step(
    start: float, videos: dict[str, Path], blobs: Blobs, tmp_path: Path
) -> None:
    uri = blobs.uri(videos["cfr"].with_name("flash.mp4"))
    done = render(clip(uri, start, 3.5), tmp_path, blobs.access, FAST)
    white = next(
        t for t, picture in pictures(done.uri) if np.frombuffer(picture, np.uint8).mean() > 128
    )
    with av.open(done.uri) as container:
        sound = [
            (f.time or 0.0, f.sample_rate, f.to_ndarray()[0]) for f in container.decode(audio=0)
        ]
    beep = next(
        time + float(np.argmax(np.abs(samples) > 0.05)) / rate
        for time, rate, samples in sound
        if np.abs(samples).max() > 0.05
    )
    assert white == pytest.approx(2 - start, abs=0.041)
    assert beep == pytest.approx(2 - start, abs=0.041)


def test_an_error_names_the_remote_video(
    blobs: Blobs, videos: dict[str, Path], tmp_path: Path
) -> None:
    from dj_ops_lib.errors import MediaError

    uri = blobs.uri(videos["one_frame"])
    with pytest.raises(MediaError) as caught:
        render(clip(uri, 1.0, 2.0), tmp_path, blobs.access, FAST)
    assert str(caught.value) == f"{uri}: no picture lies in the span"
