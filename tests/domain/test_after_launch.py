"""From the launch on: watching, live, failed, unknown, rolled back, and another try."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from releases.domain import deploy, environment, gate
from releases.domain import release as releases
from releases.enums import ReleaseState
from releases.errors import DomainError, GateClosed, NotAllowed, StateChanged
from releases.models import Release
from tests.factories import ReleaseFactory, Team, make_approved, vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def deploying(release: Release, team: Team) -> Release:
    make_approved(release, team)
    with transaction.atomic():
        deploy.authorise_deploy(release=release, actor=team.manager)
    return release


def test_a_deploy_that_succeeded_is_watched_as_long_as_the_plan_says(deploying: Release) -> None:
    before = timezone.now()
    deploy.deploy_succeeded(release=deploying, run_number=7)
    assert deploying.state == ReleaseState.WATCHING
    assert timedelta(minutes=9) < deploying.watch_until - before < timedelta(minutes=11)
    deploy.went_live(release=deploying, figures={"error_rate": 0.0})
    assert deploying.state == ReleaseState.LIVE
    assert deploying.live_at is not None


def test_nothing_goes_live_without_being_watched(deploying: Release) -> None:
    with pytest.raises(StateChanged, match="The release is “deploying”; this needs “watching”"):
        deploy.went_live(release=deploying)


def test_a_release_that_was_never_launched_cannot_succeed_fail_or_be_rolled_back(release: Release) -> None:
    for verb in (deploy.deploy_succeeded, deploy.rolled_back, deploy.deploy_unknown):
        with pytest.raises(StateChanged, match="The release is “rehearsing”"):
            verb(release=release)
    with pytest.raises(StateChanged):
        deploy.deploy_failed(release=release, reason="No.")


def test_a_person_decides_what_an_unknown_deploy_was(deploying: Release, team: Team) -> None:
    deploy.deploy_unknown(release=deploying, run_number=3, reason="The worker died.")
    with pytest.raises(NotAllowed):
        deploy.decide_unknown(release=deploying, outcome="succeeded", actor=team.engineer, reason="Looks fine.")
    with pytest.raises(DomainError, match="Say what you found"):
        deploy.decide_unknown(release=deploying, outcome="succeeded", actor=team.manager, reason="")
    with pytest.raises(DomainError, match="There is no outcome called 'perhaps'"):
        deploy.decide_unknown(release=deploying, outcome="perhaps", actor=team.manager, reason="Hm.")
    deploy.decide_unknown(release=deploying, outcome="succeeded", actor=team.manager, reason="It answers 1.1.")
    assert deploying.state == ReleaseState.WATCHING
    with pytest.raises(StateChanged):
        deploy.decide_unknown(release=deploying, outcome="failed", actor=team.manager, reason="Late.")


def test_a_second_failure_stays_failed(deploying: Release) -> None:
    deploy.deploy_failed(release=deploying, run_number=1, reason="Step 2.")
    deploy.deploy_failed(release=deploying, run_number=2, reason="The rollback failed as well.")
    assert deploying.state == ReleaseState.FAILED


@pytest.mark.campaign
def test_after_a_rollback_everybody_votes_anew(deploying: Release, team: Team) -> None:
    deploy.deploy_succeeded(release=deploying)
    deploy.rolled_back(release=deploying, run_number=8)
    assert (deploying.state, deploying.poll_round, deploying.poll_opened_at) == (ReleaseState.ROLLED_BACK, 2, None)
    with pytest.raises(DomainError, match="Say why"):
        deploy.reopen(release=deploying, actor=team.manager, reason="")
    with pytest.raises(NotAllowed):
        deploy.reopen(release=deploying, actor=team.engineer, reason="Again.")
    deploy.reopen(release=deploying, actor=team.manager, reason="The cause is mended.")
    releases.open_poll(release=deploying, actor=team.manager)
    assert {blocker.code for blocker in gate.evaluate(deploying).blockers} == {"vote_stale"}
    with pytest.raises(GateClosed), transaction.atomic():
        deploy.authorise_deploy(release=deploying, actor=team.manager)
    for station, voter in team.approvers.items():
        vote(deploying, voter, station)
    with transaction.atomic():
        deploy.authorise_deploy(release=deploying, actor=team.manager)
    assert Release.objects.get(pk=deploying.pk).state == ReleaseState.DEPLOYING


def test_a_rollback_needs_a_release_manager_and_something_to_take_back(deploying: Release, team: Team) -> None:
    with pytest.raises(StateChanged), transaction.atomic():
        deploy.authorise_rollback(release=deploying, actor=team.manager)
    deploy.deploy_succeeded(release=deploying)
    for person in (team.engineer, team.administrator, team.approvers["security"]):
        with pytest.raises(NotAllowed), transaction.atomic():
            deploy.authorise_rollback(release=deploying, actor=person)
    with transaction.atomic():
        deploy.authorise_rollback(release=deploying, actor=team.manager)


def test_an_older_release_is_not_rolled_back_under_a_newer_one(deploying: Release, team: Team) -> None:
    deploy.deploy_succeeded(release=deploying)
    deploy.went_live(release=deploying)
    newer = ReleaseFactory(application=deploying.application, requester=team.engineer)
    environment.build_running(
        environment=deploying.target_environment,
        release=newer,
        version=newer.version,
        build_digest=newer.build_digest,
    )
    with pytest.raises(DomainError, match="cannot be rolled back"), transaction.atomic():
        deploy.authorise_rollback(release=deploying, actor=team.manager)
