"""Whether a version is affected, by OSV's rules: listed, or inside a range of the type ECOSYSTEM or SEMVER.

Where an advisory cannot be judged it counts as affected: a false alarm is looked at, a missed one is not.
"""

import re
from collections.abc import Mapping
from functools import cmp_to_key, lru_cache
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from checks.findings.fingerprints import package

_SEMVER: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)
#: Before every version there is.
BEGINNING: Final = (0,)
JUDGED: Final = ("ECOSYSTEM", "SEMVER")

Key = tuple[Any, ...]


class NoVersion(ValueError):
    """The text is no version of this ecosystem."""


@lru_cache(maxsize=4096)
def pep440(text: str) -> Key:
    """Remembered, since the many advisories of one package list the same versions."""
    try:
        return (1, Version(text))
    except InvalidVersion:
        raise NoVersion(text) from None


def semver(text: str) -> Key:
    """Ordered as semver.org says: a pre-release before its release, numbers below words."""
    found = _SEMVER.fullmatch(text.strip())
    if found is None:
        raise NoVersion(text)
    numbers = tuple(int(part or 0) for part in found.group(1, 2, 3))
    if found.group(4) is None:
        return (1, numbers, (1,))
    marks = tuple(
        (0, int(part), "") if part.isascii() and part.isdecimal() else (1, 0, part)
        for part in found.group(4).split(".")
    )
    return (1, numbers, (0, marks))


def reader(ecosystem: str, range_type: str = "ECOSYSTEM") -> Any:
    """What reads versions here: PEP 440 for PyPI whatever the range is called, else semantic versions."""
    return pep440 if ecosystem == "PyPI" else semver


def affects(affected: Mapping[str, Any], version: str, ecosystem: str) -> bool:
    """``affected``: one of an advisory's. Raises NoVersion where ``version`` is none."""
    read = reader(ecosystem)
    wanted = read(version)
    versions = affected.get("versions") or []
    ranges = [each for each in affected.get("ranges") or [] if each.get("type") in JUDGED]
    if not versions and not ranges:
        return True
    # Ranges first: they are a few comparisons, and a list may be hundreds.
    return any(_inside(each["events"], wanted, read) for each in ranges) or _listed(versions, version, wanted, read)


def _rebuilt(wanted: Key, read: Any) -> Key:
    """The version of which this one is a rebuild (1.5 of 1.5+cu118), itself where it is none: one is as bad as the
    other."""
    if not isinstance(wanted[1], Version) or not wanted[1].local:
        return wanted
    original: Key = read(wanted[1].public)
    return original


def _listed(versions: list[Any], version: str, wanted: Key, read: Any) -> bool:
    if version in versions:
        return True
    spellings = [wanted, _rebuilt(wanted, read)]
    for each in versions:
        try:
            if read(str(each)) in spellings:
                return True
        except NoVersion:
            continue
    return False


def _inside(events: list[Mapping[str, Any]], wanted: Key, read: Any) -> bool:
    """Events in the order of their versions; each turns the answer."""
    told = [(key, kind) for event in events for kind, text in event.items() if (key := _key(kind, str(text), read))]
    told.sort(key=cmp_to_key(_order))
    inside, original = False, _rebuilt(wanted, read)
    for key, kind in told:
        if kind == "introduced" and wanted >= key:
            inside = True
        elif (kind in ("fixed", "limit") and wanted >= key) or (kind == "last_affected" and original > key):
            inside = False
    return inside


def _order(one: tuple[Key, str], other: tuple[Key, str]) -> int:
    if one[0] != other[0]:
        return -1 if one[0] < other[0] else 1
    return (one[1] != "introduced") - (other[1] != "introduced")


def _key(kind: str, text: str, read: Any) -> Key | None:
    """None for an end that cannot be read: then the range has no end."""
    if kind == "introduced" and text == "0":
        return BEGINNING
    try:
        key: Key = read(text)
    except NoVersion:
        return BEGINNING if kind == "introduced" else None
    return key


def speaks_of(affected: Mapping[str, Any], ecosystem: str, wanted: str) -> bool:
    """``affected``: one of an advisory's. ``wanted``: a package's name as its ecosystem compares it."""
    named = affected.get("package") or {}
    return named.get("ecosystem", "").strip() == ecosystem and package(ecosystem, named.get("name", "")) == wanted


def is_readable(fixed: Any) -> bool:
    """Whether it is a version of PyPI, or none."""
    try:
        return fixed is None or bool(Version(str(fixed)))
    except InvalidVersion:
        return False


def fixed_versions(document: Mapping[str, Any], ecosystem: str, wanted: str) -> list[str]:
    """The versions of this package that an OSV entry calls fixed."""
    return [
        str(event["fixed"])
        for affected in document["affected"]
        if speaks_of(affected, ecosystem, wanted)
        for each in affected.get("ranges") or []
        if each.get("type") in JUDGED
        for event in each["events"]
        if event.get("fixed") and (ecosystem != "PyPI" or is_readable(event["fixed"]))
    ]
