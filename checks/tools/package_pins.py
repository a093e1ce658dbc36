"""Requirements as pip reads them: what a list of them names, by its constraints, and which others it includes."""

import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from checks.tools.components import Component

#: How many lists one list may include, those of its includes counted.
MAX_INCLUDES: Final = 200
_HASH: Final = re.compile(r"--hash[= ](sha256|sha384|sha512):([0-9a-fA-F]+)")
_ALGORITHMS: Final = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
#: Names and passwords in addresses.
_USER: Final = re.compile(r"//[^/\s]*@")
_QUERY: Final = re.compile(r"(?<=\S)\?[^\s#]*")
#: What pip takes for an address or a path where a requirement could stand.
_ADDRESS: Final = re.compile(r"^(?:[\w.+-]+:|[./~$])|\.(?:whl|zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz)(?:[\s\[#;]|$)")
#: Beside requirements themselves: options of pip, repositories and files.
_OF_LISTS: Final = re.compile(r"--?[a-z]|(?:git|hg|svn|bzr)\+|\.{0,2}/|file:", re.IGNORECASE)

#: Name of a list -> its lines.
Lines = Callable[[str], Sequence[str]]


def read(files: Collection[str], name: str, lines: Lines) -> Iterator[Component | str]:
    """Each component of a list and of those that it includes, and as a text whatever has no exact version."""
    loose: list[tuple[str, str]] = []
    constraints: dict[str, None] = {}
    for here in reached(files, name, lines):
        for line in lines(here):
            if any(target not in files for target in _includes(here, line)):
                yield f"{here}: {shown(line)} (not in the build)"
            constraints |= dict.fromkeys(_beside(here, written) for written in _named_by(line, "constraint", "c"))
            if not line.startswith("-") or _editable(line):
                component = _component(line)
                if component:
                    yield component
                else:
                    loose.append((here, line))
    pins = _constrained([each for each in constraints if each in files], lines) if loose else {}
    for here, line in loose:
        yield pins.get(_name_of(line)) or f"{here}: {shown(line)}"


def reached(files: Collection[str], name: str, lines: Lines) -> list[str]:
    """A list and all that it includes, as far as it is in the build. ValueError where one cannot be read."""
    found, waiting = {name: None}, [name]
    while waiting:
        here = waiting.pop()
        targets = [target for line in lines(here) for target in _includes(here, line)]
        new = [each for each in dict.fromkeys(targets) if each in files and each not in found]
        found |= dict.fromkeys(new)
        waiting += new
        if len(found) > MAX_INCLUDES + 1:
            raise ValueError(f"it includes more than {MAX_INCLUDES} lists")
    return list(found)


def is_no_list(lines: Sequence[str]) -> bool:
    """Whether a text names no package in any line, so that it is none with a slip in it. pip would refuse it too."""
    return any(map(_is_unreadable, lines)) and not any(_OF_LISTS.match(line) or _wanted(line) for line in lines)


def _is_unreadable(line: str) -> bool:
    try:
        _component(line)
    except ValueError:
        return True
    return False


def _wanted(line: str) -> Requirement | None:
    try:
        return Requirement(line.split(" --", 1)[0].strip())
    except InvalidRequirement:
        return None


def _includes(here: str, line: str) -> list[str]:
    return [_beside(here, written) for written in _named_by(line, "requirement", "r")]


def _constrained(constraints: Iterable[str], lines: Lines) -> dict[str, Component]:
    """What lists of constraints say of packages that are named without a version, by name; only what holds anywhere."""
    told = [line for name in constraints for line in lines(name)]
    pinned = [one for line in told if ";" not in line and not line.startswith("-") and (one := _component(line))]
    return {one.name: one for one in pinned}


def _name_of(line: str) -> str:
    """The package of a line that names one by its name and, perhaps, a range; '' for any other line."""
    wanted = _wanted(line)
    return "" if wanted is None or wanted.url else canonicalize_name(wanted.name)


def lines_of(text: str) -> Iterator[str]:
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
        raise ValueError(f"{shown(line)!r}: {error}") from None
    pins = [each.version for each in wanted.specifier if each.operator in ("==", "===") and "*" not in each.version]
    if len(pins) != 1:
        return None
    hashes = tuple((_ALGORITHMS[kind], value.lower()) for kind, value in _HASH.findall(line))
    return Component("pypi", canonicalize_name(wanted.name), pins[0], hashes)


def shown(line: str) -> str:
    """A line as people may read it: an address often holds a name and a password, or a token as its query."""
    return _QUERY.sub("?***", _USER.sub("//***@", line))[:160]
