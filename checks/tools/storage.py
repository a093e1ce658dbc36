"""Objects in the default storage: written from a stream, read back, moved, removed. Any django-storages back end."""

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, default_storage

from checks.errors import Cancelled, CheckError, Fenced
from checks.tools import s3

READ = 1024 * 1024
#: Whose exceptions mean that the storage failed, and not the program.
_LIBRARIES = frozenset(
    {"azure", "boto3", "botocore", "dropbox", "google", "paramiko", "requests", "s3transfer", "urllib3"}
)


@dataclass(frozen=True)
class Stored:
    """An object as it stands in storage. ``sha256`` is hex of its bytes."""

    key: str
    size: int
    sha256: str


class MissingObjectError(CheckError):
    """Storage answers, and the object is not there."""


class PullStream(io.RawIOBase):
    """A readable stream over an iterator of bytes: it is produced only as fast as it is read.

    Counts and hashes what passes. Keeps the producer's own exception, because back ends may wrap it.
    """

    def __init__(self, source: Iterable[bytes]) -> None:
        self.pieces = self._passing(source)
        self._rest: bytes | memoryview = b""
        self._hash = sha256()
        self.size = 0
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        return True

    def _passing(self, source: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for piece in source:
                self._hash.update(piece)
                self.size += len(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _Upload(File):  # type: ignore[type-arg]
    """A file of unknown length for ``Storage.save``: read once, from front to back."""

    def __init__(self, stream: PullStream, name: str) -> None:
        super().__init__(io.BufferedReader(stream, READ), name=name)
        self._stream = stream

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The pieces as they come, without a copy of them; for back ends that take pieces of any size."""
        return self._stream.pieces

    def multiple_chunks(self, chunk_size: int | None = None) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def write(key: str, source: Iterable[bytes]) -> Stored:
    """Write an object from a stream; whatever was begun is removed when this raises.

    CheckError names a full or unreachable storage. An exception of the source comes through as it is.
    """
    stream = PullStream(source)
    try:
        saved = default_storage.save(key, _Upload(stream, key))
    except BaseException as error:
        remove(key)
        if stream.failure is not None and stream.failure is not error:
            raise stream.failure from error
        if isinstance(error, CheckError | Cancelled | Fenced) or stream.failure is not None:
            raise
        if isinstance(error, Exception):
            raise storage_error(f"{key} could not be written", error) from error
        raise
    if saved != key:
        remove(saved)
        raise CheckError(
            f"Storage already holds {key}.", remedy="Nothing was replaced. Start the run again; it takes a new name."
        )
    return Stored(key, stream.size, stream.sha256)


def read_back(key: str, progress: Callable[[int], None] | None = None) -> Stored:
    """Read a whole object from storage and say its size and digest. CheckError when it is missing or unreadable."""
    digest, size = sha256(), 0
    with opened(key) as source:
        while piece := source.read(READ):
            digest.update(piece)
            size += len(piece)
            if progress is not None:
                progress(size)
    return Stored(key, size, digest.hexdigest())


@contextmanager
def opened(key: str) -> Iterator[IO[bytes]]:
    """Open an object for streaming. CheckError when it is missing, or when it cannot be read."""
    try:
        with _open(key) as source:
            yield source
    except FileNotFoundError:
        raise _missing(key) from None
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"{key} could not be read", error) from error
        raise


@contextmanager
def _open(key: str) -> Iterator[IO[bytes]]:
    if s3.is_store(default_storage):
        with s3.opened(default_storage, key) as body:
            yield cast("IO[bytes]", body)
        return
    with default_storage.open(key, "rb") as source:
        yield source


def of_back_end(error: Exception) -> bool:
    """Whether an exception comes from the disk, the network or the back end's own library."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _LIBRARIES


def move(source: str, target: str) -> None:
    """Give an object its final name. A folder renames at once; S3 copies on its side; others copy through us."""
    try:
        _move(source, target)
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"{source} could not be given its final name", error) from error
        raise


def _move(source: str, target: str) -> None:
    storage: Storage = default_storage
    if exists(target):
        raise CheckError(f"Storage already holds {target}.", remedy="Nothing was replaced. Start the run again.")
    if _is_folder():
        Path(storage.path(target)).parent.mkdir(parents=True, exist_ok=True)
        Path(storage.path(source)).rename(storage.path(target))
        return
    if s3.is_store(storage):
        s3.copied(storage, source, target)
    else:
        with opened(source) as stream:
            write(target, iter(lambda: stream.read(READ), b""))
    remove(source)


def _is_folder() -> bool:
    return isinstance(getattr(default_storage, "_wrapped", default_storage), FileSystemStorage) or (
        isinstance(default_storage, FileSystemStorage)
    )


@contextmanager
def settled(key: str) -> Iterator[None]:
    """At the end of the block an object outlives a power cut, its bytes and its name; a folder's disk writes meanwhile.

    Other back ends answer when they have it. CheckError when the disk refuses.
    """
    if not _is_folder():
        yield
        return
    with ThreadPoolExecutor(1, thread_name_prefix="settle") as thread:
        settling = thread.submit(_settle, Path(default_storage.path(key)))
        yield
        try:
            settling.result()
        except OSError as error:
            raise storage_error(f"{key} could not be written", error) from error


def _settle(path: Path) -> None:
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def size(key: str) -> int:
    """How many bytes an object has, without reading it. MissingObjectError when it is not there."""
    try:
        if s3.is_store(default_storage):
            return int(s3.found(default_storage, key).content_length)
        return int(default_storage.size(key))
    except FileNotFoundError:
        raise _missing(key) from None
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"{key} could not be looked at", error) from error
        raise


def _missing(key: str) -> MissingObjectError:
    return MissingObjectError(
        f"Storage holds no object {key}.", remedy="It was removed, or another storage is configured."
    )


def exists(key: str) -> bool:
    return default_storage.exists(key)


def remove(key: str) -> None:
    """Remove an object; one that is not there, or cannot be removed now, is no error."""
    try:
        default_storage.delete(key)
    except Exception:  # noqa: BLE001 - clearing up must never hide why it was needed
        return


def remove_surely(key: str) -> None:
    """Remove an object and see that it is gone; CheckError when storage refuses."""
    try:
        default_storage.delete(key)
        still_there = default_storage.exists(key)
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"{key} could not be removed", error) from error
        raise
    if still_there:
        raise CheckError(
            f"Storage still holds {key} after it was removed.", remedy="Look at the rules and rights of that storage."
        )


def names(folder: str) -> list[str]:
    """Names of the objects directly in a folder, sorted; none where the folder does not exist."""
    try:
        return sorted(default_storage.listdir(folder)[1])
    except FileNotFoundError:
        return []
    except Exception as error:
        raise storage_error(f"{folder} could not be listed", error) from error


def begun_uploads(folder: str) -> list[tuple[str, str]]:
    """(name, upload id) of uploads directly in a folder that were begun and not finished; only S3 stores have such."""
    if not s3.is_store(default_storage):
        return []
    try:
        return s3.begun(default_storage, folder)
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"begun uploads in {folder} could not be listed", error) from error
        raise


def give_up(key: str, upload: str) -> None:
    """Take back an upload that was begun; CheckError when the store refuses."""
    try:
        s3.give_up(default_storage, key, upload)
    except Exception as error:
        if of_back_end(error):
            raise storage_error(f"the begun upload of {key} could not be taken back", error) from error
        raise


def storage_error(what: str, error: Exception) -> CheckError:
    """An exception of a back end -> a sentence with its cause and mend."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckError(
            f"The storage is full: {what}.", remedy="What was begun is removed. Free space there, then start again."
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CheckError(
            f"The storage refuses this program: {what} ({error.strerror}).",
            remedy="Let the worker's user read and write STORAGE_URL.",
        )
    return CheckError(f"The storage failed: {what} ({error}).", remedy="Check STORAGE_URL and that it answers.")
