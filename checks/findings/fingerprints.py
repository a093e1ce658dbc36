"""What makes a finding the same finding: its family, its rule or CWE, and its place, each in one spelling.

Never the line, the severity, the version, the environment or the tool: those change while the fault stays.
"""

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

import rfc8785
from packaging.utils import canonicalize_name

from checks.tools.auditing.said import (
    Family,
    FilePlace,
    Found,
    PackagePlace,
    Place,
    RoutePlace,
    Severity,
)

#: Part of what is hashed: a change of the rules below must change it, and brings a migration of what is stored.
FORMAT: Final = "finding-1"
#: Families in which a place is exact enough for a CWE to name the fault, whatever the tool calls it.
_BY_CWE: Final = (Family.WEB, Family.SOURCE)
#: Which id of a vulnerability stands for all of them.
_PREFERRED: Final = ("CVE-", "GHSA-", "PYSEC-")
#: As OSV spells them.
_ECOSYSTEMS: Final = {"pypi": "PyPI", "npm": "npm"}
MAX_NAME: Final = 100
_IDS: Final = re.compile(
    r"\d+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?=[0-9a-f]*\d)[0-9a-f]{16,}"
    r"|\{[^}]*\}|<[^>]*>|:[A-Za-z_]\w*",
    re.IGNORECASE,
)
#: Lower bounds of the bands of CVSS 3 and 4.
_BANDS: Final = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))


def fingerprint(found: Found) -> str:
    """SHA-256 hex. For a vulnerability it is by the preferred of its ids; ``joining`` finds it by the others too."""
    facts = [FORMAT, family_of(found), *_rule(found), *place_facts(found.place)]
    return hashlib.sha256(rfc8785.dumps(facts)).hexdigest()


def clean(text: str) -> str:
    """Without what neither PostgreSQL nor UTF-8 can hold; a tool may have it from an answer it did not expect."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def family_of(found: Found) -> str:
    """What is wrong with a package is a matter of dependencies, whoever says it."""
    return (Family.DEPENDENCIES if isinstance(found.place, PackagePlace) else found.family).value


def _rule(found: Found) -> list[str]:
    if isinstance(found.place, PackagePlace):
        return ["vulnerability", preferred(identifiers(found))]
    exact = (isinstance(found.place, RoutePlace) and bool(found.place.parameter.strip())) or (
        isinstance(found.place, FilePlace) and bool(found.place.code.strip())
    )
    if found.family in _BY_CWE and exact and len(set(found.cwe)) == 1:
        return ["cwe", str(found.cwe[0])]
    return ["rule", clean(found.rule).strip()]


def identifiers(found: Found) -> frozenset[str]:
    """Every id of a vulnerability, in capitals."""
    names = (clean(name).strip().upper()[:MAX_NAME] for name in (found.rule, *found.aliases))
    return frozenset(name for name in names if name)


def preferred(names: Iterable[str]) -> str:
    """CVE before GHSA before PYSEC before others, and the first of its kind."""

    def order(name: str) -> tuple[int, str]:
        known = [index for index, prefix in enumerate(_PREFERRED) if name.startswith(prefix)]
        return (known[0] if known else len(_PREFERRED), name)

    return min(names, key=order, default="")


def place_facts(place: Place) -> list[str]:
    """The place in one spelling: its kind, then its parts."""
    return [str(value) for value in place_document(place).values()]


def place_document(place: Place) -> dict[str, Any]:
    """As ``Finding.place`` keeps it."""
    if isinstance(place, PackagePlace):
        named = clean(place.ecosystem).strip()[:60]
        ecosystem, name = _ECOSYSTEMS.get(named.lower(), named), clean(place.name)
        return {"kind": "package", "ecosystem": ecosystem, "name": package(ecosystem, name)[:300]}
    if isinstance(place, RoutePlace):
        method, parameter = clean(place.method).strip().upper(), clean(place.parameter).strip()
        return {"kind": "route", "method": method, "route": route(place.route), "parameter": parameter}
    if isinstance(place, FilePlace):
        return {"kind": "file", "path": file_path(place.path), "code": " ".join(clean(place.code).split())}
    return {"kind": "system", "name": system(place.name)}


def place_text(document: dict[str, Any]) -> str:
    """The place for people."""
    if document["kind"] == "package":
        return f"{document['name']} ({document['ecosystem']})"
    if document["kind"] == "route":
        return " ".join(filter(None, (document["method"], document["route"], document["parameter"])))
    return str(document["path"] if document["kind"] == "file" else document["name"])


def package(ecosystem: str, name: str) -> str:
    """A package's name as its ecosystem compares it: PEP 503 for PyPI, small letters for npm."""
    ecosystem, name = ecosystem.strip().lower(), name.strip()
    if ecosystem == "pypi":
        return canonicalize_name(name)
    return name.lower() if ecosystem == "npm" else name


def route(value: str) -> str:
    """Only the path, ids as {id}, no slash at its end."""
    value = clean(value).strip()
    if "://" in value:
        value = urlsplit(value).path
    value = re.split(r"[?#]", value, maxsplit=1)[0]
    named = filter(None, (part.strip() for part in value.split("/")))
    parts = [("{id}" if _IDS.fullmatch(part) else part) for part in named]
    return "/" + "/".join(parts)


def file_path(value: str) -> str:
    """With slashes, relative to the source's root, without detours."""
    value = posixpath.normpath(clean(value).strip().replace("\\", "/")).lstrip("/")
    return "" if value == "." else value


def system(value: str) -> str:
    return " ".join(clean(value).split()).casefold()


def severity_of(found: Found) -> Severity:
    """By CVSS where there is a score; else the tool's word. A score that is none says nothing."""
    if found.cvss is None or not 0 <= found.cvss <= 10:
        return found.severity
    return next((severity for least, severity in _BANDS if found.cvss >= least), Severity.LOW)
