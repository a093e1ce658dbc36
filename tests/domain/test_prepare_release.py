"""From draft to the poll: rehearsal, window, plan, poll, and giving up."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.domain import calendar, gate
from releases.domain import release as releases
from releases.enums import ReleaseState
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, LedgerEntry, Release
from tests.factories import (
    CHECKS,
    ApplicationFactory,
    ReleaseFactory,
    Team,
    answer,
    check,
    make_approved,
    publish,
    schedule,
)

pytestmark = pytest.mark.django_db


def test_a_rehearsal_starts_once(team: Team, application: Application) -> None:
    draft = ReleaseFactory(application=application, requester=team.engineer, rehearsing=False)
    for person in (team.viewer, team.auditor, team.administrator, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            releases.start_rehearsal(release=draft, actor=person)
    releases.start_rehearsal(release=draft, actor=team.engineer)
    assert draft.state == ReleaseState.REHEARSING
    with pytest.raises(StateChanged, match="The release is “rehearsing”; this needs “draft”"):
        releases.start_rehearsal(release=draft, actor=team.engineer)


def test_a_window_is_for_release_managers_only(release: Release, team: Team) -> None:
    for person in team.everybody:
        if person != team.manager:
            with pytest.raises(NotAllowed, match="role release manager"):
                schedule(release, person)


def test_a_window_lies_in_the_future_and_in_order(release: Release, team: Team) -> None:
    now = timezone.now()
    with pytest.raises(DomainError, match="lies in the past"):
        schedule(release, team.manager, opens=now - timedelta(days=1), hours=1)
    with pytest.raises(DomainError, match="must close after it opens"):
        schedule(release, team.manager, opens=now + timedelta(days=1), hours=-1)
    release.refresh_from_db()
    assert release.window_opens is None


def test_a_window_under_a_freeze_is_refused_and_one_beside_it_is_not(release: Release, team: Team) -> None:
    now = timezone.now()
    calendar.create_freeze(
        application=release.application,
        opens=now + timedelta(days=1),
        closes=now + timedelta(days=2),
        reason="Payroll",
        actor=team.manager,
    )
    with pytest.raises(DomainError, match=r"A change freeze lies over this window, .*: Payroll"):
        schedule(release, team.manager, opens=now + timedelta(hours=23), hours=2)
    schedule(release, team.manager, opens=now + timedelta(days=2), hours=2)


def test_a_poll_needs_a_window_and_opens_once(release: Release, team: Team) -> None:
    with pytest.raises(DomainError, match="Schedule the window first"):
        releases.open_poll(release=release, actor=team.manager)
    schedule(release, team.manager)
    with pytest.raises(NotAllowed):
        releases.open_poll(release=release, actor=team.engineer)
    releases.open_poll(release=release, actor=team.manager)
    with pytest.raises(DomainError, match="asked for already"):
        releases.open_poll(release=release, actor=team.manager)


def test_an_approved_release_loses_approval_when_its_window_moves(release: Release, team: Team) -> None:
    make_approved(release, team)
    schedule(release, team.manager, hours=6)
    assert release.state == ReleaseState.REHEARSING
    entry = LedgerEntry.objects.filter(action="release.approval_lapsed").latest("id")
    assert any("evidence changed" in text for text in entry.document["blockers"])


def test_a_new_plan_changes_the_checklist_and_keeps_what_people_signed(release: Release, team: Team) -> None:
    extra = {"key": "testing.beta", "requirement": "testing", "title": "The beta group is content"}
    with_item = publish(release.application, {"checks": CHECKS, "checklist": [extra]})
    releases.use_plan_version(release=release, plan_version=with_item, actor=team.engineer)
    beta = release.items.get(key="testing.beta")
    answer(beta)
    shorter = {key: value for key, value in CHECKS.items() if key != "audit"}
    without = publish(release.application, {"checks": {**shorter, "lint": check("suite")}})
    releases.use_plan_version(release=release, plan_version=without, actor=team.engineer)
    items = {item.key: item for item in release.items.all()}
    assert "testing.lint" in items
    assert items["security.audit"].section == ""
    assert items["testing.beta"].blocking is False
    assert beta.sign_offs.count() == 1


def test_a_plan_of_another_application_is_refused(release: Release, team: Team) -> None:
    other = ApplicationFactory().current_plan
    with pytest.raises(DomainError, match="belongs to another application"):
        releases.use_plan_version(release=release, plan_version=other, actor=team.engineer)
    with pytest.raises(DomainError, match="follows plan v1 already"):
        releases.use_plan_version(release=release, plan_version=release.plan_version, actor=team.engineer)


def test_a_new_plan_makes_votes_stale(release: Release, team: Team) -> None:
    make_approved(release, team)
    changed = publish(release.application, {"checks": CHECKS, "watch": {"duration": "1h"}})
    releases.use_plan_version(release=release, plan_version=changed, actor=team.engineer)
    assert release.state == ReleaseState.REHEARSING
    assert {blocker.code for blocker in gate.evaluate(release).blockers} == {"vote_stale"}


def test_cancelling_needs_a_reason_and_the_requester_or_a_manager(release: Release, team: Team) -> None:
    for person in (team.viewer, team.administrator, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            releases.cancel(release=release, actor=person, reason="No.")
    with pytest.raises(DomainError, match="Say why"):
        releases.cancel(release=release, actor=team.manager, reason=" ")
    releases.cancel(release=release, actor=team.engineer, reason="Wrong build.")
    with pytest.raises(StateChanged):
        releases.cancel(release=release, actor=team.manager, reason="Again.")
