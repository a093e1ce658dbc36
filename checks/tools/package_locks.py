"""Locks of package managers: each component that one names, and as a text whatever has no exact version."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from packaging.utils import canonicalize_name

from checks.tools.components import Component

_PARSER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OWN_SOURCES: Final = ("editable", "virtual", "directory")
_VERSION: Final = re.compile(r"\d+\.\d+")


def toml_lock(text: str, listing: str) -> Iterator[Component | str]:
    """uv.lock, poetry.lock and pdm.lock name it "package", pylock.toml "packages"."""
    tree = tomllib.loads(text)
    if "package" not in tree and "packages" not in tree:
        raise ValueError("it has no list of packages")
    for each in tree.get("package") or tree.get("packages") or []:
        if each.get("name") and each.get("version"):
            yield Component("pypi", canonicalize_name(each["name"]), str(each["version"]))
        elif not _is_own(each):
            yield f"{listing}: {each.get('name') or 'a package without a name'}"


def _is_own(package: Mapping[str, Any]) -> bool:
    """Whether it is the build's own code, whose dependencies stand in the lock beside it."""
    return any(key in package or key in (package.get("source") or {}) for key in _OWN_SOURCES)


def package_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of npm 7 on."""
    tree = json.loads(text)
    if not isinstance(tree.get("packages"), Mapping):
        raise ValueError('it has no "packages"; locks before npm 7 (lockfileVersion 1) are not read')
    for path, each in tree["packages"].items():
        name = each.get("name") or path.rpartition("node_modules/")[2]
        if path and each.get("version") and not each.get("link"):
            yield Component("npm", name, str(each["version"]))
        elif "node_modules/" in path and not each.get("link"):
            yield f"{listing}: {name}"


def pipfile_lock(text: str, listing: str) -> Iterator[Component | str]:
    """What is installed, and what is only for developing."""
    tree = json.loads(text)
    if "default" not in tree:
        raise ValueError('it has no "default"')
    for name, each in [*tree["default"].items(), *(tree.get("develop") or {}).items()]:
        version = str(each.get("version") or "")
        if version.startswith("=="):
            yield Component("pypi", canonicalize_name(name), version.lstrip("="))
        else:
            yield f"{listing}: {name}"


def pnpm_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of pnpm 3 on. What the build links to is its own code; a folder or an address has no published version."""
    tree = _yaml(text)
    if "lockfileVersion" not in tree:
        raise ValueError("it has no lockfileVersion")
    split = _pnpm_key if float(tree["lockfileVersion"]) >= 6 else _pnpm_key_of_old
    for key, each in (tree.get("packages") or {}).items():
        name, version = split(str(key))
        name, version = str(each.get("name") or name), str(each.get("version") or version)
        yield Component("npm", name, version) if _VERSION.match(version) else f"{listing}: {key}"


def _pnpm_key(key: str) -> tuple[str, str]:
    """`/a@1.2.3(peers)` as pnpm 8 writes it, `a@1.2.3` since."""
    name, _, version = key.removeprefix("/").partition("(")[0].rpartition("@")
    return name, version


def _pnpm_key_of_old(key: str) -> tuple[str, str]:
    """`/a/1.2.3_peers` as pnpm 3 to 7 write it."""
    name, _, version = key.removeprefix("/").rpartition("/")
    return name, version.partition("_")[0]


def yarn_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of Yarn 1, and of those after it, which write YAML."""
    if "\n__metadata:" in f"\n{text}":
        yield from _yarn_of_today(_yaml(text), listing)
    elif "# yarn lockfile v1" in text:
        yield from _yarn_1(text, listing)
    else:
        raise ValueError("it is of no version of Yarn that is read")


def _yarn_of_today(tree: Mapping[str, Any], listing: str) -> Iterator[Component | str]:
    for key, each in tree.items():
        if key == "__metadata" or each.get("linkType") == "soft":  # the build's own code
            continue
        resolution, version = str(each.get("resolution", "")), str(each.get("version", ""))
        name, _, source = resolution[1:].partition("@")
        known = source.startswith(("npm:", "patch:")) and _VERSION.match(version)
        yield Component("npm", resolution[:1] + name, version) if known else f"{listing}: {key}"


def _yarn_1(text: str, listing: str) -> Iterator[Component | str]:
    key = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            key = line.rstrip(":").split(",")[0].strip().strip('"')
        elif key and line.startswith("  version "):
            version = line.removeprefix("  version ").strip().strip('"')
            name, _, wanted = key[1:].partition("@")
            # An alias: `short@npm:real@^1.0` is real.
            real = wanted.removeprefix("npm:").rpartition("@")[0] if wanted.startswith("npm:") else ""
            known = _VERSION.match(version) and not wanted.startswith(("file:", "link:", "portal:"))
            yield Component("npm", real or key[:1] + name, version) if known else f"{listing}: {key}"
            key = ""


def _yaml(text: str) -> Mapping[str, Any]:
    try:
        tree = yaml.load(text, Loader=_PARSER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    if not isinstance(tree, Mapping):
        raise ValueError("it is no mapping")
    return tree


#: By the name of the file.
READERS: Final = {
    "uv.lock": toml_lock,
    "pylock.toml": toml_lock,
    "poetry.lock": toml_lock,
    "pdm.lock": toml_lock,
    "Pipfile.lock": pipfile_lock,
    "package-lock.json": package_lock,
    "npm-shrinkwrap.json": package_lock,
    "pnpm-lock.yaml": pnpm_lock,
    "yarn.lock": yarn_lock,
}
