"""What a build is made of, from its lock or requirements file, as CycloneDX 1.6.

Only exact versions are components. A file without any is no list of what is in the build, and that is said.
"""

import json
import re
import tarfile
import tomllib
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from checks.errors import CheckError

NAME: Final = "sbom.cdx.json"
MAX_LIST_BYTES: Final = 20 * 1024**2
MAX_MEMBERS: Final = 200_000
#: In this order: the more a file says about what is really installed, the earlier.
LISTS: Final = ("uv.lock", "pylock.toml", "poetry.lock", "requirements.lock", "requirements.txt", "package-lock.json")
_HASH: Final = re.compile(r"--hash[= ](sha256|sha384|sha512):([0-9a-fA-F]+)")
_ALGORITHMS: Final = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}


@dataclass(frozen=True)
class Component:
    """``hashes``: (algorithm as CycloneDX names it, hex digest) of files that are this version."""

    ecosystem: str
    name: str
    version: str
    hashes: tuple[tuple[str, str], ...] = ()

    @property
    def purl(self) -> str:
        if self.ecosystem == "npm":
            scope, _, name = self.name.rpartition("/")
            path = f"{quote(scope, safe='')}/{quote(name, safe='')}" if scope else quote(name, safe="")
            return f"pkg:npm/{path}@{quote(self.version, safe='')}"
        return f"pkg:pypi/{quote(self.name, safe='')}@{quote(self.version, safe='')}"


def components_of(build: Path, name: str) -> tuple[str, list[Component]]:
    """(name of the list, its components) of a build: a list itself, or the first list in an archive.

    ``name``: the build's file name. CheckError where there is none, or it holds no exact version.
    """
    listing, data = _listing(build, name)
    found = {(one.ecosystem, one.name, one.version): one for one in _read(listing, data)}
    if not found:
        raise CheckError(
            f"{listing} of the build names no exact version.",
            remedy="Put a lock or a pinned requirements file into it.",
        )
    return listing, [found[key] for key in sorted(found)]


def _listing(build: Path, name: str) -> tuple[str, bytes]:
    lower = name.lower()
    try:
        if lower.endswith((".zip", ".whl")):
            return _from_zip(build)
        if lower.endswith((".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2")):
            return _from_tar(build)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, NotImplementedError) as error:
        raise CheckError(f"The build {name} cannot be opened: {error}.", remedy="Is it whole?") from error
    if lower.endswith((".txt", ".lock", ".toml", ".json", ".in")):
        with build.open("rb") as stream:
            return name, _limited(stream.read(MAX_LIST_BYTES + 1), name)
    raise _none(name)


def _none(name: str) -> CheckError:
    return CheckError(
        f"The build {name} holds no list of its packages.", remedy=f"Put one of {', '.join(LISTS)} into it."
    )


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > MAX_LIST_BYTES:
        raise CheckError(f"{name} in the build is larger than {MAX_LIST_BYTES // 1024**2} MB.")
    return data


def _rank(name: str) -> tuple[int, int, str] | None:
    """The best list first, then the one nearest to the root."""
    path = PurePosixPath(name)
    return (LISTS.index(path.name), len(path.parts), name) if path.name in LISTS else None


def _from_zip(build: Path) -> tuple[str, bytes]:
    with zipfile.ZipFile(build) as archive:
        names = [each.filename for each in archive.infolist()[:MAX_MEMBERS]]
        best = min((rank for each in names if (rank := _rank(each))), default=None)
        if best is None:
            raise _none(build.name)
        with archive.open(best[2]) as stream:
            return best[2], _limited(stream.read(MAX_LIST_BYTES + 1), best[2])


def _from_tar(build: Path) -> tuple[str, bytes]:
    with tarfile.open(build) as archive:
        ranked: list[tuple[tuple[int, int, str], tarfile.TarInfo]] = []
        for number, member in enumerate(archive):
            if number >= MAX_MEMBERS:
                break
            if member.isreg() and (rank := _rank(member.name)):
                ranked.append((rank, member))
        if not ranked:
            raise _none(build.name)
        best = min(ranked, key=lambda each: each[0])[1]
        stream = archive.extractfile(best)
        assert stream is not None, "a regular file has bytes"
        return best.name, _limited(stream.read(MAX_LIST_BYTES + 1), best.name)


def _read(name: str, data: bytes) -> Iterator[Component]:
    try:
        text = data.decode("utf-8-sig")
        if name.endswith("package-lock.json"):
            yield from _package_lock(json.loads(text))
        elif PurePosixPath(name).name in ("uv.lock", "poetry.lock") or name.endswith(".toml"):
            yield from _toml_lock(tomllib.loads(text))
        else:
            yield from _requirements(text)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise CheckError(f"{name} of the build cannot be read: {error}.", remedy="Is it whole?") from error


def _joined(text: str) -> list[str]:
    return re.sub(r"\\\r?\n", " ", text).splitlines()


def _requirements(text: str) -> Iterator[Component]:
    whole = (re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in _joined(text))
    for line in whole:
        if not line or line.startswith("-"):
            continue
        hashes = tuple((_ALGORITHMS[kind], value.lower()) for kind, value in _HASH.findall(line))
        try:
            wanted = Requirement(line.split(" --", 1)[0].strip())
        except InvalidRequirement as error:
            raise ValueError(f"{line[:100]!r}: {error}") from None
        pins = [each.version for each in wanted.specifier if each.operator in ("==", "===") and "*" not in each.version]
        if len(pins) == 1:
            yield Component("pypi", canonicalize_name(wanted.name), pins[0], hashes)


def _toml_lock(tree: Mapping[str, Any]) -> Iterator[Component]:
    """uv.lock and poetry.lock name it "package", pylock.toml "packages"."""
    for each in tree.get("package") or tree.get("packages") or []:
        if each.get("name") and each.get("version"):
            yield Component("pypi", canonicalize_name(each["name"]), str(each["version"]))


def _package_lock(tree: Mapping[str, Any]) -> Iterator[Component]:
    for path, each in (tree.get("packages") or {}).items():
        name = each.get("name") or path.rpartition("node_modules/")[2]
        if path and each.get("version") and not each.get("link"):
            yield Component("npm", name, str(each["version"]))


def cyclonedx(
    components: list[Component], *, application: str, version: str, build_name: str, build_digest: str, listing: str,
    at: datetime,
) -> bytes:  # fmt: skip
    """CycloneDX 1.6 as JSON. The serial number is of the build and the list, so the same build has the same."""
    subject = f"{application}@{version}"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{build_digest}/{listing}')}",
        "version": 1,
        "metadata": {
            "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "Go/No-Go"}]},
            "component": {
                "type": "application",
                "bom-ref": subject,
                "name": application,
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": build_digest}],
                "properties": [
                    {"name": "gonogo:build", "value": build_name},
                    {"name": "gonogo:listed-in", "value": listing},
                ],
            },
        },
        "components": [_component(one) for one in components],
        "dependencies": [{"ref": subject, "dependsOn": [one.purl for one in components]}],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _component(one: Component) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library", "bom-ref": one.purl, "name": one.name, "version": one.version, "purl": one.purl,
    }  # fmt: skip
    if len(one.hashes) == 1:  # of several files nobody knows which was installed
        found["hashes"] = [{"alg": algorithm, "content": value} for algorithm, value in one.hashes]
    return found
