"""How bad a vulnerability is when several sources speak of it, and answers and builds that are none."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from checks.findings.enriching import enriched
from checks.findings.fingerprints import severity_of
from checks.tools.auditing.said import Family, Found, PackagePlace, Severity, ToolReport, ToolStatus
from tests.advisories.support import entry, imported
from tests.kinds_audit.test_look_at_packages import KNOWING, look, source_that

pytestmark = [pytest.mark.campaign, pytest.mark.django_db(transaction=True)]

LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"
CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


def advisory(name: str, alias: str, vector: str = "", word: str = "") -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "9"}]
    affected = {"package": {"name": "six", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    document: dict[str, Any] = {"id": name, "aliases": [alias, "CVE-2024-1"], "modified": "2024-10-10T00:00:00Z",
                                "details": "Bad.", "affected": [affected]}  # fmt: skip
    document |= {"severity": [{"type": "CVSS_V3", "score": vector}]} if vector else {}
    return document | ({"database_specific": {"severity": word}} if word else {})


@pytest.mark.parametrize(
    ("of_github", "of_pypa", "score", "severity"),
    [
        ((CRITICAL, "CRITICAL"), (LOW, ""), 9.8, "critical"),
        ((CRITICAL, "CRITICAL"), ("", ""), 9.8, "critical"),
        (("", "CRITICAL"), (LOW, ""), None, "critical"),
        (("", ""), (LOW, ""), 1.8, "low"),
        (("", ""), ("", ""), None, "unknown"),
    ],
)
def test_the_gravest_of_two_entries_about_one_vulnerability_counts(
    of_github: tuple[str, str], of_pypa: tuple[str, str], score: float | None, severity: str, tmp_path: Path
) -> None:
    both = [advisory("GHSA-x", "PYSEC-2024-1", *of_github), advisory("PYSEC-2024-1", "GHSA-x", *of_pypa)]
    for order in (both, both[::-1]):
        with source_that([KNOWING, (200, json.dumps({"vulns": order}).encode())]) as url:
            (found,) = look({"requirements.txt": "six==1.16.0\n"}, tmp_path / order[0]["id"], url).found
        assert (found.cvss, severity_of(found).value) == (score, severity)


@pytest.mark.parametrize(
    ("said", "vector", "severity"),
    [
        (Severity.CRITICAL, "CVSS:5.0/x", "critical"),
        (Severity.UNKNOWN, "CVSS:5.0/x", "critical"),
        (Severity.UNKNOWN, "", "critical"),
        (Severity.LOW, CRITICAL, "critical"),
    ],
)
def test_what_was_imported_never_makes_a_finding_lighter(said: Severity, vector: str, severity: str) -> None:
    rated = [{"type": "CVSS_V3", "score": vector}] if vector else []
    imported(
        entry("GHSA-aaaa", "lodash", ecosystem="npm", aliases=["CVE-1"], severity=rated,
              database_specific={"severity": "CRITICAL"}),
        entry("OTHER-1", "lodash", ecosystem="npm", aliases=["CVE-1"], severity=[{"type": "CVSS_V3", "score": LOW}]),
    )  # fmt: skip
    one = Found(
        Family.DEPENDENCIES, "GHSA-aaaa", "t", said, PackagePlace("npm", "lodash", "4.17.4"), aliases=("CVE-1",)
    )
    report = ToolReport("pip-audit", "1", ToolStatus.FINDINGS, 1.0, (one,), (), 1, "packages")
    assert severity_of(enriched([report])[0].found[0]).value == severity


@pytest.mark.parametrize(
    "answered",
    [{"summary": "no id"}, None, {"id": "X", "affected": [None]}, {"id": "X", "database_specific": "x"},
     {"id": "X", "severity": 5}, {"id": "X", "affected": [{"ranges": [{"events": ["x"]}]}]}],
)  # fmt: skip
def test_an_entry_that_is_none_makes_the_look_incomplete(answered: Any, tmp_path: Path) -> None:
    lock = {"package-lock.json": json.dumps({"packages": {"node_modules/a": {"version": "1.0.0"}}})}
    npm = (200, json.dumps({"vulns": [entry("GHSA-1", "lodash", ecosystem="npm")]}).encode())
    with source_that([npm, (200, json.dumps({"vulns": [answered]}).encode())]) as url:
        report = look(lock, tmp_path / "app", url)
    assert report.status is ToolStatus.INCOMPLETE
    assert "answers an entry that is none of OSV's" in report.why


@pytest.mark.parametrize(
    ("answer", "why"),
    [((404, b"gone"), "answers 404: gone"), ((200, b'{"vulns": ['), "is not whole"), ((503, b""), "answers 503"),
     ((200, b'{"vulns": [], "next_page_token": "x"}'), "no list of vulnerabilities")],
)  # fmt: skip
def test_a_source_that_breaks_after_it_was_tried_is_no_pass_for_npm(
    answer: tuple[int, bytes], why: str, tmp_path: Path
) -> None:
    lock = {"package-lock.json": json.dumps({"packages": {"node_modules/a": {"version": "1.0.0"}}})}
    npm = (200, json.dumps({"vulns": [entry("GHSA-1", "lodash", ecosystem="npm")]}).encode())
    with source_that([npm, answer]) as url:
        report = look(lock, tmp_path / "app", url)
    assert (report.status, why in report.why) == (ToolStatus.INCOMPLETE, True), report.why


def spoiled(change: int, value: int) -> bytes:
    """A zip whose two headers of each file have ``value`` in the byte ``change`` (of the first header)."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        packed.writestr("requirements.txt", "six==1.16.0\n")
    data = bytearray(whole.getvalue())
    for signature, more in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        data[data.find(signature) + change + more] |= value
    return bytes(data)


@pytest.mark.parametrize("content", [spoiled(6, 1), spoiled(8, 99)], ids=["encrypted", "packed in an unknown way"])
def test_a_build_that_cannot_be_unpacked_is_told(content: bytes, tmp_path: Path) -> None:
    build = tmp_path / "build.zip"
    build.write_bytes(content)
    with source_that([KNOWING]) as url:
        report = look({}, tmp_path / "app", url, build=build)
    assert report.status is ToolStatus.INCOMPLETE
    assert "build.zip cannot be opened" in report.why
