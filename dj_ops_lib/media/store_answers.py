"""What an object store answers, as errors: of one object, or of the store and the settings.

Not here: requests (`object_store.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dj_ops_lib.errors import MediaError, OutageError

_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_OF_THE_STORE = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidToken": "renew the credentials",
    "ExpiredToken": "renew the credentials",
    "TokenRefreshRequired": "renew the credentials",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": "correct the region (AWS_REGION)",
    "AuthorizationQueryParametersError": "correct the region (AWS_REGION)",
    "PermanentRedirect": "correct the region (AWS_REGION) or the endpoint",
    "IllegalLocationConstraintException": "correct the region (AWS_REGION)",
    "AccountProblem": "ask who keeps the account",
    "AllAccessDisabled": "ask who keeps the account",
    "QuotaExceeded": "free space there, or choose another place",
    "SlowDown": "run fewer workers, or try later",
    "Throttling": "run fewer workers, or try later",
    "RequestTimeout": "try later",
}
"""Error codes of S3 that are about no object; what to do."""

_OF_THE_OBJECT = {
    404: ("missing", "no such object"),
    412: ("changed", "the object changed while it was read"),  # it has another etag
    416: ("changed", "the object changed while it was read"),  # it is shorter
}
"""Error classes and texts of answers about one object, by HTTP status."""

_BARE = {"301", "400", "403", "404"}
"""Codes of an answer to HEAD, which has no body that says more."""


@contextlib.contextmanager
def answers(uri: str, client: Any, *, writing: bool = False) -> Iterator[None]:
    """Turn what a request of `client` for `uri` raises into errors of this package.

    Args:
        uri: The object, or a prefix.
        client: The client.
        writing: Whether it writes; then a refusal is the settings' fault, not one object's.

    Raises:
        MediaError: `missing`, `forbidden`, `changed` or `io_error`: of this object.
        OutageError: The store does not answer, knows neither bucket nor keys, or does not let
            these keys write.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _told(uri, _with_its_code(uri, client, error), writing=writing) from error
    except (BotoCoreError, ConnectionError, TimeoutError) as error:
        text = " ".join(str(error).split())
        advice = "is the endpoint right, does the store answer? It can be run again then"
        if "redentials" in type(error).__name__ or "Token" in type(error).__name__:
            advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        elif "Region" in type(error).__name__:
            advice = "set AWS_REGION"
        raise OutageError(f"{uri}: {text}; {advice}") from error


def _with_its_code(uri: str, client: Any, error: Any) -> Any:
    """The error, or where it has no code the one that a request with a body gives."""
    from botocore.exceptions import ClientError

    if error.response.get("Error", {}).get("Code") not in _BARE:
        return error
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
    except ClientError as fuller:
        return fuller
    return error


def _told(uri: str, error: Any, *, writing: bool) -> MediaError | OutageError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    said = f"{code}{f' ({text})' if text else ''}"
    if code in _OF_THE_STORE or status >= 500:
        advice = _OF_THE_STORE.get(code, "try later")
        return OutageError(f"{uri}: the object store says {said}; {advice}")
    if status in {401, 403}:
        if writing:
            return OutageError(
                f"{uri}: the object store refuses to write: {said}; give these keys the right to"
            )
        return MediaError(f"{uri}: the object store refuses access: {said}", "forbidden")
    if status in _OF_THE_OBJECT:
        return MediaError(f"{uri}: {_OF_THE_OBJECT[status][1]}", _OF_THE_OBJECT[status][0])
    if writing:
        return OutageError(f"{uri}: the object store does not take it: {said}")
    return MediaError(f"{uri}: the object store says {said}", "io_error")
