"""Going live without an item: a reason, two people, an end. A waiver lets pass, and proves nothing."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from releases.domain import checklist, gate, membership, risk
from releases.domain import release as releases
from releases.domain import user as users
from releases.domain.person import erase
from releases.enums import ItemState, Role, Treatment
from releases.errors import DomainError, NotAllowed
from releases.models import ChecklistItem, LedgerEntry, Release, User, Waiver
from tests.factories import Team, go_green, make_approved, member, schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def item(release: Release) -> ChecklistItem:
    return release.items.get(key="scalability.load")


def ask(item: ChecklistItem, person: User, reason: str = "The lab is closed.", days: float = 30) -> Waiver:
    return checklist.request_waiver(
        item=item, requester=person, reason=reason, expires_at=timezone.now() + timedelta(days=days)
    )


def state(release: Release, item: ChecklistItem) -> str:
    return next(status.state for status in gate.evaluate(release).items if status.item == item)


def test_it_counts_once_a_second_person_agreed_and_until_revoked(
    release: Release, item: ChecklistItem, team: Team
) -> None:
    waiver = ask(item, team.manager)
    assert state(release, item) == ItemState.OPEN
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    assert state(release, item) == ItemState.WAIVED
    checklist.revoke_waiver(waiver=waiver, actor=team.approvers["engineering"])
    assert state(release, item) == ItemState.OPEN
    actions = list(LedgerEntry.objects.filter(action__startswith="waiver.").order_by("id").values_list("action"))
    assert actions == [("waiver.requested",), ("waiver.approved",), ("waiver.revoked",)]


@pytest.mark.parametrize("who", ["asked", "agreed"])
@pytest.mark.parametrize("how", ["role", "deactivated", "erased"])
def test_it_counts_only_while_both_who_signed_may_sign(
    release: Release, item: ChecklistItem, team: Team, who: str, how: str
) -> None:
    member(release.application, Role.RELEASE_MANAGER)
    waiver = ask(item, team.manager)
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    assert state(release, item) == ItemState.WAIVED
    gone = team.manager if who == "asked" else team.approvers["security"]
    if how == "role":
        membership.remove_member(membership=gone.memberships.get(), actor=team.administrator)
    elif how == "deactivated":
        users.deactivate(user=gone, actor=team.administrator, reason="Left.")
    else:
        erase(person=gone, actor=None, reason="A wish.")
    assert state(release, item) == ItemState.OPEN
    if how == "deactivated":
        users.reactivate(user=gone, actor=team.administrator)
        assert state(release, item) == ItemState.WAIVED


def test_an_approved_release_falls_back_when_the_waiver_of_a_release_manager_no_longer_counts(
    release: Release, item: ChecklistItem, team: Team
) -> None:
    first, second = (member(release.application, Role.RELEASE_MANAGER) for _ in range(2))
    schedule(release, team.manager)
    checklist.approve_waiver(waiver=ask(item, first), approver=second)
    assessment = risk.assess(
        risk=release.risks.get(key="performance"), author=first, likelihood=3, impact=4, treatment=Treatment.ACCEPT,
        reason="Few users at night.",
    )  # fmt: skip
    risk.confirm_assessment(assessment=assessment, actor=team.manager)
    make_approved(release, team, answered=(item.key,))
    assert release.state == "approved"
    users.deactivate(user=second, actor=team.administrator, reason="Left.")
    release.refresh_from_db()
    assert release.state == "rehearsing"


def test_a_vote_stays_valid_when_somebody_behind_a_waiver_is_called_otherwise(
    release: Release, item: ChecklistItem, team: Team
) -> None:
    checklist.approve_waiver(waiver=ask(item, team.manager), approver=team.approvers["security"])
    before = gate.evaluate(release).digest
    User.objects.update(name="Somebody Else")
    assert gate.evaluate(Release.objects.get(pk=release.pk)).digest == before


def test_it_does_not_count_when_it_ends_before_the_window(release: Release, item: ChecklistItem, team: Team) -> None:
    waiver = ask(item, team.manager, days=1)
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    schedule(release, team.manager, opens=timezone.now() + timedelta(days=2))
    assert state(release, item) == ItemState.OPEN


def test_it_proves_nothing_so_the_risk_behind_it_must_be_accepted_by_two(
    release: Release, item: ChecklistItem, team: Team
) -> None:
    schedule(release, team.manager)
    go_green(release, without=("scalability.load",))
    checklist.approve_waiver(waiver=ask(item, team.manager), approver=team.approvers["security"])
    releases.open_poll(release=release, actor=team.manager)
    blockers = {blocker.code: blocker for blocker in gate.evaluate(release).blockers if blocker.target[0] != "vote"}
    assert set(blockers) == {"risk_over_appetite"}
    assert blockers["risk_over_appetite"].target == ("risk", "performance")
    assert gate.evaluate(release).verdict == "no_go"
    assessment = risk.assess(
        risk=release.risks.get(key="performance"),
        author=team.manager,
        likelihood=3,
        impact=4,
        treatment=Treatment.ACCEPT,
        reason="Few users at night.",
    )
    assert "risk_over_appetite" in {blocker.code for blocker in gate.evaluate(release).blockers}
    risk.confirm_assessment(assessment=assessment, actor=team.approvers["engineering"])
    assert {blocker.code for blocker in gate.evaluate(release).blockers} == {"vote_none"}


def test_it_refuses_one_person_as_both(item: ChecklistItem, team: Team) -> None:
    waiver = ask(item, team.manager)
    with pytest.raises(NotAllowed, match="a second person must approve it"):
        checklist.approve_waiver(waiver=waiver, approver=team.manager)


def test_it_refuses_the_requester_of_the_release_as_approver(release: Release, item: ChecklistItem, team: Team) -> None:
    member(release.application, Role.RELEASE_MANAGER, user=team.engineer)
    waiver = ask(item, team.manager)
    with pytest.raises(NotAllowed, match="You requested this release"):
        checklist.approve_waiver(waiver=waiver, approver=team.engineer)


def test_it_refuses_other_roles(item: ChecklistItem, team: Team) -> None:
    waiver = ask(item, team.manager)
    for person in (team.viewer, team.auditor, team.engineer, team.administrator):
        with pytest.raises(NotAllowed):
            ask(item, person)
        with pytest.raises(NotAllowed):
            checklist.approve_waiver(waiver=waiver, approver=person)
        with pytest.raises(NotAllowed):
            checklist.revoke_waiver(waiver=waiver, actor=person)


def test_it_refuses_more_than_ninety_days_the_past_and_no_reason(item: ChecklistItem, team: Team) -> None:
    for days in (91, -1):
        with pytest.raises(DomainError, match="at most 90 days"):
            ask(item, team.manager, days=days)
    with pytest.raises(DomainError, match="Say why"):
        ask(item, team.manager, reason="\n")


def test_it_is_signed_and_revoked_once(item: ChecklistItem, team: Team) -> None:
    waiver = ask(item, team.manager)
    checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
    with pytest.raises(DomainError, match="was approved, revoked or expired"):
        checklist.approve_waiver(waiver=waiver, approver=team.approvers["engineering"])
    checklist.revoke_waiver(waiver=waiver, actor=team.manager)
    with pytest.raises(DomainError, match="revoked already"):
        checklist.revoke_waiver(waiver=waiver, actor=team.manager)


def test_the_database_lets_nobody_lengthen_it(item: ChecklistItem, team: Team) -> None:
    waiver = ask(item, team.manager)
    with pytest.raises(IntegrityError, match="kept as it was written"), transaction.atomic():
        Waiver.objects.filter(pk=waiver.pk).update(expires_at=timezone.now() + timedelta(days=900))
