"""Pages of findings: what each role sees and may do, filters, downloads."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from checks.models import Acceptance, Finding
from releases.models import Application, Release, User
from tests.factories import Team, UserFactory, check, make_application, make_release, make_team
from tests.findings.support import line, package, report, route, scan

pytestmark = pytest.mark.django_db


@pytest.fixture
def application() -> Application:
    return make_application(plan={"checks": {"audit": check("audit")}})


@pytest.fixture
def team(application: Application) -> Team:
    return make_team(application)


@pytest.fixture
def release(application: Application, team: Team) -> Release:
    release = make_release(application=application, requester=team.engineer)
    xss = route("/search", cwe=(79,), owasp="A05:2025", asvs=("1.2.1",), detail="<script>alert(1)</script>")
    scan(application, report("wapiti", xss), report("bandit", line("=cmd.py", "run(x)")))
    scan(application, report("wapiti"), report("bandit", line("=cmd.py", "run(x)", number=9)),
         report("pip-audit", package("django", "PYSEC-1", "CVE-1")), release=release)  # fmt: skip
    return release


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def shown(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200, address
    return answer.content.decode()


def test_every_role_reads_and_a_stranger_does_not(application: Application, team: Team, release: Release) -> None:
    finding = Finding.objects.get(family="web")
    run = finding.last_run
    addresses = [
        reverse("checks:findings", args=[application.slug]),
        reverse("checks:finding", args=[application.slug, finding.pk]),
        reverse("checks:run_findings", args=[run.number]),
    ]
    for person in team.everybody:
        for address in addresses:
            page = shown(browser(person), address)
            assert "xss at /search" in page
            assert "<script>alert" not in page
    stranger = browser(UserFactory())
    for address in addresses:
        assert stranger.get(address).status_code == 404
        assert Client().get(address).status_code == 302
    assert 'href="' + addresses[0] in shown(
        browser(team.viewer), reverse("releases:application", args=[application.slug])
    )
    assert addresses[0] in shown(browser(team.viewer), reverse("releases:release", args=[release.pk]))


def test_the_list_can_be_narrowed(application: Application, team: Team, release: Release) -> None:
    client, address = browser(team.auditor), reverse("checks:findings", args=[application.slug])

    def titles(**query: str) -> set[str]:
        rows = json.loads(b"".join(client.get(address, {**query, "format": "json"}).streaming_content))  # type: ignore[attr-defined]
        return {row["title"].split()[0] for row in rows}

    assert titles() == {"xss", "B602", "PYSEC-1"}
    assert titles(state="open") == {"B602", "PYSEC-1"}
    assert titles(state="resolved") == {"xss"}
    assert titles(state="accepted") == set()
    assert titles(severity="medium") == {"B602"}
    assert titles(family="web") == {"xss"}
    assert titles(q="cve-1") == {"PYSEC-1"}
    assert titles(release=str(release.pk)) == {"B602", "PYSEC-1"}
    assert titles(release="nonsense", state="nonsense", sort="nonsense") == {"xss", "B602", "PYSEC-1"}
    rows = list(
        csv.DictReader(io.StringIO(b"".join(client.get(address, {"format": "csv"}).streaming_content).decode()))
    )  # type: ignore[attr-defined]
    assert {row["aliases"] for row in rows} == {"", "CVE-1 PYSEC-1"}
    assert not [row for row in rows if row["place"].startswith("=")]


def test_two_people_accept_on_the_page(application: Application, team: Team, release: Release) -> None:
    finding = Finding.objects.get(family="dependencies")
    page = reverse("checks:finding", args=[application.slug, finding.pk])
    ask = reverse("checks:finding_accept", args=[application.slug, finding.pk])
    engineer = browser(team.engineer)
    assert "Ask to accept it" in shown(engineer, page)
    assert "Ask to accept it" not in shown(browser(team.auditor), page)
    until = timezone.now() + timedelta(days=30)
    assert engineer.post(ask, {"reason": "", "expires_at": until.strftime("%Y-%m-%dT%H:%M")}).status_code == 422
    far = (until + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M")
    assert "at most 90 days" in engineer.post(ask, {"reason": "x", "expires_at": far}).content.decode()
    asked = engineer.post(ask, {"reason": "Not reachable.", "expires_at": until.strftime("%Y-%m-%dT%H:%M")})
    assert asked.status_code == 302
    acceptance = Acceptance.objects.get()
    approve = reverse("checks:acceptance_approve", args=[acceptance.pk])
    for person in (team.engineer, team.viewer, team.auditor):
        browser(person).post(approve)
    assert browser(UserFactory()).post(approve).status_code == 404
    acceptance.refresh_from_db()
    assert acceptance.approved_at is None
    approver = browser(team.approvers["security"])
    assert "Waits for a second person" in shown(approver, page)
    assert "counts now" in approver.post(approve, follow=True).content.decode()
    assert "Accepted for now" in shown(engineer, reverse("checks:findings", args=[application.slug]))
    withdraw = reverse("checks:acceptance_withdraw", args=[acceptance.pk])
    assert "no longer counts" in engineer.post(withdraw, follow=True).content.decode()


def test_a_joined_finding_leads_to_the_one_that_stands_for_both(application: Application, team: Team) -> None:
    scan(application, report("a", package("django", "CVE-1")), report("b", package("django", "GHSA-1")))
    older, newer = Finding.objects.order_by("pk")
    scan(application, report("a", package("django", "CVE-1", "GHSA-1")))
    answer = browser(team.viewer).get(reverse("checks:finding", args=[application.slug, newer.pk]), follow=True)
    assert answer.redirect_chain[0][0].endswith(f"/{older.pk}/")
    assert "joined with this one later" in answer.content.decode()


@pytest.mark.parametrize("many", [1, 20])
def test_a_list_of_many_takes_as_many_queries(application: Application, team: Team, many: int) -> None:
    scan(application, report("pip-audit", *(package(f"p{n}", f"CVE-{n}") for n in range(many))))
    client, address = browser(team.viewer), reverse("checks:findings", args=[application.slug])
    client.get(address)
    with CaptureQueriesContext(connection) as seen:
        shown(client, address)
    assert len(seen) <= 13
