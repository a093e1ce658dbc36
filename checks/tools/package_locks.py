"""Locks of package managers: each component that one names, and as a text whatever has no published version.

What comes from a repository, an address or a folder may call itself any version, so nobody could look it up. A lock of
which a part is missing is no lock: every package that another one needs has to stand in it, where the lock says so.
"""

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from packaging.utils import canonicalize_name

from checks.tools import careful_yaml
from checks.tools.components import Component

_OWN_SOURCES: Final = ("editable", "virtual", "directory")
#: Where uv, Poetry, PDM and pylock.toml say that a package is not from an index.
_ELSEWHERE: Final = ("git", "url", "path", "file", "vcs", "archive")
_VERSION: Final = re.compile(r"\d+\.\d+")


def toml_lock(text: str, listing: str) -> Iterator[Component | str]:
    """uv.lock, poetry.lock and pdm.lock name it "package", pylock.toml "packages"."""
    tree = tomllib.loads(text)
    packages = tree.get("package") or tree.get("packages") or []
    if "package" not in tree and "packages" not in tree:
        raise ValueError("it has no list of packages")
    # Poetry and PDM write it at the end.
    if listing.endswith(("poetry.lock", "pdm.lock")) and "metadata" not in tree:
        raise ValueError("it has no [metadata], so it is not whole")
    if listing.endswith("uv.lock"):
        needed = {str(one.get("name")) for each in packages for one in each.get("dependencies") or []}
        _refuse_missing(needed, {str(each.get("name")) for each in packages})
    for each in packages:
        if _is_own(each):
            continue
        if each.get("name") and each.get("version") and not _is_from_elsewhere(each):
            yield Component("pypi", canonicalize_name(each["name"]), str(each["version"]))
        else:
            yield f"{listing}: {each.get('name') or 'a package without a name'}"


def _is_own(package: Mapping[str, Any]) -> bool:
    """Whether it is the build's own code, whose dependencies stand in the lock beside it."""
    source = package.get("source") or {}
    return any(key in package or key in source for key in _OWN_SOURCES) or source.get("type") == "directory"


def _is_from_elsewhere(package: Mapping[str, Any]) -> bool:
    source = package.get("source") or {}
    return source.get("type") in _ELSEWHERE or any(key in package or key in source for key in _ELSEWHERE)


def package_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of npm 7 on."""
    tree = json.loads(text)
    if not isinstance(tree.get("packages"), Mapping):
        raise ValueError('it has no "packages"; locks before npm 7 (lockfileVersion 1) are not read')
    packages = tree["packages"]
    needed = {name for each in packages.values() for name in each.get("dependencies") or {}}
    _refuse_missing(needed, {path.rpartition("node_modules/")[2] for path in packages})
    for path, each in packages.items():
        name = each.get("name") or path.rpartition("node_modules/")[2]
        if not path or each.get("link"):
            continue
        if each.get("version") and not str(each.get("resolved", "")).startswith(("git", "ssh:", "file:")):
            yield Component("npm", name, str(each["version"]))
        elif "node_modules/" in path:
            yield f"{listing}: {name}"


def pipfile_lock(text: str, listing: str) -> Iterator[Component | str]:
    """What is installed, what is only for developing, and every category besides."""
    tree = json.loads(text)
    if "default" not in tree:
        raise ValueError('it has no "default"')
    for name, each in [pair for key, held in tree.items() if key != "_meta" for pair in held.items()]:
        version = str(each.get("version") or "")
        if version.startswith("=="):
            yield Component("pypi", canonicalize_name(name), version.lstrip("="))
        else:
            yield f"{listing}: {name}"


def pnpm_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of pnpm 3 on."""
    tree = _yaml(text)
    if "lockfileVersion" not in tree:
        raise ValueError("it has no lockfileVersion")
    split = _pnpm_key if float(tree["lockfileVersion"]) >= 6 else _pnpm_key_of_old
    packages = tree.get("packages") or {}
    named = {split(key)[0] for key in packages}
    _refuse_missing(set(_pnpm_needs(tree)) - {str(each.get("name")) for each in packages.values()}, named)
    for key in packages:
        name, version = split(key)
        yield Component("npm", name, version) if name and _VERSION.match(version) else f"{listing}: {key}"


def _pnpm_key(key: str) -> tuple[str, str]:
    """`/a@1.2.3(peers)` as pnpm 8 writes it, `a@1.2.3` since; `registry.example/a@1.2.3` from another registry."""
    name, _, version = key.removeprefix("/").partition("(")[0].rpartition("@")
    return _without_host(name), version


def _pnpm_key_of_old(key: str) -> tuple[str, str]:
    """`/a/1.2.3_peers` as pnpm 3 to 7 write it; `registry.example/a/1.2.3` from another registry."""
    name, _, version = key.removeprefix("/").rpartition("/")
    return _without_host(name), version.partition("_")[0]


def _without_host(name: str) -> str:
    """Names hold a slash only after a scope."""
    return name if name.startswith("@") else name.partition("/")[2] or name


def _pnpm_needs(tree: Mapping[str, Any]) -> Iterator[str]:
    """Names that the build itself needs from a registry; those of folders and addresses tell themselves."""
    for importer in (tree.get("importers") or {".": tree}).values():
        for kind in ("dependencies", "devDependencies"):
            for name, wanted in (importer.get(kind) or {}).items():
                version = str(wanted.get("version") if isinstance(wanted, Mapping) else wanted)
                if re.match(r"\d", version):
                    yield name


def yarn_lock(text: str, listing: str) -> Iterator[Component | str]:
    """Of Yarn 1, and of those after it, which write YAML."""
    if "\n__metadata:" in f"\n{text}":
        yield from _yarn_of_today(_yaml(text), listing)
    elif "# yarn lockfile v1" in text:
        yield from _yarn_1(text, listing)
    else:
        raise ValueError("it is of no version of Yarn that is read")


def _yarn_of_today(tree: Mapping[str, Any], listing: str) -> Iterator[Component | str]:
    # By name: what the build resolves otherwise than its dependents ask has another range.
    there = {_split(one.strip())[0] for key in tree for one in key.split(",")}
    _refuse_missing({name for each in tree.values() for name in each.get("dependencies") or {}}, there)
    for key, each in tree.items():
        if key == "__metadata" or each.get("linkType") == "soft":  # the build's own code
            continue
        resolution, version = str(each.get("resolution", "")), str(each.get("version", ""))
        name, _, source = resolution[1:].partition("@")
        published = source.startswith(("npm:", "patch:")) and _VERSION.match(version)
        yield Component("npm", resolution[:1] + name, version) if published else f"{listing}: {key}"


def _yarn_1(text: str, listing: str) -> Iterator[Component | str]:
    there: set[str] = set()
    needed: set[str] = set()
    key = version = ""
    inside = False
    for line in [*text.splitlines(), "end:"]:
        if line and not line.startswith((" ", "#")):
            if key:
                yield _yarn_1_entry(key, version) or f"{listing}: {key}"
            names = [one.strip().strip('"') for one in line.rstrip(":").split(",")]
            there.update(_split(one)[0] for one in names)
            key, version, inside = names[0], "", False
        elif line.startswith("    ") and inside:
            needed.add(line.split()[0].strip('"'))
        elif line.startswith("  "):
            inside = line.strip() == "dependencies:"
            if line.startswith("  version "):
                version = line.removeprefix("  version ").strip().strip('"')
    _refuse_missing(needed, there)


def _yarn_1_entry(key: str, version: str) -> Component | None:
    """None for what comes from an address or a folder, or has no version."""
    name, wanted = _split(key)
    if wanted.startswith("npm:"):
        # An alias: `short@npm:real@^1.0` is real.
        name, wanted = _split(wanted.removeprefix("npm:"))
    # A range holds neither of them; an address, a path and `owner/repository` do.
    published = _VERSION.match(version) and ":" not in wanted and "/" not in wanted
    return Component("npm", name, version) if published else None


def _split(descriptor: str) -> tuple[str, str]:
    """`name@range`, where the name may begin with an @ of its own."""
    name, _, wanted = descriptor[1:].partition("@")
    return descriptor[:1] + name, wanted


def _refuse_missing(needed: Collection[str], there: Collection[str]) -> None:
    missing = sorted(set(needed) - set(there))
    if missing:
        raise ValueError(f"{missing[0]} is needed and does not stand in it, so it is not whole")


def _yaml(text: str) -> Mapping[str, Any]:
    tree = careful_yaml.read(text)
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
