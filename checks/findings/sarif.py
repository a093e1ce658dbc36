"""What one run found as SARIF 2.1.0: one SARIF run for each tool, accepted findings as suppressed with the reason."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from django.utils import timezone

from checks.enums import OccurrenceChange
from checks.findings.accepting import validly_accepted
from checks.models import Acceptance, Finding, Occurrence, Run, Scan

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {"critical": "error", "high": "error", "unknown": "error", "medium": "warning", "low": "note"}
_BASELINE: Final = {
    OccurrenceChange.NEW: "new",
    OccurrenceChange.REOPENED: "new",
    OccurrenceChange.STILL: "unchanged",
    OccurrenceChange.RESOLVED: "absent",
    OccurrenceChange.UNSEEN: "unchanged",
}


def written(run: Run, scan: Scan) -> bytes:
    """The log of one run's scan; two queries."""
    rows = Occurrence.objects.filter(run=run).select_related("finding__joined_into").order_by("finding_id")
    pairs = [(row, row.finding.joined_into or row.finding) for row in rows]
    accepted = validly_accepted([finding for _, finding in pairs], timezone.now())
    by_tool: dict[str, list[tuple[Occurrence, Finding]]] = defaultdict(list)
    for row, finding in pairs:
        for tool in row.tools or [""]:
            by_tool[tool].append((row, finding))
    tools = {tool["tool"][:60]: tool for tool in scan.tools}
    by_no_tool = by_tool.pop("", [])  # resolved, or not looked at
    runs = [_run(run, tool, by_tool.get(name, []), accepted) for name, tool in tools.items()]
    if by_no_tool:
        runs.append(_run(run, {"tool": "Go/No-Go", "status": "ok"}, by_no_tool, accepted))
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _run(
    run: Run, tool: dict[str, Any], pairs: Sequence[tuple[Occurrence, Finding]], accepted: dict[int, Acceptance]
) -> dict[str, Any]:
    rules = _rules(finding for _, finding in pairs)
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    driver: dict[str, Any] = {"name": tool["tool"], "rules": rules}
    if tool.get("version"):
        driver["version"] = tool["version"]
    invocation: dict[str, Any] = {"executionSuccessful": tool["status"] != "incomplete"}
    if tool["status"] == "incomplete":
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": tool["why"]}}]
    return {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "automationDetails": {"id": f"{run.application.slug}/{run.section}/{run.number}", "guid": str(run.pk)},
        "columnKind": "unicodeCodePoints",
        "properties": {"gonogo.build_digest": run.build_digest},
        "results": [_result(row, finding, index, accepted.get(finding.pk)) for row, finding in pairs],
    }


def _rules(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    rules: dict[str, dict[str, Any]] = {}
    for finding in findings:
        properties: dict[str, Any] = {
            "tags": [finding.family, *(f"external/cwe/cwe-{number}" for number in finding.cwe)]
        }
        if finding.cvss is not None:
            properties["security-severity"] = f"{finding.cvss:.1f}"
        rule: dict[str, Any] = {"id": finding.rule or "unnamed", "properties": properties}
        if finding.remedy:
            rule["help"] = {"text": finding.remedy}
        if finding.link:
            rule["helpUri"] = quote(finding.link, safe=":/?#[]@!$&'()*+,;=%")
        rules.setdefault(rule["id"], rule)
    return list(rules.values())


def _result(row: Occurrence, finding: Finding, index: dict[str, int], acceptance: Acceptance | None) -> dict[str, Any]:
    rule = finding.rule or "unnamed"
    result: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": index[rule],
        "level": _LEVELS[row.severity],
        "message": {"text": f"{finding.title}\n{finding.detail}".strip() or rule},
        "locations": _locations(row, finding),
        "partialFingerprints": {"gonogo/v1": finding.fingerprint},
        "baselineState": _BASELINE[OccurrenceChange(row.change)],
        "properties": {"finding": finding.pk, "severity": row.severity, "aliases": finding.aliases,
                       "owasp": finding.owasp, "asvs": finding.asvs, "versions": row.versions},
    }  # fmt: skip
    if acceptance is not None:
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": acceptance.reason}
        ]  # fmt: skip
    return result


def _locations(row: Occurrence, finding: Finding) -> list[dict[str, Any]]:
    place = finding.place
    if place["kind"] == "file":
        artifact = {"artifactLocation": {"uri": quote(place["path"] or "."), "uriBaseId": "%SRCROOT%"}}
        return [
            {"physicalLocation": artifact | ({"region": {"startLine": line}} if line else {})}
            for line in row.lines or [0]
        ]
    kind = {"package": "package", "route": "resource"}.get(place["kind"], "resource")
    return [{"logicalLocations": [{"fullyQualifiedName": finding.place_text, "kind": kind}]}]
