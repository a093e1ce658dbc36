"""Changing one's mind: withdraw, then vote again. Both stay on record."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from releases.domain import approval
from releases.enums import Choice, ReleaseState
from releases.errors import DomainError, NotAllowed
from releases.models import Release, Vote
from tests.factories import Team, make_approved, vote

pytestmark = pytest.mark.django_db


def test_a_withdrawn_vote_no_longer_counts_and_makes_room(release: Release, team: Team) -> None:
    make_approved(release, team)
    mine = Vote.objects.get(station="security")
    approval.withdraw_vote(vote=mine, actor=team.approvers["security"])
    release.refresh_from_db()
    assert release.state == ReleaseState.REHEARSING
    vote(release, team.approvers["security"], "security", Choice.NO_GO, "It leaks.")
    assert Vote.objects.filter(station="security").count() == 2


def test_nobody_withdraws_anothers_vote(release: Release, team: Team) -> None:
    make_approved(release, team)
    for person in (team.manager, team.administrator, team.approvers["engineering"]):
        with pytest.raises(NotAllowed, match="Only the person who cast a vote"):
            approval.withdraw_vote(vote=Vote.objects.get(station="security"), actor=person)


def test_a_vote_is_withdrawn_once(release: Release, team: Team) -> None:
    make_approved(release, team)
    mine = Vote.objects.get(station="security")
    approval.withdraw_vote(vote=mine, actor=team.approvers["security"])
    with pytest.raises(DomainError, match="withdrawn already"):
        approval.withdraw_vote(vote=mine, actor=team.approvers["security"])


@pytest.mark.parametrize(
    "changes",
    [{"choice": "no_go", "comment": "x"}, {"comment": "x"}, {"station": "other"}, {"expires_at": timezone.now()}],
)
def test_the_database_changes_nothing_else_of_a_vote(release: Release, team: Team, changes: dict[str, object]) -> None:
    make_approved(release, team)
    mine = Vote.objects.filter(station="security")
    with pytest.raises(IntegrityError, match="kept as it was written"), transaction.atomic():
        mine.update(**changes)
    with pytest.raises(IntegrityError, match="DELETE is refused"), transaction.atomic():
        mine.delete()
    mine.update(withdrawn_at=timezone.now())
    with pytest.raises(IntegrityError, match="kept as it was written"), transaction.atomic():
        mine.update(withdrawn_at=None)
