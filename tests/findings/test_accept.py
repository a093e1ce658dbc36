"""Living with a finding: two people, a reason, an end; and everything that ends it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone

from checks.findings import accepting, listing, warning
from checks.models import Acceptance, Finding
from checks.tools.auditing.said import Severity
from monitoring.models import Alert
from releases.domain import user as users
from releases.domain.membership import remove_member
from releases.enums import Role
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, LedgerEntry
from tests.advisories.support import BOUNDS, entry, imported
from tests.factories import Team, make_application, make_team, member
from tests.findings.support import package, report, scan
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def application() -> Application:
    return make_application(plan={"alerts": {"emails": ["crew@example.test"]}})


@pytest.fixture
def team(application: Application) -> Team:
    return make_team(application)


def found(application: Application, **more: Any) -> Finding:
    scan(application, report("pip-audit", package("django", "CVE-2024-1", **more)))
    return Finding.objects.get()


def ask(finding: Finding, team: Team, days: float = 30, reason: str = "Not reachable from outside.") -> Acceptance:
    return accepting.request_acceptance(
        finding=finding, requester=team.engineer, reason=reason, expires_at=timezone.now() + timedelta(days=days)
    )


def accepted(finding: Finding, team: Team, days: float = 30) -> Acceptance:
    return accepting.approve_acceptance(acceptance=ask(finding, team, days), approver=team.manager)


def state(finding: Finding, days: float = 0) -> str:
    """What the pages say and what the domain says, which must be the same."""
    at = timezone.now() + timedelta(days=days)
    row = listing.findings_of(finding.application, at).get(pk=finding.pk)
    shown = listing.look(row)
    assert bool(accepting.validly_accepted([row], at)) == (
        shown == "accepted" or (bool(row.resolved_at) and row.is_accepted)
    )  # type: ignore[attr-defined]
    return shown


@pytest.mark.parametrize("who", ["asked", "agreed"])
def test_it_counts_only_while_both_who_signed_may_sign(application: Application, team: Team, who: str) -> None:
    member(application, Role.RELEASE_MANAGER)
    finding = found(application)
    accepted(finding, team)
    gone = team.engineer if who == "asked" else team.manager
    users.deactivate(user=gone, actor=team.administrator, reason="Left.")
    assert state(finding) == "open"
    users.reactivate(user=gone, actor=team.administrator)
    assert state(finding) == "accepted"
    remove_member(membership=gone.memberships.get(), actor=team.administrator)
    assert state(finding) == "open"
    anew = accepting.request_acceptance(
        finding=finding, requester=member(application, Role.ENGINEER), reason="As before.",
        expires_at=timezone.now() + timedelta(days=5),
    )  # fmt: skip
    accepting.approve_acceptance(acceptance=anew, approver=team.approvers["security"])
    assert state(finding) == "accepted"


def test_what_somebody_asked_who_may_not_any_more_is_asked_anew(application: Application, team: Team) -> None:
    finding = found(application)
    acceptance = ask(finding, team)
    remove_member(membership=team.engineer.memberships.get(), actor=team.administrator)
    assert state(finding) == "open"
    with pytest.raises(StateChanged, match="ask anew"):
        accepting.approve_acceptance(acceptance=acceptance, approver=team.manager)
    accepting.request_acceptance(
        finding=finding, requester=member(application, Role.ENGINEER), reason="As before.",
        expires_at=timezone.now() + timedelta(days=5),
    )  # fmt: skip
    assert state(finding) == "asked"


def test_it_counts_once_a_second_person_agrees(application: Application, team: Team) -> None:
    finding = found(application)
    acceptance = ask(finding, team)
    assert state(finding) == "asked"
    with pytest.raises(NotAllowed, match="role"):
        accepting.approve_acceptance(acceptance=acceptance, approver=team.engineer)
    own = accepting.withdraw_acceptance(acceptance=acceptance, actor=team.engineer)
    assert own.ended_because == "withdrawn"
    mine = accepting.request_acceptance(
        finding=finding, requester=team.manager, reason="Later.", expires_at=timezone.now() + timedelta(days=5)
    )
    with pytest.raises(NotAllowed, match="second person"):
        accepting.approve_acceptance(acceptance=mine, approver=team.manager)
    accepting.approve_acceptance(acceptance=mine, approver=team.approvers["security"])
    assert (state(finding), state(finding, days=6)) == ("accepted", "open")
    recorded, _ = scan(application, report("pip-audit", package("django", "CVE-2024-1")))
    assert (recorded.accepted, recorded.over_limit, recorded.resolved) == ((finding.pk,), (), ())
    told = LedgerEntry.objects.filter(subject_type="finding").order_by("id").values_list("action", flat=True)
    assert list(told) == [f"finding.acceptance_{what}" for what in ("requested", "ended", "requested", "approved")]


def test_who_may_not_and_what_is_refused(application: Application, team: Team) -> None:
    finding = found(application)
    for person in (team.viewer, team.auditor, team.administrator, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            accepting.request_acceptance(
                finding=finding, requester=person, reason="x", expires_at=timezone.now() + timedelta(days=1)
            )
    for days, reason in ((91, "x"), (-1, "x"), (0, "x"), (10, "  ")):
        with pytest.raises(DomainError, match="Nothing was recorded"):
            ask(finding, team, days, reason)
    ask(finding, team)
    with pytest.raises(StateChanged, match="asked for this already"):
        ask(finding, team)
    scan(application, report("pip-audit"))
    Acceptance.objects.update(ended_at=timezone.now(), ended_because="withdrawn")
    with pytest.raises(DomainError, match="resolved"):
        ask(finding, team)


def test_a_critical_one_ends_within_two_weeks(application: Application, team: Team) -> None:
    finding = found(application, cvss=9.8)
    with pytest.raises(DomainError, match="at most 14 days"):
        ask(finding, team, 15)
    accepted(finding, team, 14)
    assert state(finding) == "accepted"


def test_it_is_void_when_the_severity_rises_and_stays_so(application: Application, team: Team) -> None:
    finding = found(application, cvss=5.0)
    accepted(finding, team)
    worse, _ = scan(application, report("pip-audit", package("django", "CVE-2024-1", cvss=7.5)))
    assert (worse.over_limit, worse.accepted) == ((finding.pk,), ())
    scan(application, report("pip-audit", package("django", "CVE-2024-1", cvss=5.0)))
    assert state(finding) == "open"
    assert Acceptance.objects.get().ended_because == "severity"


def test_it_is_void_when_a_fix_appears(application: Application, team: Team) -> None:
    finding = found(application)
    accepted(finding, team)
    scan(application, report("pip-audit", package("django", "CVE-2024-1", fixed_in=("5.0.3",))))
    assert (state(finding), Acceptance.objects.get().ended_because) == ("open", "fix")
    finding.refresh_from_db()
    accepted(finding, team)  # knowing of the fix
    scan(application, report("pip-audit", package("django", "CVE-2024-1", fixed_in=("5.0.3", "4.2.11"))))
    assert state(finding) == "accepted"


def test_it_is_void_when_imported_advisories_name_a_fix_without_any_scan(application: Application, team: Team) -> None:
    finding = found(application)
    scan(application, report("npm", package("django", "CVE-2024-2", ecosystem="npm")))
    accepted(finding, team)
    no_fix = [{"introduced": "0"}]
    imported(entry("PYSEC-2024-1", "Django", events=no_fix, aliases=["CVE-2024-1"]))
    assert state(finding) == "accepted"
    imported(
        entry("PYSEC-2024-1", "Django", events=[*no_fix, {"fixed": "5.0.3"}], aliases=["CVE-2024-1"]),
        entry("PYSEC-2024-9", "flask", events=BOUNDS, aliases=["CVE-2024-2"]),
    )
    finding.refresh_from_db()
    assert finding.fixed_in == ["5.0.3"]
    assert (state(finding), Acceptance.objects.get().ended_because) == ("open", "fix")
    assert Finding.objects.exclude(pk=finding.pk).get().fixed_in == []


def test_it_is_bound_by_the_worst_word_that_may_block_and_not_by_the_last(application: Application, team: Team) -> None:
    finding = found(application, cvss=9.8)
    scan(application, report("pip-audit", package("django", "CVE-2024-1", cvss=5.0)), environment="production")
    finding.refresh_from_db()
    assert finding.severity == "medium"
    with pytest.raises(DomainError, match="at most 14 days"):
        ask(finding, team, 15)
    scan(application, report("pip-audit", package("django", "CVE-2024-1", cvss=5.0)))
    finding.refresh_from_db()
    ask(finding, team, 90 - 0.01)


def test_it_tells_since_when_it_is_lived_with_over_all_renewals(application: Application, team: Team) -> None:
    finding = found(application)
    first = accepted(finding, team, 5)
    accepted(finding, team, 20)
    at = timezone.now()
    assert accepting.accepted_since(finding.acceptances.all(), at) == first.approved_at
    assert accepting.accepted_since(finding.acceptances.all(), at + timedelta(days=21)) is None
    address = reverse("checks:finding", args=[application.slug, finding.pk])
    assert "Accepted without a gap since" in browser(team.viewer).get(address).content.decode()
    accepting.withdraw_acceptance(acceptance=finding.acceptances.get(ended_at=None), actor=team.manager)
    again = accepted(finding, team, 20)
    assert accepting.accepted_since(finding.acceptances.all(), timezone.now()) == again.approved_at


def test_nobody_is_warned_of_a_finding_that_is_resolved(application: Application, team: Team) -> None:
    accepted(found(application), team, 30)
    scan(application, report("pip-audit"))
    assert Finding.objects.get().resolved_at is not None
    warning.look(timezone.now() + timedelta(days=29))
    assert not Alert.objects.exists()


def test_it_is_evaluated_when_it_is_read(application: Application, team: Team) -> None:
    """Without a scan or a clockwork in between: the rules hold against whatever the finding is now."""
    finding = found(application, cvss=5.0)
    accepted(finding, team)
    Finding.objects.update(rank=3, severity="unknown")
    assert state(finding) == "open"
    Finding.objects.update(rank=2, severity="medium", fixed_in=["2.0"])
    assert state(finding) == "open"
    Finding.objects.update(fixed_in=[])
    assert (state(finding), state(finding, days=31)) == ("accepted", "open")


def test_a_newer_one_takes_its_place_without_a_gap(application: Application, team: Team) -> None:
    finding = found(application)
    first = accepted(finding, team, 5)
    second = ask(finding, team, 60)
    assert state(finding) == "accepted"
    accepting.approve_acceptance(acceptance=second, approver=team.manager)
    first.refresh_from_db()
    assert (first.ended_because, state(finding, days=40)) == ("replaced", "accepted")
    with pytest.raises(StateChanged):
        accepting.approve_acceptance(acceptance=second, approver=team.approvers["security"])
    accepting.withdraw_acceptance(acceptance=second, actor=team.approvers["security"])
    assert state(finding) == "open"
    with pytest.raises(StateChanged):
        accepting.withdraw_acceptance(acceptance=second, actor=team.manager)


def test_an_acceptance_goes_with_a_finding_that_is_joined(application: Application, team: Team) -> None:
    scan(application, report("a", package("django", "CVE-1")), report("b", package("django", "GHSA-1")))
    older, newer = Finding.objects.order_by("pk")
    accepted(newer, team)
    ask(older, team)
    recorded, _ = scan(application, report("a", package("django", "PYSEC-1", "CVE-1", "GHSA-1")))
    assert recorded.accepted == (older.pk,)
    assert older.acceptances.count() == 2
    with pytest.raises(DomainError, match="same as finding"):
        accepting.request_acceptance(
            finding=newer, requester=team.engineer, reason="x", expires_at=timezone.now() + timedelta(days=1)
        )


def test_people_are_warned_ten_and_two_days_before(application: Application, team: Team) -> None:
    finding = found(application)
    accepted(finding, team, 30)
    now = timezone.now()
    for days, told in ((19, 0), (21, 1), (22, 1), (28.5, 2), (29, 2), (31, 2)):
        warning.look(now + timedelta(days=days))
        assert Alert.objects.count() == told, days
    assert "django" in Alert.objects.latest("pk").body
    other = accepted(finding, team, 30)
    accepting.withdraw_acceptance(acceptance=other, actor=team.manager)
    warning.look(now + timedelta(days=29))
    assert Alert.objects.count() == 2


def test_the_database_holds_the_rules_too(application: Application, team: Team) -> None:
    finding = found(application, severity=Severity.CRITICAL)
    acceptance = accepted(finding, team, 10)
    values = {
        "finding": finding, "reason": "x", "severity": "critical", "rank": 4, "had_fix": False,
        "requested_by": team.engineer, "requested_at": timezone.now(), "expires_at": timezone.now() + timedelta(days=9),
    }  # fmt: skip
    late = timezone.now() + timedelta(days=15)
    rows = Acceptance.objects.filter(pk=acceptance.pk)
    for change in (
        lambda: Acceptance.objects.create(**{**values, "expires_at": late}),
        lambda: Acceptance.objects.create(**{**values, "reason": ""}),
        lambda: Acceptance.objects.create(
            **values, approved_by=team.engineer, approved_at=timezone.now(), ended_at=late, ended_because="expired"
        ),
        lambda: Acceptance.objects.create(**values, approved_by=team.manager, approved_at=timezone.now()),
        lambda: rows.update(expires_at=late),
        lambda: rows.update(reason="Another."),
        lambda: rows.update(approved_by=team.approvers["security"]),
        lambda: rows.update(ended_at=late),
        rows.delete,
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    rows.update(ended_at=timezone.now(), ended_because="withdrawn")
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.update(ended_at=None, ended_because="")


def test_what_was_mended_and_came_back_is_accepted_anew(application: Application, team: Team) -> None:
    finding = found(application)
    acceptance = accepted(finding, team)
    scan(application, report("pip-audit"))
    acceptance.refresh_from_db()
    assert acceptance.ended_at is None
    recorded, _ = scan(application, report("pip-audit", package("django", "CVE-2024-1")))
    assert (recorded.reopened, recorded.over_limit) == ((finding.pk,), (finding.pk,))
    acceptance.refresh_from_db()
    assert (acceptance.ended_because, state(finding)) == ("returned", "open")
    entry = LedgerEntry.objects.filter(action="finding.acceptance_ended").latest("id")
    assert entry.document["because"] == "returned"
    accepted(finding, team)
    assert state(finding) == "accepted"
    recorded, _ = scan(application, report("pip-audit", package("django", "CVE-2024-1")))
    assert (recorded.accepted, recorded.over_limit) == ((finding.pk,), ())
