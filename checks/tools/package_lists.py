"""The packages that the lists of a build name: locks and pinned requirements, of Python and of JavaScript.

Every list of an archive is read, and a list that another one includes. Only what has one exact version can be looked
up, so whatever a list names without one is told beside it and never passed over; and so is what a project declares
(pyproject.toml, package.json and the like) and no list beside it names.
"""

import fnmatch
import lzma
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

from packaging.utils import canonicalize_name

from checks.errors import CheckError
from checks.tools import package_declarations, package_locks, package_pins
from checks.tools.components import Component

MAX_LIST_BYTES: Final = 20 * 1024**2
MAX_MEMBERS: Final = 200_000
#: In this order: the more a file says about what is really installed, the earlier.
LISTS: Final = (
    "uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.lock", "requirements.txt",
    "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "deno.lock",
)  # fmt: skip
_PINS: Final = "requirements.txt"
#: Requirements by another name: requirements-prod.txt, prod-requirements.txt; and texts in a folder requirements.
_OTHER_PINS: Final = re.compile(r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt", re.IGNORECASE)
_FOLDER: Final = "requirements"
#: How deep in that folder: requirements/base.txt, requirements/tools/web.txt. Whatever is deeper is an application's.
_DEPTH: Final = 2
#: Papers about the lists beside them. A heading of one word would look like a package.
_PAPERS: Final = re.compile(r"(?:readme|licen[cs]e|copying|notice)(?:[-_.].*)?", re.IGNORECASE)
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


@dataclass(frozen=True)
class Contents:
    """What the lists of a build name.

    ``unknown``: lines without one exact version, includes that are not there and what is declared without a list, each
    after the name of its file.
    ``left_out``: lists that were not read since the plan leaves them out. ``without_hashes``: requirements in which a
    version stands without a checksum; pip installs whatever else these packages bring along. ``no_lists``: texts in a
    folder ``requirements`` that were not taken for lists.
    """

    lists: tuple[str, ...]
    components: tuple[Component, ...]
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    without_hashes: tuple[str, ...] = ()
    no_lists: tuple[str, ...] = ()

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
    paths = (path for path in (*found, *folder.rglob("package.json")) if path.is_file() and not path.is_symlink())
    files: _Files = {path.relative_to(folder).as_posix(): partial(_open, path) for path in paths}
    return _contents(files, _lists(files, NODE_LOCKS), [each for each in files if _declares(each, NODE_LOCKS)])


def together(contents: Sequence[Contents]) -> Contents:
    """Several as one; what more than one names is there once."""
    components = dict.fromkeys(one for each in contents for one in each.components)
    return Contents(
        tuple(one for each in contents for one in each.lists),
        tuple({(one.ecosystem, one.name, one.version): one for one in components}.values()),
        tuple(dict.fromkeys(one for each in contents for one in each.unknown)),
        tuple(one for each in contents for one in each.left_out),
        tuple(one for each in contents for one in each.without_hashes),
        tuple(one for each in contents for one in each.no_lists),
    )


def _of_build(build: Path, name: str, exclude: Sequence[str], kinds: Collection[str]) -> Contents:
    try:
        with _opened(build, name) as (files, whole):
            lists = [name] if whole else _lists(files, kinds)
            declared = [] if whole else [each for each in files if _declares(each, kinds)]
            named = [] if whole else [*lists, *declared]
            left_out = [each for each in named if any(fnmatch.fnmatch(each, one) for one in exclude)]
            read = [each for each in lists if each not in left_out]
            contents = _contents(files, read, [each for each in declared if each not in left_out])
    except ARCHIVE_ERRORS as error:
        raise CheckError(f"The build {name} cannot be opened: {error}.", remedy="Is it whole?") from error
    return replace(contents, left_out=tuple(left_out))


def _declares(name: str, kinds: Collection[str]) -> bool:
    path = PurePosixPath(name)
    return package_declarations.is_declaration(path) and (kinds is not NODE_LOCKS or path.name == "package.json")


def _contents(files: _Files, lists: Sequence[str], declared: Sequence[str] = ()) -> Contents:
    lines = cache(partial(_lines_in, files))
    no_lists = [each for each in lists if _only_by_folder(PurePosixPath(each)) and _is_no_list(each, lines)]
    known: set[str] = set()
    told: list[Component | str] = []
    read: list[str] = []
    without_hashes: list[str] = []
    names: dict[str, set[tuple[str, str]]] = {}
    for listing in _including_first(files, [each for each in lists if each not in no_lists], lines):
        if listing not in known:
            read.append(listing)
            here = list(_read(files, listing, lines, known))
            told += here
            names[listing] = {_name_of(each) for each in here if isinstance(each, Component)}
            if listing in known and any(isinstance(each, Component) and not each.hashes for each in here):
                without_hashes.append(listing)
    found = {(one.ecosystem, one.name, one.version): one for one in told if isinstance(one, Component)}
    told += _without_list(files, declared, names)
    unknown = dict.fromkeys(one for one in told if isinstance(one, str))
    return Contents(tuple(read), tuple(found[key] for key in sorted(found)), tuple(unknown),
                    without_hashes=tuple(without_hashes), no_lists=tuple(no_lists))  # fmt: skip


def _name_of(component: Component) -> tuple[str, str]:
    python = component.ecosystem == "pypi"
    return component.ecosystem, canonicalize_name(component.name) if python else component.name


def _without_list(files: _Files, declared: Sequence[str], names: Mapping[str, set[tuple[str, str]]]) -> Iterator[str]:
    """What projects of the build declare, and no list beside them tells the version of."""
    read: dict[str, package_declarations.Declaration] = {}
    for name in sorted(declared):
        try:
            read[name] = package_declarations.read(PurePosixPath(name), _text(files, name))
        except (ValueError, CheckError):
            yield f"{name} (cannot be read)"
    for name, declaration in read.items():
        own = {each.own for each in read.values() if each.ecosystem == declaration.ecosystem}
        beside = [there for listing, there in names.items() if _is_beside(listing, name)]
        listed = {known for there in beside for ecosystem, known in there if ecosystem == declaration.ecosystem}
        for each in declaration.missing(listed, own):
            yield f"{name}: {package_pins.shown(each)}"


def _is_beside(listing: str, declared: str) -> bool:
    """In the same folder, in one above it as for all of a repository, or in its folder ``requirements``."""
    here, project = PurePosixPath(listing).parent.parts, PurePosixPath(declared).parent.parts
    if project[-1:] and project[-1].endswith(".dist-info"):
        project = project[:-1]
    return here == project[: len(here)] or here[: len(project) + 1] == (*project, _FOLDER)


def _including_first(files: _Files, lists: Sequence[str], lines: package_pins.Lines) -> list[str]:
    """Lists that no other one includes, then the others: by itself an included one has no constraints."""
    included: set[str] = set()
    for each in filter(_is_pins, lists):
        with _naming(each):
            included |= {*package_pins.reached(files, each, lines)} - {each}
    return sorted(lists, key=lambda each: each in included)


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
    # What pip has installed has lists of its own.
    other = _OTHER_PINS.fullmatch(path.name) and "site-packages" not in path.parts
    return _PINS if other or _only_by_folder(path) else path.name


def _only_by_folder(path: PurePosixPath) -> bool:
    """Whether nothing but the folder ``requirements`` says that a text may be a list."""
    if any(one.fullmatch(path.name) for one in (_OTHER_PINS, _CONSTRAINTS)) or path.suffix.lower() != ".txt":
        return False
    return _FOLDER in path.parts[:-1][-_DEPTH:] and not {"templates", "site-packages"} & set(path.parts)


def _is_no_list(name: str, lines: package_pins.Lines) -> bool:
    """Whether such a text is no list after all."""
    if _PAPERS.fullmatch(PurePosixPath(name).name):
        return True
    with _naming(name):
        return package_pins.is_no_list(lines(name))


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


def _lines_in(files: _Files, name: str) -> tuple[str, ...]:
    return tuple(package_pins.lines_of(_text(files, name)))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """CheckError for whatever a list raises that cannot be read."""
    try:
        yield
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise CheckError(
            f"{name} of the build cannot be read: {error}.",
            remedy="Is it whole? Where it is no list of packages, leave it out in the plan (source.exclude).",
        ) from error


def _read(files: _Files, name: str, lines: package_pins.Lines, known: set[str]) -> Iterator[Component | str]:
    """Each component of a list, and as a text whatever it names that has no exact version.

    ``known``: requirements that were read, alone or by another one, are added.
    """
    with _naming(name):
        reader = _reader(PurePosixPath(name).name)
        if PurePosixPath(name).name in UNREAD:
            yield f"{name} (such locks are not read)"
        elif reader is not None:
            told = reader(_text(files, name), name)
            yield from (package_pins.shown(each) if isinstance(each, str) else each for each in told)
        else:
            known.update(package_pins.reached(files, name, lines))
            yield from package_pins.read(files, name, lines)


def _is_pins(name: str) -> bool:
    file = PurePosixPath(name).name
    return file not in UNREAD and _reader(file) is None


def _reader(file: str) -> Callable[[str, str], Iterator[Component | str]] | None:
    """By a lock's name; a build that is one list by itself may have another."""
    endings = {".toml": package_locks.toml_lock, ".json": package_locks.package_lock}
    return package_locks.READERS.get(file) or endings.get(PurePosixPath(file).suffix)
