"""Configuration and media files of an environment as a tar stream, made and read without a whole file in memory."""

import json
import os
import stat
import tarfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol, cast

from django.conf import settings

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import folders
from checks.tools.storage import READ


@dataclass(frozen=True)
class ConfigurationFile:
    """``sha256`` is hex of the content; ``mode`` the permission bits."""

    path: str
    size: int
    mode: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Taken(Protocol):
    """What collects files as they pass: a list, or a ``Listing``."""

    def append(self, item: ConfigurationFile, /) -> None: ...


class Listing:
    """Counts and hashes files as they pass, in their order, so that any number of them takes no memory."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self._hash = sha256()

    def append(self, item: ConfigurationFile, /) -> None:
        self.files += 1
        self.bytes += item.size
        self._hash.update(json.dumps(item.as_json(), sort_keys=True).encode() + b"\n")

    def as_json(self) -> dict[str, Any]:
        return {"files": self.files, "bytes": self.bytes, "digest": self._hash.hexdigest()}


def declared_files(context: RunContext, environment: str, left_out: folders.LeftOut) -> list[Path]:
    """The plan's ``configuration_files``, folders walked through. CheckError names one that is missing or closed.

    ``left_out`` gets what is no file, such as a link that leads nowhere.
    """
    declared = context.plan.environment(environment).configuration_files
    return _found(context, declared, "configuration file", "configuration_files", left_out)


def declared_media(context: RunContext, environment: str, left_out: folders.LeftOut) -> list[Path]:
    """The plan's ``media``, folders walked through, in the same way."""
    return _found(context, context.plan.environment(environment).media, "media folder", "media", left_out)


def _found(context: RunContext, declared: Iterable[str], what: str, key: str, left_out: folders.LeftOut) -> list[Path]:
    paths = []
    for written in declared:
        path = Path(filled(context, written))
        if not path.is_absolute():
            raise CheckError(
                f"The {what} {written!r} is not an absolute path.",
                remedy="Begin it with /, {GONOGO_HOME} or {PLAN_DIR} in the plan.",
            )
        paths.append(path)
    walk = folders.Walk(paths, what=what, key=key, left_out=left_out, check=context.check)
    return list(dict.fromkeys(file for path in paths for file in walk.files(path)))


def filled(context: RunContext, written: str) -> str:
    """A path as the plan writes it, with its places filled in."""
    plan_folder = context.run.application.plan_folder
    if "{PLAN_DIR}" in written and not plan_folder:
        raise CheckError(f"{written!r} needs the plan's folder, and the application has none.")
    return written.replace("{GONOGO_HOME}", str(settings.GONOGO_HOME)).replace("{PLAN_DIR}", plan_folder)


def pack(
    files: Iterable[Path], taken: Taken, *, what: str = "configuration file", gone: list[Path] | None = None
) -> Generator[bytes]:
    """A tar stream of the files; what went in is appended to ``taken``. CheckError for a file that cannot be read.

    ``gone``: gets the files that are not there any more; without it, such a one is an error as well.
    """
    for path in files:
        try:
            with path.open("rb") as handle:
                yield from _member(path, handle, taken, what)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and gone is not None:
                gone.append(path)
                continue
            raise CheckError(
                f"The {what} {path} cannot be read: {error.strerror}.",
                remedy="Let the worker's user read it. No backup was made.",
            ) from error
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(path: Path, handle: IO[bytes], taken: Taken, what: str) -> Iterator[bytes]:
    facts = os.fstat(handle.fileno())
    info = tarfile.TarInfo(str(path).lstrip("/"))
    info.size, info.mtime, info.mode = facts.st_size, int(facts.st_mtime), stat.S_IMODE(facts.st_mode)
    yield info.tobuf(tarfile.PAX_FORMAT)
    digest, left = sha256(), info.size
    while left:
        piece = handle.read(min(left, READ))
        if not piece:
            raise CheckError(f"The {what} {path} shrank while it was read.", remedy="Start the run again.")
        digest.update(piece)
        left -= len(piece)
        yield piece
    if handle.read(1):
        raise CheckError(f"The {what} {path} grew while it was read.", remedy="Start the run again.")
    yield bytes(-info.size % tarfile.BLOCKSIZE)
    taken.append(ConfigurationFile(str(path), info.size, info.mode, digest.hexdigest()))


class _Reader:
    """What ``tarfile`` needs of a stream: read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def drain(self) -> None:
        """Read to the end, so that the end too is authenticated."""
        for _ in self._pieces:
            pass


def unpack(pieces: Iterable[bytes], found: Taken, folder: Path | None = None) -> None:
    """Read a tar stream to its end and append what is in it to ``found``; written below ``folder`` where one is given.

    A restored file keeps its content and its owner's rights; it belongs to whoever restores it.
    """
    reader = _Reader(pieces)
    with tarfile.open(fileobj=cast("IO[bytes]", reader), mode="r|", bufsize=tarfile.RECORDSIZE) as archive:
        for info in archive:
            content = archive.extractfile(info)
            if content is None:
                continue
            target = _target(folder, info.name)
            digest = sha256()
            with target.open("xb") if target else open(os.devnull, "wb") as sink:  # noqa: PTH123 - a device, not a path
                if target:
                    target.chmod(info.mode & 0o700)
                while piece := content.read(READ):
                    digest.update(piece)
                    sink.write(piece)
            found.append(ConfigurationFile(f"/{info.name}", info.size, info.mode, digest.hexdigest()))
    reader.drain()


def _target(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise CheckError(f"The archive holds a path outside of its folder: {name}")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return target
