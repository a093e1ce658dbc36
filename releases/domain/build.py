"""The build: one file, kept in storage under its own digest, so that nothing else can take its place."""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from django.core.files import File
from django.core.files.storage import default_storage

from releases.errors import DomainError

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class StoredBuild:
    """``digest``: SHA-256 hex of the file; ``key``: its name in storage; ``size`` in bytes."""

    digest: str
    key: str
    size: int


def store_build(build_file: IO[bytes]) -> StoredBuild:
    """Stream a build into storage under ``builds/<sha256>`` and read it back. Never whole in memory.

    Raises DomainError for an empty file, for storage that gave back other bytes than it was given, and for storage
    that cannot be written. A build that is stored already is read and compared, not stored twice.
    """
    with tempfile.TemporaryFile() as spool:
        digest, size = _copy(build_file, spool)
        if not size:
            raise DomainError("The build is an empty file. Nothing was kept; choose the artifact.", field="build_file")
        key = f"builds/{digest}"
        try:
            if not default_storage.exists(key):
                spool.seek(0)
                _save(key, spool)
            found = _stored_digest(key)
        except OSError as error:
            raise DomainError(
                f"The build could not be stored: {error}. No release was made; mend the storage and try again."
            ) from error
    if found != digest:
        raise DomainError(
            f"Storage gave back other bytes for {key} than it was given (SHA-256 {found}). "
            "No release was made; an administrator must look at the storage."
        )
    return StoredBuild(digest, key, size)


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    for chunk in _chunks(source):
        hasher.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def _save(key: str, content: IO[bytes]) -> None:
    name = default_storage.save(key, File(content))
    if name != key:  # somebody stored the same build meanwhile; theirs is read back and compared
        default_storage.delete(name)


def _stored_digest(key: str) -> str:
    hasher = hashlib.sha256()
    with default_storage.open(key, "rb") as stored:
        for chunk in _chunks(stored):
            hasher.update(chunk)
    return hasher.hexdigest()


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
