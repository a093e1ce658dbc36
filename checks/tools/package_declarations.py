"""What a project says that it needs, without exact versions: pyproject.toml, setup.py, Pipfile, package.json and so on.

Nothing of it can be looked up. It counts as known only as far as a lock or pinned list beside it names the package.
"""

import ast
import configparser
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import PurePosixPath
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

#: Extras by which nobody installs what runs in production.
_FOR_DEVELOPMENT: Final = frozenset(
    {"dev", "develop", "development", "test", "tests", "testing", "doc", "docs", "lint", "typing"}
)
#: What a package is that lies in the build itself.
_OWN_FOLDER: Final = ("file:", "link:", "portal:", "workspace:")
_WHEEL: Final = re.compile(r"[^/]+\.dist-info/METADATA")


@dataclass(frozen=True)
class Needed:
    """``name``: as its ecosystem compares it. ``always``: not only for development, or on some platforms."""

    name: str
    always: bool


@dataclass(frozen=True)
class Declaration:
    """What one file declares. ``own``: the name of the project itself."""

    ecosystem: str
    own: str
    needed: tuple[Needed, ...]

    def missing(self, listed: Collection[str], own: Collection[str]) -> list[str]:
        """Names that the lists beside it, which name ``listed``, do not tell the version of.

        ``own``: projects of the build itself. Where there is a list and it tells all that is always installed, what
        only developers install is not missed in it.
        """
        lacking = [each for each in self.needed if each.name not in listed and each.name not in own]
        if listed and not any(each.always for each in lacking):
            return []
        return sorted({each.name for each in lacking})


def is_declaration(path: PurePosixPath) -> bool:
    """Whether a file of a build may be one. What pip and npm have installed has declarations of its own."""
    if {"site-packages", "node_modules"} & set(path.parts):
        return False
    return path.name in _READERS or bool(_WHEEL.fullmatch(str(path)))


def read(path: PurePosixPath, text: str) -> Declaration:
    """ValueError where it cannot be read."""
    try:
        return _READERS.get(path.name, _wheel)(text)
    except (TypeError, AttributeError, KeyError, RecursionError, configparser.Error) as error:
        raise ValueError(str(error)) from error


def _needed(written: Iterable[str] | str, *, always: bool = True) -> Iterator[Needed]:
    """``written``: a list, or one text with a requirement in each line, as setuptools takes both."""
    for each in filter(str.strip, written.splitlines() if isinstance(written, str) else written):
        try:
            wanted = Requirement(each)
        except InvalidRequirement:
            yield Needed(each.strip()[:100], always)
        else:
            yield Needed(canonicalize_name(wanted.name), always and wanted.marker is None)


def _extras(extras: Mapping[str, Iterable[str]]) -> Iterator[Needed]:
    for name, written in extras.items():
        yield from _needed(written, always=name.casefold() not in _FOR_DEVELOPMENT)


def _tables(table: Mapping[str, Any], *, always: bool = True) -> Iterator[Needed]:
    """Poetry's and Pipenv's: name -> version or table."""
    for name, value in table.items():
        local = isinstance(value, dict) and "path" in value
        if name != "python" and not local:
            optional = isinstance(value, dict) and bool({"markers", "python", "platform"} & set(value))
            yield Needed(canonicalize_name(name), always and not optional)


def _python(own: str, needed: Iterable[Needed]) -> Declaration:
    return Declaration("pypi", canonicalize_name(own), tuple(needed))


def _pyproject(text: str) -> Declaration:
    tree = tomllib.loads(text)
    project, tools = tree.get("project", {}), tree.get("tool", {})
    poetry = tools.get("poetry", {})
    needed = [*_needed(project.get("dependencies", [])), *_extras(project.get("optional-dependencies", {}))]
    for group in tree.get("dependency-groups", {}).values():
        needed += _needed([each for each in group if isinstance(each, str)], always=False)
    needed += _tables(poetry.get("dependencies", {}))
    needed += _tables(poetry.get("dev-dependencies", {}), always=False)
    for name, group in poetry.get("group", {}).items():
        needed += _tables(group.get("dependencies", {}), always=name.casefold() not in _FOR_DEVELOPMENT)
    for group in tools.get("pdm", {}).get("dev-dependencies", {}).values():
        needed += _needed(group, always=False)
    needed += _needed(tools.get("uv", {}).get("dev-dependencies", []), always=False)
    return _python(project.get("name") or poetry.get("name", ""), needed)


def _setup_cfg(text: str) -> Declaration:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    needed = list(_needed(_lines_of(parser.get("options", "install_requires", fallback=""))))
    if parser.has_section("options.extras_require"):
        needed += _extras({name: _lines_of(value) for name, value in parser.items("options.extras_require")})
    return _python(parser.get("metadata", "name", fallback=""), needed)


def _lines_of(value: str) -> list[str]:
    """``file: requirements.txt`` names a list, which is read by itself."""
    lines = (line.split(" #", 1)[0].strip() for line in value.splitlines())
    return [line for line in lines if line and not line.startswith(("file:", "#"))]


def _setup_py(text: str) -> Declaration:
    """It is read and never run, so what is no plain list is told by the name of its argument."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(str(error)) from error
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    named = {each.arg: each.value for each in keywords if each.arg in ("name", "install_requires", "extras_require")}
    needed: list[Needed] = []
    for argument in ("install_requires", "extras_require"):
        if argument in named:
            try:
                value = ast.literal_eval(named[argument])
            except ValueError:
                needed.append(Needed(argument, True))
            else:
                needed += _extras(value) if isinstance(value, dict) else _needed(value)
    own = named.get("name")
    return _python(str(own.value) if isinstance(own, ast.Constant) else "", needed)


def _pipfile(text: str) -> Declaration:
    tree = tomllib.loads(text)
    return _python("", [*_tables(tree.get("packages", {})), *_tables(tree.get("dev-packages", {}), always=False)])


def _wheel(text: str) -> Declaration:
    """A wheel of the application: its metadata say what is installed with it."""
    told = HeaderParser().parsestr(text)
    return _python(told.get("Name", ""), _needed(told.get_all("Requires-Dist", [])))


def _package_json(text: str) -> Declaration:
    """Locks name what developers need as well, and what a browser gets is often made of that."""
    tree = json.loads(text)
    needed = []
    for key in ("dependencies", "optionalDependencies", "devDependencies"):
        for name, version in tree.get(key, {}).items():
            if not str(version).startswith(_OWN_FOLDER):
                real = str(version).removeprefix("npm:").rsplit("@", 1)[0]
                needed.append(Needed(real if str(version).startswith("npm:") else name, True))
    return Declaration("npm", str(tree.get("name", "")), tuple(needed))


_READERS: Final[dict[str, Callable[[str], Declaration]]] = {
    "pyproject.toml": _pyproject, "setup.cfg": _setup_cfg, "setup.py": _setup_py, "Pipfile": _pipfile,
    "package.json": _package_json,
}  # fmt: skip
