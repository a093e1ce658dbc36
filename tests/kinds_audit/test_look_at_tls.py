"""TLS by sslyze as it is, asked of real servers; and what its reports mean, broken ones too."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from checks.tools.auditing import tls, tls_judging
from checks.tools.auditing.looking import NotSeen
from checks.tools.auditing.said import Severity, SystemPlace, ToolReport, ToolStatus
from checks.tools.auditing.tls import TlsLook, TlsSection
from tests.kinds_audit.site import serving
from tests.kinds_audit.support import looked, rules
from tests.kinds_audit.tls_site import FLAWS, VARIANTS, serving_tls

#: What sslyze 6.3.1 wrote of the sound server, without the suites that it refused and the certificates themselves.
REPORT = json.loads((Path(__file__).parent / "reports" / "sslyze.json").read_text())
NOW = datetime(2026, 12, 1, tzinfo=UTC)
TOLD = {
    "old-protocols": {"accepts-tls-1.0", "accepts-tls-1.1"},
    "weak-ciphers": {"broken-cipher-suites", "without-forward-secrecy"},
    "expired": {"certificate-expired"},
    "expires-soon": {"certificate-expires-soon"},
    "other-name": {"certificate-of-another-host"},
    "self-signed": {"certificate-not-trusted"},
    "unknown-authority": {"certificate-not-trusted"},
    "weak-key": {"certificate-weak-key", "without-forward-secrecy"},
    "weak-signature": {"certificate-weak-signature", "certificate-not-trusted"},
}


def look(url: str, folder: Path, authority: Path | None = None, **more: Any) -> ToolReport:
    return looked(TlsLook(TlsSection.model_validate(more), str(authority) if authority else None), url, folder)


@pytest.mark.campaign
def test_planted_flaws_of_real_servers_are_found_and_nothing_else(tmp_path: Path) -> None:
    for flaw in sorted(FLAWS):
        folder = tmp_path / flaw
        folder.mkdir()
        with serving_tls(folder, flaw) as site:
            report = look(site.url, folder, site.authority)
        assert (flaw, rules(report)) == (flaw, TOLD.get(flaw, {flaw})), report.why
        assert all(found.cwe and found.owasp and found.asvs and found.remedy for found in report.found)


@pytest.mark.campaign
def test_a_sound_server_is_clean_and_only_by_its_own_authority(tmp_path: Path) -> None:
    with serving_tls(tmp_path) as site:
        report = look(site.url, tmp_path, site.authority)
        assert (report.status, report.found, report.why) == (ToolStatus.OK, (), "")
        assert (report.looked_at, report.version) == (12, "6.3.1")
        port = site.url.rpartition(":")[2]
        assert report.notes == (
            f"Asked localhost, port {port}. Trusted are Mozilla's list of authorities and the plan's own.",
        )
        assert rules(look(site.url, tmp_path)) == {"certificate-not-trusted"}


@pytest.mark.campaign
def test_a_server_that_is_gone_or_speaks_no_tls_is_no_pass(tmp_path: Path) -> None:
    with serving() as site:
        report = look(site.url.replace("http://", "https://"), tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "could not make a connection" in report.why
    report = look(site.url.replace("http://", "https://"), tmp_path)
    assert "could not make a connection" in report.why


@pytest.mark.campaign
@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_a_safe_twin_is_clean(variant: str, tmp_path: Path) -> None:
    with serving_tls(tmp_path, variant=variant) as site:
        report = look(site.url, tmp_path, site.authority)
    assert (report.status, report.found, report.why) == (ToolStatus.OK, (), "")


@pytest.mark.campaign
def test_another_port_of_the_host_can_be_named_and_is_the_only_one_that_is_asked(tmp_path: Path) -> None:
    with serving_tls(tmp_path, "old-protocols") as site, serving() as plain:
        port = int(site.url.rpartition(":")[2])
        report = look(plain.url.replace("127.0.0.1", "localhost"), tmp_path, site.authority, port=port)
        assert plain.seen == []
    assert rules(report) == TOLD["old-protocols"], report.why
    assert {each.place for each in report.found} == {SystemPlace(f"localhost:{port}")}
    assert "could not make a connection" in look("http://localhost:9", tmp_path, port=9).why


def test_a_site_without_tls_is_looked_past_only_when_the_plan_says_why(tmp_path: Path) -> None:
    report = look("http://127.0.0.1:9", tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "not_applicable" in report.remedy
    report = look("http://shop.invalid", tmp_path)
    assert [(each.rule, each.severity) for each in report.found] == [("without-tls", Severity.HIGH)]
    report = look("http://127.0.0.1:9", tmp_path, not_applicable="The proxy before production ends TLS.")
    assert (report.status, report.looked_at, report.covered) == (ToolStatus.OK, 0, ())
    assert report.not_applicable == "The proxy before production ends TLS."
    report = look("https://127.0.0.1:9", tmp_path, not_applicable="The proxy before production ends TLS.")
    assert report.status is ToolStatus.INCOMPLETE


def judged(change: Callable[[dict[str, Any]], None]) -> dict[str, Severity]:
    """What is told of the sound server's report after a change of its scans."""
    tree = copy.deepcopy(REPORT)
    change(tree["server_scan_results"][0]["scan_result"])
    answers, place = tls.answers_of(tree), SystemPlace("localhost")
    found = tls_judging.judge(answers, host="localhost", place=place, now=NOW, days_left=21)
    return {each.rule: each.severity for each in found}


def accept(version: str, *names: str, size: int = 256) -> Callable[[dict[str, Any]], None]:
    def change(scans: dict[str, Any]) -> None:
        result = scans[f"{version}_cipher_suites"]["result"]
        result["is_tls_version_supported"] = True
        for name in names:
            suite = {"name": name, "is_anonymous": "anon" in name, "key_size": 128, "openssl_name": ""}
            key = {"type_name": "DH", "size": size} if "DHE" in name else None
            result["accepted_cipher_suites"].append({"cipher_suite": suite, "ephemeral_key": key})

    return change


def answer(scan: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda scans: scans[scan]["result"].update(values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda scans: None, {}),
        (accept("ssl_2_0", "SSL_CK_RC4_128_WITH_MD5"), {"accepts-ssl-2.0": "high"}),
        (accept("ssl_3_0"), {"accepts-ssl-3.0": "high"}),
        (accept("tls_1_2", "TLS_RSA_EXPORT_WITH_RC4_40_MD5"), {"broken-cipher-suites": "high"}),
        (accept("tls_1_2", "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", size=2048), {"weak-cipher-suites": "medium"}),
        (accept("tls_1_2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", size=1024), {"weak-key-exchange": "medium"}),
        (accept("tls_1_2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", size=2048), {}),
        (answer("heartbleed", is_vulnerable_to_heartbleed=True), {"heartbleed": "critical"}),
        (answer("openssl_ccs_injection", is_vulnerable_to_ccs_injection=True), {"ccs-injection": "high"}),
        (answer("robot", robot_result="VULNERABLE_WEAK_ORACLE"), {"robot": "high"}),
        (answer("session_renegotiation", supports_secure_renegotiation=False), {"insecure-renegotiation": "high"}),
        (
            answer("session_renegotiation", is_vulnerable_to_client_renegotiation_dos=True),
            {"client-renegotiation": "medium"},
        ),
        (answer("tls_compression", supports_compression=True), {"compression": "medium"}),
    ],
)
def test_what_a_report_means(change: Callable[[dict[str, Any]], None], told: dict[str, str]) -> None:
    assert judged(change) == told


def test_whether_a_certificate_is_trusted_is_not_called_judged_while_it_is_wrong_in_itself() -> None:
    answers, place = tls.answers_of(REPORT), SystemPlace("localhost")
    late = datetime(2028, 1, 1, tzinfo=UTC)
    found = tls_judging.judge(answers, host="localhost", place=place, now=late, days_left=21)
    assert {each.rule for each in found} == {"certificate-expired"}
    assert "certificate-not-trusted" not in tls_judging.judged(found)
    assert "certificate-not-trusted" in tls_judging.judged([])


@pytest.mark.parametrize(
    ("name", "host", "same"),
    [
        ("*.example.org", "shop.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.shop.example.org", False),
        ("SHOP.example.org", "shop.example.org", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_a_star_stands_for_one_part_of_a_name(name: str, host: str, same: bool) -> None:
    assert tls_judging.covers(name, host) is same


def test_a_question_that_was_not_answered_is_no_pass() -> None:
    tree = copy.deepcopy(REPORT)
    scan = tree["server_scan_results"][0]["scan_result"]["robot"]
    scan |= {"status": "ERROR", "error_reason": "CONNECTIVITY_ISSUE", "error_trace": "x\nTimeoutError", "result": None}
    with pytest.raises(NotSeen, match="could not answer 1 of 12 questions; robot: CONNECTIVITY_ISSUE: TimeoutError"):
        tls.answers_of(tree)
    with pytest.raises(ValueError, match="whether the server is open to ROBOT is not known"):
        judged(answer("robot", robot_result="UNKNOWN_INCONSISTENT_RESULTS"))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 0", "wrote no report"),
        ('echo "{" > "$3"', "is not whole"),
        ('echo "{}" > "$3"', "cannot be read"),
        ('echo \'{"invalid_server_strings": [], "server_scan_results": []}\' > "$3"', "cannot be read"),
        ("sleep 9", "was ended after"),
    ],
)
def test_a_tool_that_breaks_is_no_pass(script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "sslyze"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o700)
    monkeypatch.setattr(tls.toolbox, "program", lambda context, name: [str(broken)])
    report = look("https://localhost:9", tmp_path, timeout="400ms")
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why
