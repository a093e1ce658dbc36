"""Files that a run keeps in storage: streamed, hashed on the way, texts masked."""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from django.core.files import File
from django.core.files.storage import default_storage

from checks.errors import CheckError
from checks.kinds.base import Artifact
from checks.masking import Masker, Vocabulary
from checks.tools import storage

#: Texts are masked on their way into storage; everything else is kept byte for byte.
TEXT_SUFFIXES = frozenset({".csv", ".html", ".json", ".log", ".md", ".txt", ".xml", ".yaml", ".yml"})
BLOCK_BYTES = 1024 * 1024


class _Stream(File):  # type: ignore[type-arg]
    """Blocks as a file that a storage reads once, hashed on their way."""

    def __init__(self, blocks: Iterator[bytes], look: Callable[[], None], name: str) -> None:
        super().__init__(io.BytesIO(), name)
        self._blocks, self._look = blocks, look
        self._rest = b""
        self.digest, self.length = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        parts, missing = [], size if size >= 0 else sys.maxsize
        while missing > 0:
            if not self._rest:
                self._look()
                block = next(self._blocks, None)
                if block is None:
                    break
                self._rest = block
            taken, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(taken)
            missing -= len(taken)
        data = b"".join(parts)
        self.digest.update(data)
        self.length += len(data)
        return data

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        while data := self.read(chunk_size or BLOCK_BYTES):
            yield data

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Storages rewind before they read; at the beginning that is nothing."""
        if offset == self.length == whence == 0:
            return 0
        raise io.UnsupportedOperation("this file is read once")


def store_artifact(
    prefix: str,
    name: str,
    source: Path | IO[bytes] | bytes,
    *,
    vocabulary: Vocabulary,
    look: Callable[[], None],
) -> Artifact:
    """Keep ``source`` as ``prefix/name``, streamed. CheckError when storage refuses or keeps something else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name:
        raise CheckError(f"{name!r} is not a name for a stored file.", remedy="This is an error in the kind's module.")
    masked = path.suffix.lower() in TEXT_SUFFIXES
    stream = _Stream(_blocks(source, vocabulary if masked else None), look, name)
    try:
        key = default_storage.save(f"{prefix}/{name}", stream)
        stored = default_storage.size(key)
    except Exception as error:
        if not storage.of_back_end(error):
            raise
        raise CheckError(
            f"The file {name} could not be stored: {getattr(error, 'strerror', None) or error}.",
            remedy="Look whether the storage answers and has space; then run this again.",
        ) from error
    if stored != stream.length:
        raise CheckError(
            f"The storage kept {stored:,} of {stream.length:,} bytes of {name}.",
            remedy="Look at the storage's own log; then run this again.",
        )
    return Artifact(name, key, stream.length, stream.digest.hexdigest())


def _blocks(source: Path | IO[bytes] | bytes, vocabulary: Vocabulary | None) -> Iterator[bytes]:
    masker = Masker(vocabulary) if vocabulary is not None else None
    for block in _read(source):
        yield masker.feed(block) if masker else block
    if masker:
        yield masker.finish()


def _read(source: Path | IO[bytes] | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as handle:
            yield from iter(lambda: handle.read(BLOCK_BYTES), b"")
    else:
        yield from iter(lambda: source.read(BLOCK_BYTES), b"")
