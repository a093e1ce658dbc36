"""The two-person way around a closed gate."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from releases.domain import break_glass, deploy, gate
from releases.domain import release as releases
from releases.enums import ReleaseState
from releases.errors import DomainError, GateClosed, NotAllowed
from releases.models import BreakGlass, LedgerEntry, Membership, Release, User
from tests.factories import Team, make_approved, publish

pytestmark = pytest.mark.django_db


def ask(release: Release, person: User, reason: str = "Production is down.", hours: float = 1) -> BreakGlass:
    return break_glass.request_break_glass(
        release=release, requester=person, reason=reason, expires_at=timezone.now() + timedelta(hours=hours)
    )


def launch(release: Release, actor: User) -> None:
    with transaction.atomic():
        deploy.authorise_deploy(release=Release.objects.get(pk=release.pk), actor=actor)


def test_two_people_open_the_gate_once_and_the_board_keeps_it(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    assert {blocker["code"] for blocker in glass.blockers} == {"item_open", "window_missing", "poll_closed"}
    with pytest.raises(GateClosed):
        launch(release, team.manager)
    break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    launch(release, team.manager)
    glass.refresh_from_db()
    assert glass.used_at is not None
    assert Release.objects.get(pk=release.pk).state == ReleaseState.DEPLOYING
    entry = LedgerEntry.objects.filter(action="release.launched").latest("id")
    assert entry.document["break_glass"] == glass.pk
    assert entry.document["blockers"]
    deploy.deploy_failed(release=release, reason="It broke again.")
    with pytest.raises(GateClosed):
        launch(release, team.manager)


def test_an_expired_one_opens_nothing(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    closed = gate.evaluate(release)
    closed.break_glass[0].expires_at = timezone.now() - timedelta(seconds=1)
    assert break_glass.use(release=release, actor=team.manager, gate=closed) is None


def test_nobody_makes_it_last_longer(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    with pytest.raises(IntegrityError, match="kept as it was written"), transaction.atomic():
        BreakGlass.objects.filter(pk=glass.pk).update(expires_at=timezone.now() + timedelta(hours=3))


def test_it_opens_nothing_once_one_of_the_two_lost_the_role(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    Membership.objects.filter(user=team.approvers["security"]).delete()
    with pytest.raises(GateClosed):
        launch(release, team.manager)


def test_it_opens_nothing_for_a_plan_that_came_after_the_two_agreed(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    newer = publish(release.application, {"description": "Another way to deploy."})
    releases.use_plan_version(release=release, plan_version=newer, actor=team.manager)
    with pytest.raises(GateClosed):
        launch(release, team.manager)
    glass.refresh_from_db()
    assert glass.used_at is None


def test_it_refuses_one_person_as_both(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    with pytest.raises(NotAllowed, match="a second person must agree"):
        break_glass.approve_break_glass(glass=glass, approver=team.manager)


def test_it_refuses_two_people_of_whom_none_is_a_release_manager(release: Release, team: Team) -> None:
    glass = ask(release, team.approvers["engineering"])
    with pytest.raises(NotAllowed, match="One of the two people must be a release manager"):
        break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    break_glass.approve_break_glass(glass=glass, approver=team.manager)


def test_it_refuses_other_roles(release: Release, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.engineer, team.administrator):
        with pytest.raises(NotAllowed, match="role approver or release manager"):
            ask(release, person)


def test_it_refuses_more_than_four_hours_the_past_and_no_reason(release: Release, team: Team) -> None:
    with pytest.raises(DomainError, match="at most four hours"):
        ask(release, team.manager, hours=5)
    with pytest.raises(DomainError, match="at most four hours"):
        ask(release, team.manager, hours=-1)
    with pytest.raises(DomainError, match="Say why"):
        ask(release, team.manager, reason=" ")


def test_it_refuses_an_open_gate(release: Release, team: Team) -> None:
    make_approved(release, team)
    with pytest.raises(DomainError, match="there is no glass to break"):
        ask(release, team.manager)


def test_it_is_agreed_to_once(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    break_glass.approve_break_glass(glass=glass, approver=team.approvers["security"])
    with pytest.raises(DomainError, match="agreed to already"):
        break_glass.approve_break_glass(glass=glass, approver=team.approvers["engineering"])


def test_the_database_lets_no_release_past_approval_without_it(release: Release) -> None:
    with pytest.raises(IntegrityError, match="only break-glass by two people"), transaction.atomic():
        Release.objects.filter(pk=release.pk).update(state=ReleaseState.DEPLOYING)


def test_the_database_keeps_it_for_ever(release: Release, team: Team) -> None:
    glass = ask(release, team.manager)
    with pytest.raises(IntegrityError, match="DELETE is refused"), transaction.atomic():
        glass.delete()
