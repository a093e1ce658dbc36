"""The packages that the lists of a build name: locks and pinned requirements, of Python and of JavaScript.

Every list of an archive is read, and a list that another one includes. Only what has one exact version can be looked
up, so whatever a list names without one is told beside it and never passed over.
"""

import fnmatch
import lzma
import posixpath
import re
import shlex
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from checks.errors import CheckError
from checks.tools import package_locks
from checks.tools.components import Component

MAX_LIST_BYTES: Final = 20 * 1024**2
MAX_MEMBERS: Final = 200_000
#: How many lists one list may include, those of its includes counted.
MAX_INCLUDES: Final = 200
#: In this order: the more a file says about what is really installed, the earlier.
LISTS: Final = (
    "uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.lock", "requirements.txt",
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "deno.lock",
)  # fmt: skip
NODE_LOCKS: Final = LISTS[LISTS.index("package-lock.json") :]
#: Told as what they are: a build that has one of these installs what nobody looked up.
UNREAD: Final = ("bun.lock", "bun.lockb", "deno.lock")
_ZIPS: Final = (".zip", ".whl")
_TARS: Final = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")
#: What opening or reading an archive raises that is broken, encrypted, or packed in an unknown way.
ARCHIVE_ERRORS: Final = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, RuntimeError, OSError, UnicodeError,
)  # fmt: skip
_HASH: Final = re.compile(r"--hash[= ](sha256|sha384|sha512):([0-9a-fA-F]+)")
_ALGORITHMS: Final = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
#: Names and passwords in addresses.
_USER: Final = re.compile(r"//[^/\s]*@")
_QUERY: Final = re.compile(r"(?<=\S)\?[^\s#]*")
#: What pip takes for an address or a path where a requirement could stand.
_ADDRESS: Final = re.compile(r"^(?:[\w.+-]+:|[./~$])|\.(?:whl|zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)(?:[\s\[#;]|$)")


@dataclass(frozen=True)
class Contents:
    """What the lists of a build name.

    ``unknown``: lines without one exact version and includes that are not there, each after the name of its list.
    ``left_out``: lists that were not read since the plan leaves them out.
    """

    lists: tuple[str, ...]
    components: tuple[Component, ...]
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def listing(self) -> str:
        return ", ".join(self.lists)


#: Name in the build, with slashes and without detours -> opens it.
_Files = Mapping[str, Callable[[], IO[bytes] | None]]


def contents_of(build: Path, name: str, *, exclude: Sequence[str] = ()) -> Contents:
    """What a build names that is a list itself, or all lists in an archive.

    ``name``: the build's file name; ``exclude``: patterns of lists in an archive that are not read. CheckError where
    there is no list, one cannot be read, or none holds an exact version.
    """
    contents = _of_build(build, name, exclude, LISTS)
    if not contents.lists:
        raise _none(name, contents.left_out)
    if not contents.components:
        such_as = f" It names {contents.unknown[0]}." if contents.unknown else ""
        raise CheckError(
            f"{contents.listing} of the build names no exact version.{such_as}",
            remedy="Put a lock or a pinned requirements file into it.",
        )
    return contents


def node_locks_of(build: Path, name: str, *, exclude: Sequence[str] = ()) -> Contents:
    """What the locks of JavaScript in a build name, which may be nothing. CheckError where one cannot be read."""
    archive = name.lower().endswith((*_ZIPS, *_TARS))
    return _of_build(build, name, exclude, NODE_LOCKS) if archive or name in NODE_LOCKS else Contents((), ())


def node_locks_in(folder: Path) -> Contents:
    """The same of a folder. Links are not followed."""
    found = (path for name in NODE_LOCKS for path in folder.rglob(name))
    paths = (path for path in found if path.is_file() and not path.is_symlink())
    files: _Files = {path.relative_to(folder).as_posix(): partial(_open, path) for path in paths}
    return _contents(files, _lists(files, NODE_LOCKS))


def together(contents: Sequence[Contents]) -> Contents:
    """Several as one; what more than one names is there once."""
    components = dict.fromkeys(one for each in contents for one in each.components)
    return Contents(
        tuple(one for each in contents for one in each.lists),
        tuple({(one.ecosystem, one.name, one.version): one for one in components}.values()),
        tuple(dict.fromkeys(one for each in contents for one in each.unknown)),
        tuple(one for each in contents for one in each.left_out),
    )


def _of_build(build: Path, name: str, exclude: Sequence[str], kinds: Collection[str]) -> Contents:
    try:
        with _opened(build, name) as (files, whole):
            lists = [name] if whole else _lists(files, kinds)
            left_out = [] if whole else [each for each in lists if any(fnmatch.fnmatch(each, one) for one in exclude)]
            contents = _contents(files, [each for each in lists if each not in left_out])
    except ARCHIVE_ERRORS as error:
        raise CheckError(f"The build {name} cannot be opened: {error}.", remedy="Is it whole?") from error
    return replace(contents, left_out=tuple(left_out))


def _contents(files: _Files, lists: Sequence[str]) -> Contents:
    told = [each for listing in lists for each in _read(files, listing)]
    found = {(one.ecosystem, one.name, one.version): one for one in told if isinstance(one, Component)}
    unknown = dict.fromkeys(one for one in told if isinstance(one, str))
    return Contents(tuple(lists), tuple(found[key] for key in sorted(found)), tuple(unknown))


def _none(name: str, left_out: Sequence[str] = ()) -> CheckError:
    besides = f" beside {', '.join(left_out[:3])}, which the plan leaves out" if left_out else ""
    return CheckError(
        f"The build {name} holds no list of its packages{besides}.", remedy=f"Put one of {', '.join(LISTS)} into it."
    )


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


@contextmanager
def _opened(build: Path, name: str) -> Iterator[tuple[_Files, bool]]:
    """The files of a build, and whether it is one list by itself."""
    lower = name.lower()
    if lower.endswith(_ZIPS):
        with zipfile.ZipFile(build) as packed:
            yield _named(name, ((each.filename, partial(packed.open, each)) for each in packed.infolist())), False
    elif lower.endswith(_TARS):
        with tarfile.open(build) as archive:
            # A link is read as what it leads to, inside of the archive.
            members = (each for each in archive if not each.isdir())
            yield _named(name, ((each.name, partial(archive.extractfile, each)) for each in members)), False
    elif lower.endswith((".txt", ".lock", ".toml", ".json", ".yaml", ".lockb", ".in")):
        yield {name: partial(_open, build)}, True
    else:
        raise _none(name)


def _named(build: str, members: Iterable[tuple[str, Callable[[], IO[bytes] | None]]]) -> _Files:
    files: dict[str, Callable[[], IO[bytes] | None]] = {}
    for number, (name, opening) in enumerate(members):
        if number >= MAX_MEMBERS:
            raise CheckError(
                f"The build {build} holds more than {MAX_MEMBERS:,} files, so not all of its lists can be found.",
                remedy="Leave out what is not needed, or have what is installed looked at (packages.installed).",
            )
        files[posixpath.normpath(name).lstrip("/")] = opening
    return files


def _lists(files: _Files, kinds: Collection[str]) -> list[str]:
    """The best list first, then the one nearest to the root. What npm has installed has locks of its own."""
    paths = [PurePosixPath(name) for name in files]
    listed = [path for path in paths if path.name in kinds and path.name in LISTS and "node_modules" not in path.parts]
    return [str(path) for path in sorted(listed, key=lambda path: (LISTS.index(path.name), len(path.parts), str(path)))]


def _text(files: _Files, name: str) -> str:
    try:
        stream = files[name]()
    except KeyError:
        stream = None
    if stream is None:
        raise CheckError(f"{name} of the build leads to nothing that is in it.", remedy="Is it whole?")
    with stream:
        data = stream.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise CheckError(f"{name} in the build is larger than {MAX_LIST_BYTES // 1024**2} MB.")
    return data.decode("utf-8-sig")


def _read(files: _Files, name: str) -> Iterator[Component | str]:
    """Each component of a list, and as a text whatever it names that has no exact version."""
    try:
        reader = _reader(PurePosixPath(name).name)
        if PurePosixPath(name).name in UNREAD:
            yield f"{name} (such locks are not read)"
        elif reader is not None:
            told = reader(_text(files, name), name)
            yield from (_shown(each) if isinstance(each, str) else each for each in told)
        else:
            yield from _requirements(files, name)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise CheckError(f"{name} of the build cannot be read: {error}.", remedy="Is it whole?") from error


def _reader(file: str) -> Callable[[str, str], Iterator[Component | str]] | None:
    """By a lock's name; a build that is one list by itself may have another."""
    endings = {".toml": package_locks.toml_lock, ".json": package_locks.package_lock}
    return package_locks.READERS.get(file) or endings.get(PurePosixPath(file).suffix)


def _requirements(files: _Files, name: str) -> Iterator[Component | str]:
    waiting, known = [name], {name}
    while waiting:
        here = waiting.pop()
        for line in _lines(_text(files, here)):
            for written in _included(line):
                target = _beside(here, written)
                if target not in files:
                    yield f"{here}: {_shown(line)} (not in the build)"
                elif target not in known:
                    known.add(target)
                    waiting.append(target)
            if len(known) > MAX_INCLUDES:
                raise ValueError(f"it includes more than {MAX_INCLUDES} lists")
            if not line.startswith("-") or _editable(line):
                yield _component(line) or f"{here}: {_shown(line)}"


def _lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if whole := re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip():
            yield whole


def _included(line: str) -> Iterator[str]:
    """The lists that a line of options includes, as pip reads it: -r a, -ra, --requirement a, --requirement=a."""
    if not line.startswith("-"):
        return
    words = shlex.split(line)
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        # Long options may be cut as long as they mean one thing; --require-hashes is another.
        if "--requirement".startswith(option) and len(option) > len("--require"):
            yield value if equals else next(iter(words[number + 1 :]), "")
        elif word.startswith("-r"):
            yield word[2:] or next(iter(words[number + 1 :]), "")


def _editable(line: str) -> bool:
    return any(word.startswith("-e") or word.partition("=")[0] == "--editable" for word in shlex.split(line))


def _beside(here: str, written: str) -> str:
    """Where an include leads, from the list in which it stands; '' for a place outside of the build."""
    if "://" in written or written.startswith(("/", "~", "$")):
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), written))
    return "" if path.startswith("..") else path


def _component(line: str) -> Component | None:
    """None where the line names no single version."""
    try:
        wanted = Requirement(line.split(" --", 1)[0].strip())
    except InvalidRequirement as error:
        if line.startswith("-") or _ADDRESS.search(line):
            return None
        raise ValueError(f"{_shown(line)!r}: {error}") from None
    pins = [each.version for each in wanted.specifier if each.operator in ("==", "===") and "*" not in each.version]
    if len(pins) != 1:
        return None
    hashes = tuple((_ALGORITHMS[kind], value.lower()) for kind, value in _HASH.findall(line))
    return Component("pypi", canonicalize_name(wanted.name), pins[0], hashes)


def _shown(line: str) -> str:
    """A line as people may read it: an address often holds a name and a password, or a token as its query."""
    return _QUERY.sub("?***", _USER.sub("//***@", line))[:160]
