"""Files of advisories from a folder or an archive that nobody has looked at before.

Nothing is unpacked to disk and no path of an archive is ever opened: members are read one after another, each and all
together only up to a limit, whatever their headers say. Links, devices and files of other kinds are passed over.
"""

import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Final

from checks.advisories.errors import AdvisoriesRefused

SUFFIXES: Final = (".json", ".yaml", ".yml")
MAX_FILE_BYTES: Final = 8 * 1024**2
MAX_TOTAL_BYTES: Final = 2 * 1024**3
MAX_MEMBERS: Final = 500_000
MAX_HEADER_BYTES: Final = 64 * 1024
_BLOCK: Final = 1024**2

#: (name for people, bytes)
Member = tuple[str, bytes]


def members(source: Path | IO[bytes], name: str) -> Iterator[Member]:
    """Every file of advisories in a folder, .zip, .tar.gz, .tgz or .tar; AdvisoriesRefused where it cannot be read.

    ``source``: a folder, or a file that can be searched. ``name`` tells the form by its end.
    """
    if isinstance(source, Path):
        yield from _folder(source)
        return
    lower = name.lower()
    try:
        if lower.endswith(".zip"):
            yield from _zip(source)
        elif lower.endswith((".tar.gz", ".tgz")):
            with gzip.GzipFile(fileobj=source) as plain:
                yield from _tar(_Counted(plain))
        elif lower.endswith(".tar"):
            yield from _tar(_Counted(source))
        else:
            raise AdvisoriesRefused(f"{name} is none of .zip, .tar.gz and .tar. Nothing was imported.")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise AdvisoriesRefused(
            f"{name} is damaged or not what its name says: {error}. Nothing was imported."
        ) from error


class _Counted(io.RawIOBase):
    """A stream that ends a bomb: no more than MAX_TOTAL_BYTES come out of it."""

    def __init__(self, inner: IO[bytes] | gzip.GzipFile) -> None:
        self._inner, self._left = inner, MAX_TOTAL_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(_BLOCK if size < 0 else min(size, _BLOCK * 16))
        self._left -= len(data)
        if self._left < 0:
            raise _too_much()
        return data


def _too_much() -> AdvisoriesRefused:
    return AdvisoriesRefused(
        f"It unpacks to more than {MAX_TOTAL_BYTES // 1024**2:,} MB, which no set of advisories does. "
        "Nothing was imported."
    )


class _Limits:
    """What all members together may be."""

    def __init__(self) -> None:
        self._members, self._bytes = 0, 0

    def wanted(self, name: str) -> bool:
        """Count one more member; whether it is a file of advisories."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise AdvisoriesRefused(f"It has more than {MAX_MEMBERS:,} files. Nothing was imported.")
        path = PurePosixPath(name)
        return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")

    def read(self, stream: IO[bytes], name: str) -> bytes:
        data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise AdvisoriesRefused(
                f"{name[:200]} is larger than {MAX_FILE_BYTES // 1024**2} MB, which no advisory is. "
                "Nothing was imported."
            )
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL_BYTES:
            raise _too_much()
        return data


class _Entry(tarfile.TarInfo):
    """A member whose extended header, which tarfile reads whole, is no larger than a path can be."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.REGULAR_TYPES and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError("one of its headers is far too long")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def _tar(stream: _Counted) -> Iterator[Member]:
    limits = _Limits()
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:
        for entry in archive:
            # A link named like an advisory has no bytes of its own, and where it points to is nobody's business.
            if not limits.wanted(entry.name) or not entry.isreg():
                continue
            part = archive.extractfile(entry)
            if part is not None:
                yield entry.name, limits.read(part, entry.name)
            archive.members = []  # type: ignore[attr-defined]  # a stream is not gone back in; keep memory flat


def _zip(stream: IO[bytes]) -> Iterator[Member]:
    limits = _Limits()
    with zipfile.ZipFile(stream) as archive:
        if len(archive.infolist()) > MAX_MEMBERS:
            raise AdvisoriesRefused(f"It has more than {MAX_MEMBERS:,} files. Nothing was imported.")
        for entry in archive.infolist():
            if not limits.wanted(entry.filename) or entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
                continue
            try:
                with archive.open(entry) as part:
                    yield entry.filename, limits.read(part, entry.filename)
            except (RuntimeError, NotImplementedError) as error:
                raise AdvisoriesRefused(
                    f"{entry.filename[:200]} cannot be unpacked: {error}. Nothing was imported."
                ) from error


def _folder(folder: Path) -> Iterator[Member]:
    if not folder.is_dir():
        raise AdvisoriesRefused(f"{folder} is no folder. Nothing was imported.")
    limits = _Limits()
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(here) / name
            if not limits.wanted(path.as_posix()) or not stat.S_ISREG(path.lstat().st_mode):
                continue
            with closing(path.open("rb")) as stream:
                yield str(path.relative_to(folder)), limits.read(stream, str(path))
