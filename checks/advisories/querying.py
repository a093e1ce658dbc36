"""What OSV's ``/v1/query`` answers, from the imported advisories.

An ecosystem of which nothing was imported is answered with an error, never with "no vulnerabilities".
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from checks.advisories.importing import current
from checks.advisories.versions import NoVersion, affects, is_readable, speaks_of
from checks.findings.fingerprints import package
from checks.models import Advisory, AdvisoryPackage, AdvisorySnapshot

MAX_BODY_BYTES: Final = 16 * 1024
OLD_AFTER: Final = timedelta(days=7)
_INVALID, _UNAVAILABLE = 3, 14  # gRPC's codes, as osv.dev uses them


@dataclass(frozen=True)
class Age:
    """How old the imported data of an ecosystem is."""

    ecosystem: str
    snapshot: AdvisorySnapshot
    at: datetime

    @property
    def length(self) -> timedelta:
        return self.at - self.snapshot.newest

    @property
    def old(self) -> bool:
        return self.length > OLD_AFTER


def ages(at: datetime | None = None) -> list[Age]:
    """Every ecosystem that was imported, with its age; one query. Empty: there is nothing to ask."""
    at = at or timezone.now()
    return [Age(ecosystem, snapshot, at) for ecosystem, snapshot in sorted(current().items())]


def answer(body: bytes) -> tuple[int, dict[str, Any]]:
    """(status, JSON) for the body of a POST to /v1/query. One query; a second where nothing is known of a package."""
    asked = _asked(body)
    if isinstance(asked, str):
        return 400, {"code": _INVALID, "message": asked}
    ecosystem, name, version = asked
    try:
        found = vulnerabilities(ecosystem=ecosystem, name=name, version=version)
    except NoVersion:
        return 400, {"code": _INVALID, "message": f"{version[:100]} is no version of {ecosystem}."}
    if found:
        return 200, {"vulns": found}
    if not AdvisoryPackage.objects.filter(ecosystem=ecosystem).exists():
        said = f"No advisories for {ecosystem} were imported, so nothing can be said about any package."
        return 503, {"code": _UNAVAILABLE, "message": said}
    return 200, {}


def _asked(body: bytes) -> tuple[str, str, str] | str:
    """(ecosystem, package, version or ""), or what is wrong with the question."""
    if len(body) > MAX_BODY_BYTES:
        return f"The question is longer than {MAX_BODY_BYTES} bytes."
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return "The question is not valid JSON."
    named = tree.get("package") if isinstance(tree, dict) else None
    if not isinstance(named, dict) or not all(isinstance(named.get(key), str) for key in ("name", "ecosystem")):
        return "Only questions about a package with its name and ecosystem are answered here."
    version = tree.get("version", "")
    if not isinstance(version, str) or "\x00" in named["name"] + named["ecosystem"] + version:
        return "The version is no text."
    return named["ecosystem"], named["name"], version


def vulnerabilities(*, ecosystem: str, name: str, version: str = "") -> list[dict[str, Any]]:
    """OSV entries that affect this version of the package, or any of its versions where none is named; one query."""
    wanted = package(ecosystem, name)
    rows = Advisory.objects.filter(packages__ecosystem=ecosystem, packages__package=wanted).order_by("osv_id")
    found = []
    for document in rows.values_list("document", flat=True):
        mine = [each for each in document["affected"] if speaks_of(each, ecosystem, wanted)]
        if not version or any(affects(each, version, ecosystem) for each in mine):
            found.append(_served(document, mine, ecosystem, wanted))
    return found


def _served(document: dict[str, Any], mine: list[dict[str, Any]], ecosystem: str, wanted: str) -> dict[str, Any]:
    """As published, but for the package's name, by which pip-audit looks for the fixes, and for fixes that are none."""
    for affected in mine:
        affected["package"]["name"], affected["package"]["ecosystem"] = wanted, ecosystem
        for each in affected.get("ranges") or []:
            if ecosystem == "PyPI" and each.get("type") == "ECOSYSTEM":
                each["events"] = [event for event in each["events"] if is_readable(event.get("fixed"))]
    return document
