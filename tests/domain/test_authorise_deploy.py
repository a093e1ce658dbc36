"""The one door to production: everything is computed anew, under a lock, in the transaction of the launch."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from releases.domain import application as applications
from releases.domain import calendar, deploy, gate
from releases.domain import release as releases
from releases.enums import EvidenceVerdict, ReleaseState, Role
from releases.errors import DomainError, GateClosed, NotAllowed, StaleManifest, StateChanged
from releases.models import LedgerEntry, Manifest, Membership, Release, User
from tests.domain.racing import race
from tests.factories import ReleaseFactory, Team, answer, go_green, make_approved, member, schedule, vote

pytestmark = pytest.mark.django_db


def launch(release: Release, actor: User, digest: str | None = None) -> gate.Gate:
    with transaction.atomic():
        return deploy.authorise_deploy(release=Release.objects.get(pk=release.pk), actor=actor, manifest_digest=digest)


@pytest.fixture
def approved(release: Release, team: Team) -> Release:
    return make_approved(release, team)


def state(release: Release) -> str:
    return Release.objects.get(pk=release.pk).state


def test_it_moves_the_release_to_deploying_and_tells_the_ledger_what_it_rests_on(approved: Release, team: Team) -> None:
    found = launch(approved, team.manager, gate.evaluate(approved).digest)
    assert state(approved) == ReleaseState.DEPLOYING
    entry = LedgerEntry.objects.filter(action="release.launched").latest("id")
    assert entry.document["manifest"] == found.digest
    assert len(entry.document["votes"]) == 3
    assert entry.document["break_glass"] is None
    assert Manifest.objects.get(pk=found.digest).document == found.manifest


def test_it_must_be_called_inside_the_transaction_of_the_run(approved: Release, team: Team) -> None:
    in_block, connection.in_atomic_block = connection.in_atomic_block, False
    try:
        with pytest.raises(RuntimeError, match="in the transaction that also starts the run"):
            deploy.authorise_deploy(release=approved, actor=team.manager)
    finally:
        connection.in_atomic_block = in_block


def test_it_refuses_everybody_but_a_release_manager(approved: Release, team: Team) -> None:
    for person in team.everybody:
        if person != team.manager:
            with pytest.raises(NotAllowed, match="role release manager"):
                launch(approved, person)
    assert state(approved) == ReleaseState.APPROVED


def test_it_refuses_without_quorum(release: Release, team: Team) -> None:
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    vote(release, team.approvers["security"], "security")
    vote(release, team.approvers["engineering"], "engineering")
    with pytest.raises(GateClosed, match="Release management has not voted"):
        launch(release, team.manager)
    assert state(release) == ReleaseState.REHEARSING


def test_it_refuses_before_the_window_opens(release: Release, team: Team) -> None:
    make_approved(release, team, opens=timezone.now() + timedelta(hours=2))
    with pytest.raises(GateClosed, match="The window opens"):
        launch(release, team.manager)


def test_it_refuses_after_the_window_closed(approved: Release, team: Team) -> None:
    past = timezone.now() - timedelta(hours=3)
    Release.objects.filter(pk=approved.pk).update(window_opens=past, window_closes=past + timedelta(hours=1))
    with pytest.raises(GateClosed, match="The window closed"):
        launch(approved, team.manager)


def test_it_refuses_over_votes_about_other_evidence(approved: Release, team: Team) -> None:
    answer(approved.items.get(key="testing.unit"))
    with pytest.raises(GateClosed, match="does not count: the evidence changed since it was given"):
        launch(approved, team.manager)


def test_it_refuses_evidence_that_failed_meanwhile_whatever_the_state_says(approved: Release, team: Team) -> None:
    answer(approved.items.get(key="testing.unit"), verdict=EvidenceVerdict.FAILED, summary="2 of 2,214 tests failed")
    Release.objects.filter(pk=approved.pk).update(state=ReleaseState.APPROVED)
    with pytest.raises(GateClosed, match="2 of 2,214 tests failed"):
        launch(approved, team.manager)


def test_it_names_everything_that_stands_in_the_way(release: Release, team: Team) -> None:
    with pytest.raises(GateClosed) as caught:
        launch(release, team.manager)
    assert caught.value.message.startswith("The gate is closed, so nothing was started.")
    for blocker in gate.evaluate(release).blockers:
        assert blocker.text in caught.value.message


def test_it_refuses_what_the_launcher_has_not_seen(approved: Release, team: Team) -> None:
    with pytest.raises(StaleManifest, match="Nothing was started"):
        launch(approved, team.manager, "0" * 64)


def test_it_refuses_in_a_freeze(approved: Release, team: Team) -> None:
    calendar.create_freeze(
        application=approved.application,
        opens=timezone.now(),
        closes=timezone.now() + timedelta(days=1),
        reason="Elections",
        actor=team.manager,
    )
    with pytest.raises(GateClosed, match="Elections"):
        launch(approved, team.manager)


def test_it_refuses_a_vote_of_somebody_who_lost_the_role(approved: Release, team: Team) -> None:
    Membership.objects.filter(user=team.approvers["engineering"]).delete()
    with pytest.raises(GateClosed, match="no longer speak for this station"):
        launch(approved, team.manager)


def test_it_refuses_one_person_voting_for_two_stations(release: Release, team: Team) -> None:
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    double = team.approvers["security"]
    applications.add_member(
        application=release.application,
        user=double,
        role=Role.APPROVER,
        station="engineering",
        actor=team.administrator,
    )
    vote(release, double, "security")
    vote(release, team.approvers["release-management"], "release-management")
    with pytest.raises(DomainError, match="You have voted go"):
        vote(release, double, "engineering")
    with pytest.raises(GateClosed, match="Engineering has not voted"):
        launch(release, team.manager)


def test_it_refuses_a_draft_and_a_release_under_way(approved: Release, team: Team) -> None:
    draft = ReleaseFactory(application=approved.application, requester=team.engineer, rehearsing=False)
    with pytest.raises(StateChanged, match="The release is “draft”"):
        launch(draft, team.manager)
    launch(approved, team.manager)
    with pytest.raises(StateChanged, match="The release is “deploying”"):
        launch(approved, team.manager)


@pytest.mark.campaign
def test_it_refuses_while_another_release_is_under_way_there(approved: Release, team: Team) -> None:
    other = ReleaseFactory(application=approved.application, requester=team.engineer)
    make_approved(other, team)
    launch(approved, team.manager)
    with pytest.raises(StateChanged, match="Another release is under way in production"):
        launch(other, team.manager)
    assert state(other) == ReleaseState.APPROVED


def test_it_may_be_tried_again_after_a_failure(approved: Release, team: Team) -> None:
    launch(approved, team.manager)
    deploy.deploy_failed(release=approved, run_number=1, reason="The disk was full.")
    launch(approved, team.manager)
    assert state(approved) == ReleaseState.DEPLOYING


def test_nothing_is_kept_when_the_run_could_not_be_written(approved: Release, team: Team) -> None:
    with transaction.atomic():
        deploy.authorise_deploy(release=Release.objects.get(pk=approved.pk), actor=team.manager)
        transaction.set_rollback(True)
    assert state(approved) == ReleaseState.APPROVED
    assert not LedgerEntry.objects.filter(action="release.launched").exists()


@pytest.mark.django_db(transaction=True)
def test_of_twenty_launches_at_once_one_starts(approved: Release) -> None:
    managers = [member(approved.application, Role.RELEASE_MANAGER) for _ in range(20)]
    results = race(lambda number: launch(approved, managers[number]))
    assert sum(isinstance(result, gate.Gate) for result in results) == 1
    refused = [result for result in results if not isinstance(result, gate.Gate)]
    assert all(isinstance(error, StateChanged) for error in refused), refused
    assert LedgerEntry.objects.filter(action="release.launched").count() == 1
    assert state(approved) == ReleaseState.DEPLOYING


@pytest.mark.django_db(transaction=True)
def test_of_two_releases_launched_into_one_environment_at_once_one_starts(approved: Release, team: Team) -> None:
    other = make_approved(ReleaseFactory(application=approved.application, requester=team.engineer), team)
    pair = [approved, other]
    results = race(lambda number: launch(pair[number % 2], team.manager), times=10)
    assert sum(isinstance(result, gate.Gate) for result in results) == 1
    assert sorted([state(approved), state(other)]) == ["approved", "deploying"]


@pytest.mark.django_db(transaction=True)
def test_evidence_that_fails_while_somebody_launches_is_either_seen_or_comes_after(
    approved: Release, team: Team
) -> None:
    item = approved.items.get(key="testing.unit")

    def both(number: int) -> object:
        if number % 2:
            return answer(item, verdict=EvidenceVerdict.FAILED, summary="Too late?")
        return launch(approved, team.manager)

    race(both, times=10)
    entries = list(
        LedgerEntry.objects.filter(action__in=["release.launched", "evidence.recorded"], release_id=approved.pk)
        .order_by("sequence")
        .values_list("action", "document")
    )
    launched = [index for index, (action, _) in enumerate(entries) if action == "release.launched"]
    failed = [index for index, (_, document) in enumerate(entries) if document.get("verdict") == "failed"]
    assert len(failed) == 5
    assert not launched or launched[0] < failed[0]
