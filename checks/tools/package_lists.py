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
_PINS: Final = "requirements.txt"
#: Requirements by another name: requirements-prod.txt, prod-requirements.txt, and any text in a folder requirements.
_OTHER_PINS: Final = re.compile(r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt", re.IGNORECASE)
#: They name versions of what is installed, and install nothing.
_CONSTRAINTS: Final = re.compile(r"(?:.*[-_.])?constraints?(?:[-_.].*)?\.txt", re.IGNORECASE)
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
    ``left_out``: lists that were not read since the plan leaves them out. ``without_hashes``: requirements in which a
    version stands without a checksum; pip installs whatever else these packages bring along.
    """

    lists: tuple[str, ...]
    components: tuple[Component, ...]
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    without_hashes: tuple[str, ...] = ()

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
        tuple(one for each in contents for one in each.without_hashes),
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
    known: set[str] = set()
    told: list[Component | str] = []
    read: list[str] = []
    without_hashes: list[str] = []
    for listing in lists:
        if listing not in known:
            read.append(listing)
            here = list(_read(files, listing, known))
            told += here
            if listing in known and any(isinstance(each, Component) and not each.hashes for each in here):
                without_hashes.append(listing)
    found = {(one.ecosystem, one.name, one.version): one for one in told if isinstance(one, Component)}
    unknown = dict.fromkeys(one for one in told if isinstance(one, str))
    return Contents(tuple(read), tuple(found[key] for key in sorted(found)), tuple(unknown),
                    without_hashes=tuple(without_hashes))  # fmt: skip


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
    found = ((path, _kind(path)) for path in map(PurePosixPath, files) if "node_modules" not in path.parts)
    listed = [(path, kind) for path, kind in found if kind in kinds and kind in LISTS]
    return [str(path) for path, kind in sorted(listed, key=lambda each: (LISTS.index(each[1]), _nearness(each[0])))]


def _kind(path: PurePosixPath) -> str:
    """The name by which such a list is known."""
    if path.name in LISTS or _CONSTRAINTS.fullmatch(path.name):
        return path.name
    in_folder = path.suffix.lower() == ".txt" and "requirements" in path.parts[:-1]
    return _PINS if in_folder or _OTHER_PINS.fullmatch(path.name) else path.name


def _nearness(path: PurePosixPath) -> tuple[bool, int, str]:
    return path.name != _PINS, len(path.parts), str(path)


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


def _read(files: _Files, name: str, known: set[str]) -> Iterator[Component | str]:
    """Each component of a list, and as a text whatever it names that has no exact version.

    ``known``: requirements that were read already, alone or by another one; they are not read again.
    """
    try:
        reader = _reader(PurePosixPath(name).name)
        if PurePosixPath(name).name in UNREAD:
            yield f"{name} (such locks are not read)"
        elif reader is not None:
            told = reader(_text(files, name), name)
            yield from (_shown(each) if isinstance(each, str) else each for each in told)
        else:
            yield from _requirements(files, name, known)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise CheckError(
            f"{name} of the build cannot be read: {error}.",
            remedy="Is it whole? Where it is no list of packages, leave it out in the plan (source.exclude).",
        ) from error


def _reader(file: str) -> Callable[[str, str], Iterator[Component | str]] | None:
    """By a lock's name; a build that is one list by itself may have another."""
    endings = {".toml": package_locks.toml_lock, ".json": package_locks.package_lock}
    return package_locks.READERS.get(file) or endings.get(PurePosixPath(file).suffix)


def _requirements(files: _Files, name: str, known: set[str]) -> Iterator[Component | str]:
    waiting, most = [name], len(known) + MAX_INCLUDES
    known.add(name)
    loose: list[tuple[str, str]] = []
    constraints: dict[str, None] = {}
    while waiting:
        here = waiting.pop()
        for line in _lines(_text(files, here)):
            for written in _named_by(line, "requirement", "r"):
                target = _beside(here, written)
                if target not in files:
                    yield f"{here}: {_shown(line)} (not in the build)"
                elif target not in known:
                    known.add(target)
                    waiting.append(target)
            constraints |= dict.fromkeys(_beside(here, written) for written in _named_by(line, "constraint", "c"))
            if len(known) > most:
                raise ValueError(f"it includes more than {MAX_INCLUDES} lists")
            if not line.startswith("-") or _editable(line):
                component = _component(line)
                if component:
                    yield component
                else:
                    loose.append((here, line))
    pins = _constrained(files, constraints) if loose else {}
    for here, line in loose:
        yield pins.get(_name_of(line)) or f"{here}: {_shown(line)}"


def _constrained(files: _Files, constraints: Iterable[str]) -> dict[str, Component]:
    """What lists of constraints say of packages that are named without a version, by name; only what holds anywhere."""
    lines = [line for name in constraints if name in files for line in _lines(_text(files, name))]
    pinned = [one for line in lines if ";" not in line and not line.startswith("-") and (one := _component(line))]
    return {one.name: one for one in pinned}


def _name_of(line: str) -> str:
    """The package of a line that names one by its name and, perhaps, a range; '' for any other line."""
    try:
        wanted = Requirement(line.split(" --", 1)[0].strip())
    except InvalidRequirement:
        return ""
    return "" if wanted.url else canonicalize_name(wanted.name)


def _lines(text: str) -> Iterator[str]:
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if whole := re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip():
            yield whole


def _named_by(line: str, long: str, short: str) -> Iterator[str]:
    """The lists that an option of a line names, as pip reads it: -r a, -ra, --requirement a, --requirement=a."""
    if not line.startswith("-"):
        return
    words = shlex.split(line)
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        # Long options may be cut as long as they mean one thing; --require-hashes is another.
        if f"--{long}".startswith(option) and len(option) > len("--require"):
            yield value if equals else next(iter(words[number + 1 :]), "")
        elif word.startswith(f"-{short}"):
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
