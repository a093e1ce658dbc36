"""The build: one file, kept in storage under its own digest, so that nothing else can take its place."""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection, transaction

from releases.errors import DomainError
from releases.models import Release

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
            with transaction.atomic():
                _one_at_a_time(digest)
                found = _store(key, digest, spool)
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


def _one_at_a_time(digest: str) -> None:
    """Two people may bring the same build at once; nobody reads what the other has half written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(bytes.fromhex(digest[:16]), signed=True)])


def _store(key: str, digest: str, spool: IO[bytes]) -> str:
    """Store the build unless it is there, and return the digest of what storage gives back."""
    if default_storage.exists(key):
        found = _stored_digest(key)
        if found == digest or Release.objects.filter(build_key=key).exists():
            return found
        default_storage.delete(key)  # no release knows it: what an interrupted upload left
    spool.seek(0)
    name = default_storage.save(key, File(spool))
    if name != key:
        raise OSError(f"it was kept as {name} instead of {key}")
    return _stored_digest(key)


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    for chunk in _chunks(source):
        hasher.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return hasher.hexdigest(), size


def _stored_digest(key: str) -> str:
    hasher = hashlib.sha256()
    with default_storage.open(key, "rb") as stored:
        for chunk in _chunks(stored):
            hasher.update(chunk)
    return hasher.hexdigest()


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
