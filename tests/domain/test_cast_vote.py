"""Voting: who may, over what, once, and what happens when the evidence changes."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from releases.domain import application as applications
from releases.domain import approval, gate
from releases.domain import release as releases
from releases.domain.poll import Counting
from releases.enums import Choice, ReleaseState, Role
from releases.errors import DomainError, NotAllowed, StaleManifest, StateChanged
from releases.models import LedgerEntry, Membership, Release, Vote
from tests.domain.racing import race
from tests.factories import ReleaseFactory, Team, answer, go_green, member, schedule, vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def polled(release: Release, team: Team) -> Release:
    """Everything answered, and votes asked for."""
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    return release


def test_it_keeps_the_vote_with_what_was_voted_on_and_tells_the_ledger(polled: Release, team: Team) -> None:
    cast = vote(polled, team.approvers["security"], "security", Choice.CONCERN, "Watch the log-in page.")
    assert cast.manifest.document == gate.evaluate(polled).manifest
    assert cast.expires_at == cast.cast_at + timedelta(hours=72)
    entry = LedgerEntry.objects.filter(action="vote.cast").latest("id")
    assert entry.actor_id == team.approvers["security"].pk
    assert entry.document == {
        "station": "security",
        "choice": "concern",
        "comment": "Watch the log-in page.",
        "manifest": cast.manifest_id,
    }


def test_the_last_missing_vote_approves_the_release(polled: Release, team: Team) -> None:
    for station, voter in team.approvers.items():
        polled.refresh_from_db()
        assert polled.state == ReleaseState.REHEARSING
        vote(polled, voter, station)
    polled.refresh_from_db()
    assert polled.state == ReleaseState.APPROVED


def test_it_refuses_somebody_without_the_station(polled: Release, team: Team) -> None:
    for person in (team.viewer, team.auditor, team.engineer, team.manager, team.administrator):
        with pytest.raises(NotAllowed, match="role approver with the station security"):
            vote(polled, person, "security")
    with pytest.raises(NotAllowed, match="station security"):
        vote(polled, team.approvers["engineering"], "security")
    assert not Vote.objects.exists()


def test_it_refuses_the_requesters_own_release(polled: Release, team: Team) -> None:
    Membership.objects.create(
        application=polled.application, user=team.engineer, role=Role.APPROVER, station="security"
    )
    with pytest.raises(NotAllowed, match="You requested this release"):
        vote(polled, team.engineer, "security")


def test_it_refuses_a_superuser_without_the_station(polled: Release) -> None:
    boss = member(polled.application, Role.ADMINISTRATOR)
    boss.is_superuser = boss.is_staff = True
    boss.save()
    with pytest.raises(NotAllowed):
        vote(polled, boss, "security")


def test_it_refuses_who_signed_an_item_that_counts(polled: Release, team: Team) -> None:
    answer(polled.items.get(key="security.review"), author=team.approvers["security"])
    with pytest.raises(NotAllowed, match="You signed “Encryption and authentication were reviewed”"):
        vote(polled, team.approvers["security"], "security")


def test_it_refuses_a_second_vote_of_one_person(polled: Release, team: Team) -> None:
    voter = team.approvers["security"]
    applications.add_member(
        application=polled.application, user=voter, role=Role.APPROVER, station="engineering", actor=team.administrator
    )
    vote(polled, voter, "security")
    with pytest.raises(DomainError, match="You have voted go over this evidence already"):
        vote(polled, voter, "security", Choice.NO_GO, "I changed my mind.")
    with pytest.raises(DomainError, match="You have voted go over this evidence already"):
        vote(polled, voter, "engineering")


def test_whoever_voted_reads_in_whole_sentences_how_to_change_it(polled: Release, team: Team) -> None:
    voter = team.approvers["security"]
    vote(polled, voter, "security")
    assert approval.why_not(release=polled, voter=voter, gate=gate.evaluate(polled)) == (
        "You have voted go over this evidence already. To change your mind, withdraw your vote and vote again."
    )


def test_it_refuses_a_second_vote_of_one_station(polled: Release, team: Team) -> None:
    vote(polled, team.approvers["security"], "security")
    colleague = member(polled.application, Role.APPROVER, "security")
    with pytest.raises(DomainError, match="has voted for security over this evidence already"):
        vote(polled, colleague, "security")


@pytest.mark.parametrize("choice", [Choice.CONCERN, Choice.HOLD, Choice.NO_GO])
def test_it_refuses_anything_but_go_without_a_comment(polled: Release, team: Team, choice: str) -> None:
    with pytest.raises(DomainError, match="Say why"):
        vote(polled, team.approvers["security"], "security", choice, "  ")


def test_it_refuses_an_unknown_choice_and_an_unknown_station(polled: Release, team: Team) -> None:
    with pytest.raises(DomainError, match="There is no vote called 'maybe'"):
        vote(polled, team.approvers["security"], "security", "maybe", "why")
    with pytest.raises(DomainError, match="The plan has no station 'catering'"):
        vote(polled, team.approvers["security"], "catering")


def test_it_refuses_a_digest_that_is_not_what_stands_now(polled: Release, team: Team) -> None:
    seen = gate.evaluate(polled).digest
    answer(polled.items.get(key="testing.unit"))
    with pytest.raises(StaleManifest, match="The evidence changed since you looked"):
        approval.cast_vote(
            release=polled,
            station="security",
            voter=team.approvers["security"],
            choice=Choice.GO,
            manifest_digest=seen,
        )
    assert not Vote.objects.exists()


def test_it_refuses_a_vote_nobody_asked_for(release: Release, team: Team) -> None:
    schedule(release, team.manager)
    with pytest.raises(DomainError, match="The poll is not open"):
        vote(release, team.approvers["security"], "security")


def test_it_refuses_a_vote_on_a_release_that_was_cancelled(polled: Release, team: Team) -> None:
    releases.cancel(release=polled, actor=team.manager, reason="Superseded.")
    with pytest.raises(StateChanged, match="The release is “cancelled”"):
        vote(polled, team.approvers["security"], "security")


def test_a_vote_does_not_count_after_the_evidence_changed_and_says_so(polled: Release, team: Team) -> None:
    for station, voter in team.approvers.items():
        vote(polled, voter, station)
    answer(polled.items.get(key="testing.unit"))
    polled.refresh_from_db()
    assert polled.state == ReleaseState.REHEARSING
    found = gate.evaluate(polled)
    assert not found.open
    assert {station.counting for station in found.poll} == {Counting.STALE}
    assert all("does not count: the evidence changed since it was given." in station.text for station in found.poll)
    assert Vote.objects.filter(release=polled, withdrawn_at__isnull=True).count() == 3
    vote(polled, team.approvers["security"], "security")
    counting = {station.key: station.counting for station in gate.evaluate(polled).poll}
    assert counting["security"] == Counting.COUNTED


def test_a_vote_does_not_count_after_the_window_moved(polled: Release, team: Team) -> None:
    vote(polled, team.approvers["security"], "security")
    schedule(polled, team.manager, hours=5)
    assert gate.evaluate(polled).poll[2].counting == Counting.STALE


def test_a_vote_expires(polled: Release, team: Team) -> None:
    vote(polled, team.approvers["security"], "security")
    later = timezone.now() + timedelta(hours=73)
    station = next(each for each in gate.evaluate(polled, later).poll if each.key == "security")
    # The window is over by then as well, but evidence without an end is still the same.
    assert station.counting == Counting.EXPIRED


def test_a_vote_does_not_count_once_its_voter_lost_the_station(polled: Release, team: Team) -> None:
    for station, voter in team.approvers.items():
        vote(polled, voter, station)
    membership = Membership.objects.get(user=team.approvers["security"], role=Role.APPROVER)
    applications.remove_member(membership=membership, actor=team.administrator)
    polled.refresh_from_db()
    assert polled.state == ReleaseState.REHEARSING
    station = gate.evaluate(polled).poll[2]
    assert station.counting == Counting.BARRED
    assert "no longer speak for this station" in station.text


def test_a_vote_does_not_count_once_its_voter_was_deactivated(polled: Release, team: Team) -> None:
    vote(polled, team.approvers["security"], "security")
    voter = team.approvers["security"]
    voter.is_active = False
    voter.save()
    assert gate.evaluate(polled).poll[2].counting == Counting.BARRED


def test_the_database_refuses_the_requesters_vote_as_well(polled: Release, team: Team) -> None:
    cast = vote(polled, team.approvers["security"], "security")
    with pytest.raises(IntegrityError, match="Nobody votes on the release that they requested"), transaction.atomic():
        Vote.objects.create(
            release=polled,
            station="engineering",
            voter=team.engineer,
            choice=Choice.GO,
            manifest=cast.manifest,
            cast_at=timezone.now(),
            expires_at=timezone.now(),
        )


def test_the_database_refuses_a_vote_over_another_releases_manifest(polled: Release, team: Team) -> None:
    cast = vote(polled, team.approvers["security"], "security")
    other = ReleaseFactory(application=polled.application)
    with pytest.raises(IntegrityError, match="manifest of its own release"), transaction.atomic():
        Vote.objects.create(
            release=other,
            station="security",
            voter=team.approvers["security"],
            choice=Choice.GO,
            manifest=cast.manifest,
            cast_at=timezone.now(),
            expires_at=timezone.now(),
        )


@pytest.mark.django_db(transaction=True)
def test_of_twenty_votes_of_one_person_at_once_one_is_kept(polled: Release, team: Team) -> None:
    digest, voter = gate.evaluate(polled).digest, team.approvers["security"]

    def cast(number: int) -> Vote:
        return approval.cast_vote(
            release=Release.objects.get(pk=polled.pk),
            station="security",
            voter=voter,
            choice=Choice.GO,
            manifest_digest=digest,
        )

    results = race(cast)
    assert sum(isinstance(result, Vote) for result in results) == 1
    refused = [result for result in results if not isinstance(result, Vote)]
    assert all(isinstance(error, DomainError) and "already" in error.message for error in refused), refused
    assert Vote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_twenty_people_of_one_station_at_once_one_vote_is_kept(polled: Release) -> None:
    digest = gate.evaluate(polled).digest
    crowd = [member(polled.application, Role.APPROVER, "security") for _ in range(20)]

    def cast(number: int) -> Vote:
        return approval.cast_vote(
            release=Release.objects.get(pk=polled.pk),
            station="security",
            voter=crowd[number],
            choice=Choice.GO,
            manifest_digest=digest,
        )

    results = race(cast)
    assert sum(isinstance(result, Vote) for result in results) == 1
    assert all(isinstance(error, DomainError | Vote) for error in results), results
    assert Vote.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_vote_that_slips_past_the_look_is_refused_by_the_database_with_a_sentence(
    polled: Release, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    vote(polled, team.approvers["security"], "security")
    monkeypatch.setattr(approval, "_check_not_twice", lambda *facts: None)
    with pytest.raises(DomainError, match="There is a vote of you or of this station"):
        vote(polled, team.approvers["security"], "security")
    assert Vote.objects.count() == 1


def test_votes_are_about_the_scripts_of_one_folder(polled: Release, team: Team) -> None:
    """An administrator who names another folder after the vote deploys something that nobody voted on."""
    for station, voter in team.approvers.items():
        vote(polled, voter, station)
    application = polled.application
    assert gate.evaluate(Release.objects.get(pk=polled.pk)).open
    applications.change_application(
        application=application, name=application.name, description="", plan_folder="/srv/other",
        actor=team.administrator,
    )  # fmt: skip
    seen = gate.evaluate(Release.objects.get(pk=polled.pk))
    assert not seen.open
    assert seen.manifest["plan_folder"] == "/srv/other"
    assert {blocker.code for blocker in seen.blockers} == {"vote_stale"}
