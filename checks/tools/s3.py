"""Objects of an S3 store, read as a stream that outlives a cut or silent connection.

The back end of django-storages copies a whole object to disk before its first byte can be read; here the body streams.
A body that breaks off, or from which nothing comes for the client's read time-out, is asked for again from the byte
where it broke, and only if the object is still the same one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from checks.errors import CheckError

#: So often in a row a connection may break without one byte of progress.
TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.5


def is_store(storage: Any) -> bool:
    """Whether the storage is an S3 store."""
    return getattr(storage, "bucket", None) is not None


def found(storage: Any, key: str) -> Any:
    """The object of boto3 behind a key, its size and tag loaded. FileNotFoundError, OSError."""
    from botocore.exceptions import ClientError

    there = storage.bucket.Object(storage._normalize_name(key))
    try:
        there.load()
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FileNotFoundError(key) from None
        raise OSError(str(error)) from error
    return there


@contextmanager
def opened(storage: Any, key: str) -> "Iterator[Body]":
    """The object's body as a stream. FileNotFoundError where there is none."""
    body = Body(found(storage, key), key)
    try:
        yield body
    finally:
        body.close()


def copied(storage: Any, source: str, target: str) -> None:
    """Copy an object on the store's own side."""
    there = found(storage, source)
    place = storage.bucket.Object(storage._normalize_name(target))
    place.copy({"Bucket": there.bucket_name, "Key": there.key}, Config=storage.transfer_config)


def begun(storage: Any, folder: str) -> list[tuple[str, str]]:
    """(name directly in the folder, upload id) of uploads in parts that were begun and neither finished nor given up.

    Nothing lists them as objects, and the store keeps their parts, and asks money for them, for ever.
    """
    prefix = storage._normalize_name(folder) + "/"
    pages = storage.connection.meta.client.get_paginator("list_multipart_uploads")
    found = []
    for page in pages.paginate(Bucket=storage.bucket.name, Prefix=prefix):
        for upload in page.get("Uploads", []):
            name = upload["Key"].removeprefix(prefix)
            if "/" not in name:
                found.append((name, upload["UploadId"]))
    return found


def give_up(storage: Any, key: str, upload: str) -> None:
    """Let the store forget the parts of an upload."""
    client = storage.connection.meta.client
    client.abort_multipart_upload(Bucket=storage.bucket.name, Key=storage._normalize_name(key), UploadId=upload)


class Body:
    """A readable stream over one version of an object."""

    def __init__(self, there: Any, key: str) -> None:
        self._object, self._key = there, key
        self._size, self._tag = there.content_length, there.e_tag
        self._at = 0
        self._stream: Any = None

    def read(self, size: int = -1, /) -> bytes:
        """``size`` bytes, fewer only at the end. OSError and boto's own errors after ``TRIES`` without progress."""
        wanted = self._size - self._at if size < 0 else min(size, self._size - self._at)
        pieces: list[bytes] = []
        while wanted > 0:
            piece = self._piece(wanted)
            self._at += len(piece)
            wanted -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, wanted: int) -> bytes:
        """At least one byte."""
        for attempt in range(TRIES):
            try:
                if self._stream is None:
                    self._stream = self._ask()
                piece: bytes = self._stream.read(wanted)
            except CheckError:
                raise
            except Exception as error:
                self.close()
                if attempt == TRIES - 1 or not _may_pass(error):
                    raise
                time.sleep(_PAUSE_SECONDS * 2**attempt)
                continue
            if piece:
                return piece
            # It ended early without saying so.
            self.close()
        raise OSError(f"it breaks off after {self._at:,} of {self._size:,} bytes, {TRIES} times in a row")

    def _ask(self) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self._object.get(Range=f"bytes={self._at}-", IfMatch=self._tag)["Body"]
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status in (404, 412):
                raise CheckError(
                    f"The object {self._key} was replaced or removed while it was read.",
                    remedy="Find out who writes to the storage beside this program.",
                ) from None
            raise

    def close(self) -> None:
        if self._stream is not None:
            with suppress(Exception):
                self._stream.close()
            self._stream = None


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: the connection or the server broke, and nobody refused."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    return isinstance(error, BotoCoreError | OSError) or type(error).__module__.split(".")[0] == "urllib3"
