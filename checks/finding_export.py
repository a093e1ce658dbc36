"""The list of findings as a file."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from checks.findings import listing
from checks.models import Finding
from releases import spreadsheet
from releases.views.streaming import stream

COLUMNS = ("number", "state", "severity", "cvss", "family", "rule", "title", "place", "aliases", "cwe", "owasp", "asvs",
           "fixed_in", "remedy", "link", "first_seen_at", "last_seen_at", "last_run", "resolved_at",
           "fingerprint")  # fmt: skip
_LISTS = ("aliases", "cwe", "asvs", "fixed_in")


def _rows(findings: "QuerySet[Finding]") -> Iterator[dict[str, Any]]:
    for finding in findings.iterator(chunk_size=500):
        row = {name: getattr(finding, name, None) for name in COLUMNS}
        yield row | {
            "number": finding.pk,
            "state": listing.look(finding),
            "place": finding.place_text,
            "first_seen_at": finding.first_seen_at.isoformat(),
            "last_seen_at": finding.last_seen_at.isoformat(),
            "last_run": finding.last_run.number,
            "resolved_at": finding.resolved_at.isoformat() if finding.resolved_at else None,
        }


def _flat(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row | {name: " ".join(str(value) for value in row[name]) for name in _LISTS}


def _json(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    yield b"[\n"
    for index, row in enumerate(rows):
        yield (("," if index else "") + json.dumps(row, ensure_ascii=False) + "\n").encode()
    yield b"]\n"


def export_findings(request: HttpRequest, findings: "QuerySet[Finding]", form: str) -> StreamingHttpResponse:
    """``form``: csv or json."""
    if form == "csv":
        parts = spreadsheet.lines(COLUMNS, _flat(_rows(findings)))
        return stream(request, parts, "text/csv; charset=utf-8", "findings.csv")
    return stream(request, _json(_rows(findings)), "application/json; charset=utf-8", "findings.json")
