"""Objects behind `s3://`: media read by range, rendered files written whole.

Nothing is fetched that is not looked at. boto3 (extra `s3`) talks to the store;
credentials are its own affair (`AWS_*` variables, profiles, instance roles). A
reader keeps a handful of blocks, so that a demuxer that goes back and forth
between index and samples asks once.
"""

from __future__ import annotations

import collections
import functools
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from dj_ops_lib.errors import MediaError, MissingExtraError, OutageError
from dj_ops_lib.media.access import Access, ObjectStore
from dj_ops_lib.media.fetch import OBJECT_SCHEME, check_size
from dj_ops_lib.media.store_answers import answers

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK_BYTES = 2**20
"""Bytes a request: at 50 ms latency and 50 MB/s, half of the time is spent on data."""

_KEPT_BLOCKS = 16
_LARGEST_PUT = 5 * 2**30


def resolve_object(uri: str, access: Access) -> str:
    """The URI, if it lies under a root.

    Raises:
        MediaError: `forbidden`.
    """
    roots = [root.rstrip("/") + "/" for root in access.roots if root.startswith(OBJECT_SCHEME)]
    if not any(uri.startswith(root) for root in roots):
        where = ", ".join(access.roots) or "none configured"
        raise MediaError(f"{uri}: lies outside the media roots: {where}", "forbidden")
    return uri


def open_object(uri: str, access: Access) -> BinaryIO:
    """A seekable binary reader of an object.

    Raises:
        MediaError: `missing`, `forbidden` (outside the roots, or the store refuses),
            `corrupt` (empty) or `too_large`.
        MissingExtraError: boto3 is not installed.
    """
    head = _head(uri, access)
    return cast(BinaryIO, ObjectReader(uri, head["ContentLength"], access, head.get("ETag")))


def identify_object(uri: str, access: Access) -> tuple[str, int]:
    """(media_id, size in bytes): the store's etag if configured so, else sha256 of all bytes.

    Raises:
        MediaError, MissingExtraError: As for `open_object`.
    """
    head = _head(uri, access)
    size = int(head["ContentLength"])
    if access.identity == "etag":
        return f"etag:{head['ETag'].strip(chr(34))}-{size}", size
    import hashlib

    with ObjectReader(uri, size, access, head.get("ETag")) as reader:
        return f"sha256:{hashlib.file_digest(reader, 'sha256').hexdigest()}", size


def list_objects(prefix: str, access: Access) -> list[str]:
    """URIs of the objects whose URIs begin with `prefix`, the first thousand of them.

    Raises:
        MediaError: `forbidden`: outside the roots, or the store does not list.
        MissingExtraError: boto3 is not installed.
    """
    bucket, key = _split(resolve_object(prefix, access))
    client = _client(access.object_store)
    with answers(prefix, client):
        page = client.list_objects_v2(Bucket=bucket, Prefix=key)
    return [f"{OBJECT_SCHEME}{bucket}/{found['Key']}" for found in page.get("Contents", ())]


def check_prefix(prefix: str, access: Access) -> None:
    """Look whether there is anything below a root, as far as the store says.

    Raises:
        OutageError: There is not, or the store does not answer.
        MissingExtraError: boto3 is not installed.
    """
    bucket, key = _split(prefix.rstrip("/") + "/")
    client = _client(access.object_store)
    try:
        with answers(prefix, client):
            page = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    except MediaError:  # keys that may read and not list
        return
    if not page.get("KeyCount"):
        raise OutageError(f"the media root {prefix} holds no object; correct where the media are")


def object_size(uri: str, store: ObjectStore) -> int | None:
    """Bytes of a rendered object; None if none of that name can be seen.

    Raises:
        OutageError: The store does not answer, or knows neither bucket nor keys.
        MissingExtraError: boto3 is not installed.
    """
    bucket, key = _split(uri)
    client = _client(store)
    try:
        with answers(uri, client):
            return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"])
    except MediaError:  # none, or keys that may write and not look, which writing tells
        return None


def upload(path: Path, uri: str, store: ObjectStore) -> None:
    """Write a file as an object, which is there as a whole or not at all.

    Raises:
        OutageError: The store does not take it.
        MissingExtraError: boto3 is not installed.
    """
    client = _client(store)
    from boto3.exceptions import S3UploadFailedError
    from boto3.s3.transfer import TransferConfig

    # One request up to what S3 allows in one: parts of a killed upload would stay, unseen.
    config = TransferConfig(multipart_threshold=_LARGEST_PUT, use_threads=False)
    bucket, key = _split(uri)
    with answers(uri, client, writing=True):
        try:
            client.upload_file(str(path), bucket, key, Config=config)
        except S3UploadFailedError as error:  # boto3 hides what the store said
            raise (error.__context__ or OutageError(f"{uri}: {error}")) from None


def delete(uri: str, store: ObjectStore) -> None:
    """Delete an object, if there is one.

    Raises:
        OutageError: The store refuses or does not answer.
        MissingExtraError: boto3 is not installed.
    """
    bucket, key = _split(uri)
    client = _client(store)
    with answers(uri, client, writing=True):
        client.delete_object(Bucket=bucket, Key=key)


class ObjectReader(io.RawIOBase):
    """An object as a file: reads blocks by range requests and keeps the latest ones.

    Args:
        uri: `s3://bucket/key`.
        size: Bytes of the object.
        access: Where the store is.
        etag: The store's name of its content, as it said; what is read later is of no other.
    """

    def __init__(self, uri: str, size: int, access: Access, etag: str | None = None) -> None:
        super().__init__()
        self._uri = uri
        self._size = self.size = size
        self._condition = {"IfMatch": etag} if etag else {}
        self.state = f"etag:{etag.strip(chr(34))}" if etag else None
        self._store = access.object_store
        self._position = 0
        self._blocks: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self.requests = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is requested."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer from here on, at most to the end of a block; 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(view):
            return 0
        number, offset = divmod(self._position, BLOCK_BYTES)
        part = self._block(number)[offset : offset + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        begin = number * BLOCK_BYTES
        end = min(begin + BLOCK_BYTES, self._size)
        client = _client(self._store)
        with answers(self._uri, client):
            bucket, key = _split(self._uri)
            answer = client.get_object(
                Bucket=bucket, Key=key, Range=f"bytes={begin}-{end - 1}", **self._condition
            )
            block: bytes = answer["Body"].read()
        self.requests += 1
        if len(block) != end - begin:
            raise MediaError(f"{self._uri}: the object changed while it was read", "changed")
        self._blocks[number] = block
        if len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return block


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(OBJECT_SCHEME).partition("/")
    return bucket, key


def _head(uri: str, access: Access) -> dict[str, Any]:
    bucket, key = _split(resolve_object(uri, access))
    client = _client(access.object_store)
    with answers(uri, client):
        head: dict[str, Any] = client.head_object(Bucket=bucket, Key=key)
    check_size(uri, int(head["ContentLength"]), access)
    return head


def _client(store: ObjectStore) -> Any:
    """A client for a store; what it leaves open, the environment says."""
    # boto3 reads AWS_ENDPOINT_URL and AWS_DEFAULT_REGION by itself; these are Lance's names.
    endpoint = store.endpoint_url or os.environ.get("AWS_ENDPOINT")
    region = store.region or os.environ.get("AWS_REGION")
    return _client_of(ObjectStore(endpoint, region, store.unsigned))


@functools.cache
def _client_of(store: ObjectStore) -> Any:
    """One client a process and store; it retries what is worth retrying."""
    try:
        import boto3
        import botocore
        from botocore.config import Config
    except ImportError:
        raise MissingExtraError("reading and writing s3:// objects", "s3") from None
    signature = {"signature_version": botocore.UNSIGNED} if store.unsigned else {}
    config = Config(retries={"mode": "standard", "max_attempts": 5}, **signature)
    # A session of its own: boto3's default one keeps the credentials that it was first asked with.
    return boto3.Session().client(
        "s3", endpoint_url=store.endpoint_url, region_name=store.region, config=config
    )
