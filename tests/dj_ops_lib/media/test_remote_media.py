"""Objects behind s3:// (a real server) and Lance blobs are read by range, like files."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from media_truth import Seen, clip, ffmpeg

from dj_ops_lib.clip import Clip
from dj_ops_lib.errors import MediaError, MissingExtraError, OutageError
from dj_ops_lib.media import fetch, object_store
from dj_ops_lib.media.access import Access, Limits, ObjectStore
from dj_ops_lib.media.frames import decode
from dj_ops_lib.media.probe import probe
from dj_ops_lib.media.render import render
from dj_ops_lib.media.sightings import look
from dj_ops_lib.needs import Every, Frames, KeyFrames
from dj_ops_lib.rendering import Rendering

sys.path.append(str(Path(__file__).parent.parent / "warehouse"))
from seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        yield ObjectStore(endpoint_url=server.endpoint, region="us-east-1")
    server.stop()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds in more than 8 MiB."""
    big = tmp_path_factory.mktemp("big") / "big.mp4"
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=640x360:rate=25,noise=alls=30:allf=t",
           "-t", "20", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50",
           "-movflags", "faststart", big)  # fmt: skip
    assert big.stat().st_size > 8 * 2**20
    return big


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six groups of pictures of a second and more than 6 MiB each."""
    path = tmp_path_factory.mktemp("heavy") / "heavy.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24:duration=6", "-vf",
           "noise=alls=100:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "8",
           "-g", "24", "-sc_threshold", "0", "-bf", "2", "-pix_fmt", "yuv420p", path)  # fmt: skip
    assert path.stat().st_size > 6 * 6 * 2**20
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[object_store.ObjectReader]:
    """The readers of objects, which count their requests."""
    readers: list[object_store.ObjectReader] = []

    class Counted(object_store.ObjectReader):
        def __init__(self, uri: str, size: int, access: Access, etag: str | None = None) -> None:
            super().__init__(uri, size, access, etag)
            readers.append(self)

    monkeypatch.setattr(object_store, "ObjectReader", Counted)
    return readers


@pytest.fixture(scope="module")
def remote(store: ObjectStore, videos: dict[str, Path], big: Path) -> Access:
    client = object_store._client(store)
    for name, path in {"cfr.mp4": videos["cfr"], "cfr.mkv": videos["mkv"], "big.mp4": big}.items():
        client.upload_file(str(path), BUCKET, f"videos/{name}")
    client.put_object(Bucket=BUCKET, Key="videos/empty.mp4", Body=b"")
    client.put_object(Bucket=BUCKET, Key="private/a.mp4", Body=b"secret")
    return Access(roots=(f"s3://{BUCKET}/videos",), object_store=store)


@pytest.mark.s3
def test_an_object_is_probed_and_decoded_like_the_file(
    remote: Access, videos: dict[str, Path], access: Access
) -> None:
    for name, kind in {"cfr.mp4": "cfr", "cfr.mkv": "mkv"}.items():
        uri = f"s3://{BUCKET}/videos/{name}"
        assert probe(uri, remote) == probe(str(videos[kind]), access)
        seen = Seen()
        decode(clip(uri, 1.0, 2.0), [(Frames(Every()), seen)], remote)
        assert len(seen.frames) == 24


@pytest.mark.s3
def test_a_window_of_an_object_is_read_without_the_rest(
    remote: Access, counted: list[object_store.ObjectReader]
) -> None:
    uri = f"s3://{BUCKET}/videos/big.mp4"
    assert probe(uri, remote).num_frames == 500
    decode(clip(uri, 10.0, 11.0), [(Frames(KeyFrames()), Seen())], remote)
    blocks = -(-counted[0]._size // object_store.BLOCK_BYTES)
    assert [reader.requests <= blocks // 2 for reader in counted] == [True, True]


@pytest.mark.s3
def test_key_frames_of_an_object_are_read_without_what_lies_between(
    remote: Access,
    store: ObjectStore,
    heavy: Path,
    counted: list[object_store.ObjectReader],
) -> None:
    object_store._client(store).upload_file(str(heavy), BUCKET, "videos/heavy.mp4")
    seen = Seen()
    uri = f"s3://{BUCKET}/videos/heavy.mp4"
    decode(clip(uri, 0.0, 5.0), [(Frames(KeyFrames()), seen)], remote)
    assert seen.times == pytest.approx([0, 1, 2, 3, 4])
    (reader,) = counted
    # Header and index at the file's end, five key frames, and the last group before the end.
    groups = heavy.stat().st_size / 6
    assert reader.requests * object_store.BLOCK_BYTES < 2.5 * groups


@pytest.mark.s3
def test_the_identity_of_an_object_is_its_content_or_its_etag(
    remote: Access, videos: dict[str, Path]
) -> None:
    uri = f"s3://{BUCKET}/videos/cfr.mp4"
    content = videos["cfr"].read_bytes()
    named = (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
    assert fetch.identify(uri, remote) == named
    by_etag, size = fetch.identify(uri, dataclasses.replace(remote, identity="etag"))
    assert by_etag == f"etag:{hashlib.md5(content).hexdigest()}-{size}"


@pytest.mark.s3
def test_objects_outside_the_roots_or_missing_or_too_large_are_refused(remote: Access) -> None:
    classes = {
        f"s3://{BUCKET}/private/a.mp4": "forbidden",
        f"s3://{BUCKET}/videos_of_others/a.mp4": "forbidden",
        f"s3://{BUCKET}/videos/none.mp4": "missing",
        f"s3://{BUCKET}/videos/empty.mp4": "corrupt",
    }
    for uri, expected in classes.items():
        with pytest.raises(MediaError) as caught:
            probe(uri, remote)
        assert caught.value.error_class == expected, uri
    tight = dataclasses.replace(remote, limits=Limits(max_bytes=1000))
    with pytest.raises(MediaError, match="limit"):
        fetch.identify(f"s3://{BUCKET}/videos/cfr.mp4", tight)


@pytest.mark.s3
def test_rendering_a_clip_of_an_object_reads_what_the_clip_needs(
    remote: Access,
    big: Path,
    counted: list[object_store.ObjectReader],
    tmp_path: Path,
) -> None:
    piece = dataclasses.replace(clip(f"s3://{BUCKET}/videos/big.mp4", 10.3, 11.3), signature="a")
    fast = Rendering(preset="ultrafast", crf=10)
    done = render(piece, tmp_path / "remote", remote, fast)
    read = sum(reader.requests for reader in counted) * object_store.BLOCK_BYTES
    assert read < counted[0]._size / 2
    here = dataclasses.replace(piece, video_uri=str(big))
    local = render(here, tmp_path / "local", Access((str(big.parent),)), fast)
    assert Path(done.uri).read_bytes() == Path(local.uri).read_bytes()


@pytest.mark.s3
def test_a_clip_is_rendered_into_an_object_store_once_and_as_a_whole(
    store: ObjectStore, videos: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    piece = dataclasses.replace(clip(videos["cfr"], 0.5, 1.0), signature="abc")
    out, fast = f"s3://{BUCKET}/rendered/x", Rendering(preset="ultrafast")
    local = render(piece, tmp_path / "here", access, fast)
    first = render(piece, out, access, fast, store)
    again = render(piece, out, access, fast, store)
    assert first.uri == f"{out}/{Path(local.uri).name}"
    assert (first.how, again.how, again.size) == ("encoded", "found", local.size)
    client = object_store._client(store)
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="rendered/")["Contents"]
    assert [o["Key"] for o in listed] == [first.uri.removeprefix(f"s3://{BUCKET}/")]
    body = client.get_object(Bucket=BUCKET, Key=listed[0]["Key"])["Body"].read()
    assert body == Path(local.uri).read_bytes()


@pytest.mark.s3
def test_a_store_that_refuses_is_named(
    store: ObjectStore, videos: dict[str, Path], access: Access
) -> None:
    stranger = dataclasses.replace(store, unsigned=True)
    with pytest.raises(OutageError, match=f"s3://{BUCKET}/out/.*refuses to write"):
        render(clip(videos["cfr"], 0.5, 1.0), f"s3://{BUCKET}/out", access, store=stranger)
    with pytest.raises(OutageError, match=f"s3://{BUCKET}/out/x.mp4: .*refuses to write"):
        object_store.upload(videos["cfr"], f"s3://{BUCKET}/out/x.mp4", stranger)


def test_without_boto3_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    unused = ObjectStore(endpoint_url="http://127.0.0.1:9", region="nowhere")
    with pytest.raises(MissingExtraError, match=r"dj-sora\[s3\]"):
        probe("s3://bucket/a.mp4", Access(roots=("s3://bucket",), object_store=unused))


def test_a_lance_blob_is_read_like_the_file(
    videos: dict[str, Path], access: Access, tmp_path: Path
) -> None:
    import lance

    from dj_ops_lib.media.lance_blob import blob_uri

    schema = pa.schema(
        [pa.field("video", pa.large_binary(), metadata={"lance-encoding:blob": "true"})]
    )
    content = [videos[kind].read_bytes() for kind in ("mkv", "cfr")]
    table = str(tmp_path / "videos.lance")
    lance.write_dataset(pa.table({"video": content}, schema), table, data_storage_version="2.1")
    rows = lance.dataset(table).to_table(columns=[], with_row_id=True)["_rowid"].to_pylist()
    uri = blob_uri(table, "video", rows[1])
    inside = Access(roots=(str(tmp_path),))
    assert probe(uri, inside) == probe(str(videos["cfr"]), access)
    assert fetch.identify(uri, inside) == fetch.identify(str(videos["cfr"]), access)
    seen = Seen()
    decode(clip(uri, 1.0, 2.0), [(Frames(Every()), seen)], inside)
    assert len(seen.frames) == 24
    with pytest.raises(MediaError, match="outside"):
        probe(uri, access)
    with pytest.raises(MediaError) as caught:
        probe(blob_uri(table, "video", 99), inside)
    assert caught.value.error_class == "missing"


def described(uri: str, access: Access) -> Clip:
    """A clip of the first second, as the media stage would describe its file."""
    seen, (media_id, size) = look(uri, access), fetch.identify(uri, access)
    known = {"media_id": media_id, "media_bytes": size, "media_state": seen.state}
    return dataclasses.replace(clip(uri, 0.0, 1.0), **known)


@pytest.mark.s3
def test_an_object_that_was_replaced_since_it_was_described_is_not_read(
    remote: Access, store: ObjectStore, videos: dict[str, Path], tmp_path: Path
) -> None:
    client, uri = object_store._client(store), f"s3://{BUCKET}/videos/moving.mp4"
    content = videos["cfr"].read_bytes()
    client.put_object(Bucket=BUCKET, Key="videos/moving.mp4", Body=content)
    for access in (remote, dataclasses.replace(remote, identity="etag")):
        before = described(uri, access)
        assert before.media_state is not None
        assert before.media_state.startswith("etag:")
        other = content[:-1] + bytes([content[-1] ^ 1])  # of equal size
        client.put_object(Bucket=BUCKET, Key="videos/moving.mp4", Body=other)
        for read in (
            lambda c, a: decode(c, [(Frames(Every()), Seen())], a),
            lambda c, a: render(c, tmp_path, a),
        ):
            with pytest.raises(MediaError, match="changed since media") as refusal:
                read(before, access)
            assert refusal.value.error_class == "changed"
        client.put_object(Bucket=BUCKET, Key="videos/moving.mp4", Body=content)
        decode(before, [(Frames(Every()), Seen())], access)
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.s3
def test_bytes_that_came_in_other_parts_are_the_same_object(
    remote: Access, store: ObjectStore, videos: dict[str, Path]
) -> None:
    client, uri = object_store._client(store), f"s3://{BUCKET}/videos/parts.mp4"
    content = videos["cfr"].read_bytes()
    client.put_object(Bucket=BUCKET, Key="videos/parts.mp4", Body=content)
    before = dataclasses.replace(described(uri, remote), media_state="etag:of-another-upload-2")
    seen = Seen()
    decode(before, [(Frames(Every()), seen)], remote)
    assert len(seen.frames) == 24


@pytest.mark.s3
def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(
    remote: Access, store: ObjectStore, big: Path
) -> None:
    client, uri = object_store._client(store), f"s3://{BUCKET}/videos/while.mp4"
    content = big.read_bytes()
    client.put_object(Bucket=BUCKET, Key="videos/while.mp4", Body=content)
    with fetch.open_media(uri, remote) as reader:
        assert reader.read(100) == content[:100]
        client.put_object(Bucket=BUCKET, Key="videos/while.mp4", Body=content[::-1])
        reader.seek(5 * 2**20)
        with pytest.raises(MediaError, match="changed while it was read") as refusal:
            reader.read(100)
    assert refusal.value.error_class == "changed"


def test_a_blob_of_a_table_that_was_written_anew_is_another_one(
    tmp_path: Path, videos: dict[str, Path]
) -> None:
    import lance

    from dj_ops_lib.media.lance_blob import blob_uri

    def write(content: bytes) -> str:
        field = pa.field("video", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
        table = pa.table([pa.array([content], pa.large_binary())], schema=pa.schema([field]))
        shutil.rmtree(tmp_path / "t.lance", ignore_errors=True)
        lance.write_dataset(table, str(tmp_path / "t.lance"))
        return blob_uri(str(tmp_path / "t.lance"), "video", 0)

    access = Access(roots=(str(tmp_path),))
    content = videos["cfr"].read_bytes()
    before = described(write(content), access)
    decode(before, [(Frames(Every()), Seen())], access)
    write(content)  # the same bytes in another file
    decode(before, [(Frames(Every()), Seen())], access)
    write(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(MediaError, match="changed since media"):
        decode(before, [(Frames(Every()), Seen())], access)
