"""What completed looks went over: only there may a finding that is not seen any more be called resolved."""

import fnmatch
import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from checks.findings import fingerprints
from checks.tools.auditing.said import Covered, ToolReport, ToolStatus

_BY_METHOD: Final = re.compile(r"[A-Z]+ /")


class Look:
    """One ``Covered`` of a completed report.

    A look that names its rules speaks for every tool, unless it calls them its own. One that only says "every rule"
    means its own rules, so it resolves nothing but what the same tool had seen.
    """

    def __init__(self, tool: str, covered: Covered) -> None:
        self.tool, self._covered = tool, covered
        self._places: dict[tuple[str, str], frozenset[str]] = {}

    @property
    def pages(self) -> frozenset[str]:
        return self._covered.pages or frozenset()

    def went_to(
        self,
        *,
        family: str,
        names: Collection[str],
        place: dict[str, Any],
        tools: Collection[str],
        pages: Collection[str] = (),
    ) -> bool:
        """``names``: the rule, or the ids of the vulnerability. ``place``: as ``Finding.place`` keeps it.

        ``tools``: which saw it last. ``pages``: at which it was seen.
        """
        covered = self._covered
        if covered.family.value != family:
            return False
        if (covered.rules is None or covered.own) and self.tool not in tools:
            return False
        if covered.rules is not None and not covered.rules & set(names):
            return False
        if covered.turned_off & set(names):
            return False
        if covered.ecosystems is not None and place.get("ecosystem", "").lower() not in covered.ecosystems:
            return False
        if covered.pages is not None and not covered.pages >= set(pages):
            return False
        if place["kind"] == "file" and any(fnmatch.fnmatch(place["path"], pattern) for pattern in covered.left_out):
            return False
        return covered.places is None or bool(_spellings(place) & self._normalised(place))

    def _normalised(self, place: dict[str, Any]) -> frozenset[str]:
        key = (place["kind"], place.get("ecosystem", ""))
        if key not in self._places:
            names = self._covered.places or ()
            self._places[key] = frozenset(_spelled(place, name) for name in names)
        return self._places[key]


def looks(reports: Iterable[ToolReport]) -> list[Look]:
    """An incomplete report covers nothing, whatever it says."""
    return [
        Look(report.tool, covered)
        for report in reports
        if report.status is not ToolStatus.INCOMPLETE
        for covered in report.covered
    ]


def _spellings(place: dict[str, Any]) -> frozenset[str]:
    """Under which names a look may have gone to a place."""
    if place["kind"] == "route":
        return frozenset({place["route"], f"{place['method']} {place['route']}"})
    return frozenset({place["path" if place["kind"] == "file" else "name"]})


def _spelled(place: dict[str, Any], name: str) -> str:
    match place["kind"]:
        case "package":
            return fingerprints.package(place["ecosystem"], name)
        case "route":
            method, route = name.split(" ", 1) if _BY_METHOD.match(name) else ("", name)
            return f"{method} {fingerprints.route(route)}".lstrip()
        case "file":
            return fingerprints.file_path(name)
    return fingerprints.system(name)
