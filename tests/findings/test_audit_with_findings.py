"""A whole audit over an uploaded SARIF file: findings, acceptance, the release's gate, and the list of components."""

import json
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.files import File
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from checks.findings import accepting
from checks.models import Finding, Run
from releases.domain import environment as environments
from releases.domain import gate
from releases.models import Application, Evidence, Release
from tests.engine.support import check, log_text, run_section
from tests.factories import Team, make_application, make_release, make_team
from tests.findings.test_sarif import RESULT, RULE, log

pytestmark = pytest.mark.django_db(transaction=True)


def blocked(release: Release) -> list[str]:
    """What its findings say, without the rest of the checklist."""
    return [one.code for one in gate.evaluate(release).blockers if one.code.startswith("finding")]


def upload(application: Application, tree: dict[str, Any]) -> str:
    data = File(BytesIO(json.dumps(tree).encode()))
    return str(default_storage.save(f"uploads/{application.slug}/scan.sarif", data))


def audited(section: dict[str, Any]) -> tuple[Application, Team, Release]:
    """A release that runs in staging, whose audit takes such a SARIF file."""
    application = make_application(plan={"checks": {"audit": check("audit", params={"sarif": section})}})
    team = make_team(application)
    release = make_release(
        application=application, requester=team.engineer, build=b"django==5.0.2\n", build_name="lock.txt"
    )
    environments.adopt_build(
        environment=application.environments.get(name="staging"), version=release.version,
        build_digest=release.build_digest, actor=None, reason="Put there by the test.",
    )  # fmt: skip
    return application, team, release


def test_what_an_earlier_audit_found_and_this_one_did_not_look_at_is_no_pass(storage_folder: Any) -> None:
    application, team, release = audited({"tools": ["Semgrep"]})

    def audit(tree: dict[str, Any]) -> Run:
        params = {"uploaded": upload(application, tree)}
        return run_section(application, "checks.audit", release=release, params=params, actor=team.engineer)

    found = audit(log(RESULT, rules=[RULE]))
    assert found.state == "failed", log_text(found)
    silent = audit(log(rules=[RULE]))  # names no file that was to be scanned
    assert silent.state == "errored", log_text(silent)
    assert "Still open, and no look of this run went there: high: " in silent.error
    assert "two people accept it" in silent.remedy
    assert Evidence.objects.get(run_id=silent.pk).verdict == "errored"
    client = Client()
    client.force_login(team.viewer, backend="django.contrib.auth.backends.ModelBackend")
    finding = Finding.objects.get()
    for page in (
        client.get(reverse("checks:run_detail", args=[silent.number])).content.decode(),
        client.get(reverse("checks:finding", args=[application.slug, finding.pk])).content.decode(),
    ):
        assert ("not looked at" in page.lower(), finding.title in page) == (True, True)


def test_an_uploaded_scan_is_judged_kept_and_lived_with(storage_folder: Any) -> None:
    section = {"tools": ["Semgrep"], "whole": True}
    application, team, release = audited(section)

    def audit(tree: dict[str, Any] | None) -> Run:
        params = {"uploaded": upload(application, tree)} if tree else {}
        return run_section(application, "checks.audit", release=release, params=params, actor=team.engineer)

    without = audit(None)
    assert (without.state, "No SARIF file came" in without.error) == ("errored", True), log_text(without)
    other = log(RESULT)
    other["runs"][0]["tool"]["driver"]["name"] = "lint"
    assert "no run of semgrep; it has lint" in audit(other).error
    another_build = audit(log(RESULT, rules=[RULE], properties={"gonogo.build_digest": f"sha256:{'0' * 64}"}))
    assert (another_build.state, "about the build 000000000000" in another_build.error) == ("errored", True)
    named = audit(log(rules=[RULE], properties={"gonogo.build_digest": f"sha256:{release.build_digest}"}))
    assert (named.state, named.result["names_build"]) == ("passed", True), log_text(named)
    bad = audit(log(RESULT, rules=[RULE]))
    assert bad.state == "failed", log_text(bad)
    finding = Finding.objects.get()
    assert (finding.severity, finding.cvss, finding.cwe) == ("high", 8.1, [95])
    kept = {artifact["name"]: artifact for artifact in Evidence.objects.get(run_id=bad.pk).artifacts}
    with default_storage.open(kept["sbom.cdx.json"]["key"]) as stream:
        document = json.load(stream)
    assert [one["purl"] for one in document["components"]] == ["pkg:pypi/django@5.0.2"]
    assert document["metadata"]["component"]["hashes"][0]["content"] == release.build_digest
    acceptance = accepting.request_acceptance(
        finding=finding, requester=team.engineer, reason="Later.", expires_at=timezone.now() + timedelta(days=9)
    )
    acceptance = accepting.approve_acceptance(acceptance=acceptance, approver=team.manager)
    passed = audit(log(RESULT, rules=[RULE]))
    assert passed.state == "passed", log_text(passed)
    assert blocked(release) == []
    accepting.withdraw_acceptance(acceptance=acceptance, actor=team.manager)
    assert blocked(release) == ["finding_not_accepted"]
    mended = audit(log(rules=[RULE]))
    assert (mended.state, mended.result["figures"]["resolved"]) == ("passed", 1), log_text(mended)
    assert blocked(release) == []
    client = Client()
    client.force_login(team.viewer, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(reverse("checks:run_detail", args=[bad.number])).content.decode()
    assert reverse("checks:run_findings", args=[bad.number]) in page
    assert "The SARIF file does not name its build." in page
    page = client.get(reverse("checks:run_detail", args=[named.number])).content.decode()
    assert "does not name its build" not in page
