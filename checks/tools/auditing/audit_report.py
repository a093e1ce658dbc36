"""What an audit says: its result for the page, its figures, its file."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from checks.tools.auditing.looking import weight
from checks.tools.auditing.said import (
    FilePlace,
    Found,
    PackagePlace,
    Place,
    RoutePlace,
    Severity,
    ToolReport,
    ToolStatus,
)

MAX_SHOWN: Final = 300
OWASP: Final = {
    "A01": "Broken access control", "A02": "Security misconfiguration", "A03": "Software supply chain failures",
    "A04": "Cryptographic failures", "A05": "Injection", "A06": "Insecure design", "A07": "Authentication failures",
    "A08": "Software or data integrity failures", "A09": "Security logging and alerting failures",
    "A10": "Mishandling of exceptional conditions",
}  # fmt: skip


def words_of(place: Place) -> str:
    """A place as people read it."""
    if isinstance(place, PackagePlace):
        return f"{place.name} {place.version} ({place.ecosystem})"
    if isinstance(place, RoutePlace):
        return f"{place.method} {place.route}" + (f", parameter {place.parameter}" if place.parameter else "")
    if isinstance(place, FilePlace):
        return f"{place.path}:{place.line}" if place.line else place.path
    return place.name


@dataclass(frozen=True)
class Standing:
    """What is known of a finding beside what the tool says. ``change``: new, still, reopened; '' when not kept."""

    change: str = ""
    accepted: bool = False
    blocks: bool = False


def findings_of(reports: Sequence[ToolReport], standing_of: Callable[[Found], Standing]) -> list[dict[str, Any]]:
    """Every finding as a row, the gravest first; of equal ones those first that somebody rated."""
    rows = [(report.tool, found, standing_of(found)) for report in reports for found in report.found]
    rows.sort(
        key=lambda row: (
            not row[2].blocks, -weight(row[1].severity), row[1].severity is Severity.UNKNOWN, row[1].family,
            words_of(row[1].place), row[1].rule,
        )
    )  # fmt: skip
    return [_row(*row) for row in rows]


def _row(tool: str, found: Found, standing: Standing) -> dict[str, Any]:
    return {
        **asdict(standing),
        "tool": tool,
        "family": found.family.value,
        "rule": found.rule,
        "title": found.title,
        "severity": found.severity.value,
        "cvss": found.cvss,
        "place": words_of(found.place),
        "detail": found.detail[:1000],
        "remedy": found.remedy[:500],
        "cwe": list(found.cwe),
        "owasp": found.owasp,
        "owasp_name": OWASP.get(found.owasp, ""),
        "asvs": list(found.asvs),
        "aliases": list(found.aliases),
        "fixed_in": list(found.fixed_in),
        "link": found.link if found.link.startswith(("https://", "http://")) else "",
    }


def tools_of(reports: Sequence[ToolReport]) -> list[dict[str, Any]]:
    """Every tool as a row: what it looked at, or why it could not."""
    return [
        {
            "tool": report.tool,
            "version": report.version,
            "status": report.status.value,
            "seconds": round(report.seconds, 3),
            "found": len(report.found),
            "looked_at": report.looked_at,
            "unit": report.unit,
            "why": report.why,
            "remedy": report.remedy,
            "notes": list(report.notes),
            "not_applicable": report.not_applicable,
        }
        for report in reports
    ]


def figures_of(reports: Sequence[ToolReport], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = Counter(row["severity"] for row in rows)
    return {
        "findings": len(rows),
        "blocking": sum(row["blocks"] for row in rows),
        **{severity.value: counts[severity.value] for severity in Severity},
        "looks": sum(not report.not_applicable for report in reports),
        "incomplete": sum(report.status is ToolStatus.INCOMPLETE for report in reports),
    }


def whole(reports: Sequence[ToolReport]) -> bytes:
    """Everything that the tools said, as JSON."""
    return json.dumps([asdict(report) for report in reports], indent=2, default=sorted, ensure_ascii=False).encode()
