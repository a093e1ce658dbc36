"""What is refused to one is refused to twenty who try at the same moment, and leaves nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from releases.domain import approval, deploy, gate
from releases.domain import release as releases
from releases.enums import Choice, ReleaseState, Role
from releases.errors import DomainError, GateClosed, NotAllowed, StaleManifest
from releases.models import LedgerEntry, Membership, Release, Vote
from tests.domain.racing import race
from tests.factories import Team, answer, go_green, make_approved, schedule

pytestmark = pytest.mark.django_db(transaction=True)
Launch = tuple[str | None, type[DomainError]]


def without_quorum(release: Release, team: Team) -> Launch:
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    return None, GateClosed


def before_the_window(release: Release, team: Team) -> Launch:
    make_approved(release, team, opens=timezone.now() + timedelta(hours=1))
    return None, GateClosed


def on_other_evidence(release: Release, team: Team) -> Launch:
    make_approved(release, team)
    seen = gate.evaluate(release).digest
    answer(release.items.get(key="recovery.backup"))
    return seen, StaleManifest


@pytest.mark.parametrize("circumstances", [without_quorum, before_the_window, on_other_evidence])
def test_no_launch_gets_through(release: Release, team: Team, circumstances: Callable[[Release, Team], Launch]) -> None:
    digest, refusal = circumstances(release, team)
    before = Release.objects.get(pk=release.pk).state

    def launch(_number: int) -> Any:
        with transaction.atomic():
            asked = Release.objects.get(pk=release.pk)
            return deploy.authorise_deploy(release=asked, actor=team.manager, manifest_digest=digest)

    results = race(launch)
    assert {type(result) for result in results} == {refusal}, results
    assert all(isinstance(result, DomainError) and result.message for result in results)
    assert Release.objects.get(pk=release.pk).state == before != ReleaseState.DEPLOYING
    assert not LedgerEntry.objects.filter(action="release.launched").exists()


def test_no_vote_of_the_requester_and_none_over_other_evidence_gets_through(release: Release, team: Team) -> None:
    without_quorum(release, team)
    Membership.objects.create(
        application=release.application, user=team.engineer, role=Role.APPROVER, station="security"
    )
    digest = gate.evaluate(release).digest

    def cast(number: int) -> Vote:
        own = number % 2 == 0
        return approval.cast_vote(
            release=Release.objects.get(pk=release.pk),
            station="security",
            voter=team.engineer if own else team.approvers["security"],
            choice=Choice.GO,
            manifest_digest=digest if own else "0" * 64,
        )

    results = race(cast)
    assert {type(result) for result in results[::2]} == {NotAllowed}, results
    assert {type(result) for result in results[1::2]} == {StaleManifest}, results
    assert not Vote.objects.exists()
