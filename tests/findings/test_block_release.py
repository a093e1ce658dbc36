"""An audit that passed because findings were accepted keeps the gate open only while they are."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from checks.enums import RunState
from checks.findings import accepting, blocking
from checks.models import Acceptance, Finding
from releases.domain import checklist, gate
from releases.domain.items import item_statuses
from releases.enums import GateVerdict
from releases.models import Application, Release
from releases.views.showing import shown_blockers
from tests.factories import Team, check, make_application, make_release, make_team
from tests.findings.support import package, report, scan

pytestmark = pytest.mark.django_db
DJANGO = package("django", "CVE-2024-1")


@pytest.fixture
def application() -> Application:
    return make_application(plan={"checks": {"audit": check("audit")}})


@pytest.fixture
def team(application: Application) -> Team:
    return make_team(application)


@pytest.fixture
def release(application: Application, team: Team) -> Release:
    return make_release(application=application, requester=team.engineer)


def accept(finding: Finding, team: Team) -> Acceptance:
    acceptance = accepting.request_acceptance(
        finding=finding, requester=team.engineer, reason="Later.", expires_at=timezone.now() + timedelta(days=20)
    )
    return accepting.approve_acceptance(acceptance=acceptance, approver=team.manager)


def told(release: Release, days: float = 0) -> list[str]:
    blockers = gate.evaluate(release, timezone.now() + timedelta(days=days)).blockers
    found = [one for one in blockers if one.code == "finding_not_accepted"]
    assert all(one.severity == GateVerdict.NO_GO for one in found)
    return [one.text for one in found]


@pytest.fixture
def accepted(application: Application, team: Team, release: Release) -> Finding:
    """The release's audit passed, for what it found is accepted."""
    scan(application, report("pip-audit", DJANGO))
    finding = Finding.objects.get()
    accept(finding, team)
    scan(application, report("pip-audit", DJANGO), release=release)
    return finding


def test_the_board_shows_what_is_lived_with(release: Release, accepted: Finding, team: Team) -> None:
    client = Client()
    client.force_login(team.viewer, backend="django.contrib.auth.backends.ModelBackend")
    panel = reverse("checks:release_panel", args=[release.pk])
    assert "Accepted for now" in client.get(panel).content.decode()
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    assert "Accepted for now" not in client.get(panel).content.decode()


def test_a_finding_that_another_look_resolved_says_what_opens_the_gate(
    release: Release, accepted: Finding, team: Team
) -> None:
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    Finding.objects.update(resolved_at=timezone.now())
    assert told(release)[0].endswith("another look resolved it since; run this audit again.")


def test_it_blocks_from_the_moment_on_at_which_the_acceptance_ends(
    release: Release, accepted: Finding, team: Team
) -> None:
    assert told(release) == []
    assert "expired" in told(release, days=21)[0]
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    assert told(release) == ["High, django (PyPI): its acceptance was withdrawn."]
    found = [one for one in gate.evaluate(release).blockers if one.code == "finding_not_accepted"]
    assert shown_blockers(release, found)[0]["url"].endswith(f"/{accepted.pk}/")


@pytest.mark.parametrize(
    ("later", "why"),
    [({"cvss": 9.9}, "worse by now"), ({"fixed_in": ("5.1",)}, "there is one now")],
)
def test_it_blocks_when_another_audit_finds_it_worse(
    release: Release, accepted: Finding, application: Application, later: dict[str, Any], why: str
) -> None:
    scan(application, report("pip-audit", package("django", "CVE-2024-1", **later)), environment="production")
    assert why in told(release)[0]


def test_what_was_under_the_limit_blocks_when_it_rises(release: Release, application: Application) -> None:
    low = package("flask", "CVE-2024-2", cvss=3.0)
    scan(application, report("pip-audit", low), release=release)
    assert told(release) == []
    scan(application, report("pip-audit", package("flask", "CVE-2024-2", cvss=9.1)))
    assert told(release) == ["Critical, flask (PyPI): nobody accepted it."]


def test_only_the_newest_audit_of_the_release_speaks(
    release: Release, accepted: Finding, application: Application, team: Team
) -> None:
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    other = make_release(application=application, requester=team.engineer)
    scan(application, report("pip-audit"), release=other)
    assert (len(told(release)), told(other)) == (1, [])
    scan(application, report("pip-audit", DJANGO), release=release, state=RunState.FAILED)
    assert told(release) == []  # the item says no already
    scan(application, report("pip-audit"), release=release)
    assert told(release) == []


def test_what_the_passing_audit_did_not_look_at_blocks_when_its_acceptance_ends(
    application: Application, release: Release, accepted: Finding, team: Team
) -> None:
    scan(application, report("pip-audit", covered=()), release=release)
    assert told(release) == []
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    assert told(release) == ["High, django (PyPI): its acceptance was withdrawn."]


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.ERRORED])
def test_what_a_waived_audit_found_goes_on_blocking_until_it_is_accepted(
    application: Application, release: Release, team: Team, state: str
) -> None:
    broken = report("sslyze", why="No connection.")
    scan(application, report("pip-audit", DJANGO), broken, release=release, state=state)
    assert told(release) == []  # the item says no already
    waiver = checklist.request_waiver(
        item=release.items.get(section="checks.audit"), requester=team.manager, reason="Only sslyze again.",
        expires_at=timezone.now() + timedelta(days=20),
    )  # fmt: skip
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    assert told(release) == ["High, django (PyPI): nobody accepted it."]
    accept(Finding.objects.get(), team)
    assert told(release) == []


def test_an_approval_lapses_with_the_acceptance(release: Release, accepted: Finding, team: Team) -> None:
    from tests.factories import make_approved

    make_approved(release, team, answered=("security.audit",))
    assert release.state == "approved"
    accepting.withdraw_acceptance(acceptance=Acceptance.objects.get(), actor=team.engineer)
    release.refresh_from_db()
    assert release.state == "rehearsing"


@pytest.mark.parametrize("count", [1, 3])
def test_many_releases_take_as_many_queries_as_one(application: Application, team: Team, count: int) -> None:
    releases = [make_release(application=application, requester=team.engineer) for _ in range(count)]
    for release in releases:
        scan(application, report("pip-audit", DJANGO), release=release)
    statuses = {release.pk: item_statuses(release, timezone.now()) for release in releases}
    with CaptureQueriesContext(connection) as seen:
        found = blocking.blockers_of(releases, statuses, timezone.now())
    assert len(found) == count
    assert len(seen) == 3
