"""Votes, and what follows from them: a release is approved while its gate is open, and no longer."""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from releases import permissions, queries
from releases.domain import ledger
from releases.domain.defaults import read_seconds
from releases.domain.gate import Gate, evaluate
from releases.domain.poll import StationVote, compute_poll, load_poll, signers, stations_of_plan
from releases.domain.transition import lock, move, require_state
from releases.doorbell import ring_release
from releases.enums import Choice, ReleaseState
from releases.errors import DomainError, NotAllowed, StaleManifest
from releases.models import Manifest, Release, User, Vote

_POLLING = (ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)


def poll(release: Release, gate: Gate) -> list[StationVote]:
    """The stations with their votes, judged against this gate's manifest."""
    facts = load_poll([release])
    queries.name_people(facts.people())
    return compute_poll(release, facts, gate.items, gate.digest, timezone.now())


@transaction.atomic
def refresh(*, release: Release) -> Gate | None:
    """Bring the state in line with the gate: rehearsing <-> approved. Called after everything that moves the gate.

    Returns the gate where it was computed. The state is only a label: each launch computes the gate again.
    """
    locked = lock(release)
    gate = follow(locked)
    release.state, release.state_since = locked.state, locked.state_since
    return gate


def follow(locked: Release) -> Gate | None:
    """``refresh`` for a release that this transaction has just locked and read."""
    if locked.state not in (ReleaseState.REHEARSING, ReleaseState.APPROVED):
        return None
    if locked.state == ReleaseState.REHEARSING and locked.poll_opened_at is None:
        return None  # nobody can have voted, so the gate is closed whatever else is answered
    gate = evaluate(locked)
    document: dict[str, Any] = {"manifest": gate.digest, "blockers": [blocker.text for blocker in gate.blockers]}
    if gate.open and locked.state == ReleaseState.REHEARSING:
        move(
            locked,
            to=ReleaseState.APPROVED,
            expected=[ReleaseState.REHEARSING],
            action="release.approved",
            actor=None,
            document=document,
        )
    elif not gate.open and locked.state == ReleaseState.APPROVED:
        move(
            locked,
            to=ReleaseState.REHEARSING,
            expected=[ReleaseState.APPROVED],
            action="release.approval_lapsed",
            actor=None,
            document=document,
        )
    return gate


def refresh_approved() -> int:
    """Take back approvals that ran out while nobody touched anything: votes and windows end by themselves.

    For the scheduler. Returns how many releases lost their approval.
    """
    lapsed = 0
    approved = Release.objects.filter(state=ReleaseState.APPROVED).order_by("pk")
    for release in approved.select_related("application"):
        refresh(release=release)
        lapsed += release.state != ReleaseState.APPROVED
    return lapsed


def keep_manifest(release: Release, gate: Gate) -> Manifest:
    """Store the manifest, so that what was voted or launched on can be read for ever. Returns the stored one."""
    manifest, _ = Manifest.objects.get_or_create(
        digest=gate.digest, defaults={"release": release, "document": gate.manifest}
    )
    return manifest


def cast_vote(
    *, release: Release, station: str, voter: User, choice: str, comment: str = "", manifest_digest: str
) -> Vote:
    """Vote for a station over what the voter saw.

    Refused with a sentence: another evidence state than the one seen (StaleManifest), no such station of the voter
    (NotAllowed), the requester's own release, an author of a counting sign-off, a second vote of this person or
    station over the same manifest, a missing comment, a closed poll.
    Side effects: stores the manifest, writes the ledger, may approve the release.
    """
    try:
        with transaction.atomic():
            locked = lock(release)
            _check_ballot(locked, choice, comment)
            gate = evaluate(locked)
            _check_voter(locked, station, voter, gate)
            if gate.digest != manifest_digest:
                raise StaleManifest()
            _check_not_twice(locked, station, voter, gate)
            vote = _store_vote(locked, station, voter, choice, comment.strip(), gate)
            follow(locked)
    except IntegrityError as error:
        if "vote_once_per_" not in str(error):
            raise
        raise DomainError(_TWICE) from error
    release.state, release.state_since = locked.state, locked.state_since
    return vote


_TWICE = (
    "There is a vote of you or of this station over the same evidence already. "
    "Nothing was recorded. To change your mind, withdraw your vote and vote again."
)


def why_not(*, release: Release, voter: User, gate: Gate) -> str:
    """Why this person cannot vote now, in the words that ``cast_vote`` would use; empty when they can."""
    stations = sorted(permissions.stations_of(voter, release.application))
    if not stations:
        return f"Only approvers of {release.application} vote."
    refusals = []
    for station in stations:
        try:
            _check_ballot(release, Choice.GO, "")
            _check_voter(release, station, voter, gate)
            _check_not_twice(release, station, voter, gate)
            return ""
        except DomainError as error:
            refusals.append(error.message.replace(" Nothing was recorded.", ""))
    return refusals[0]


def _check_ballot(release: Release, choice: str, comment: str) -> None:
    require_state(release, *_POLLING)
    if release.poll_opened_at is None:
        raise DomainError("The poll is not open: a release manager asks for votes first. Nothing was recorded.")
    if choice not in Choice.values:
        raise DomainError(f"There is no vote called {choice!r}. Nothing was recorded.", field="choice")
    if choice != Choice.GO and not comment.strip():
        raise DomainError("Say why: a vote other than go needs a comment. Nothing was recorded.", field="comment")


def _check_voter(release: Release, station: str, voter: User, gate: Gate) -> None:
    if station not in {each["key"] for each in stations_of_plan(release)}:
        raise DomainError(f"The plan has no station {station!r}. Nothing was recorded.", field="station")
    if station not in permissions.stations_of(voter, release.application):
        raise NotAllowed(
            f"This needs the role approver with the station {station} in {release.application}. Nothing was recorded."
        )
    if voter.pk == release.requester_id:
        raise NotAllowed("You requested this release, so you cannot vote on it. Nothing was recorded.")
    signed = signers(gate.items)
    if voter.pk in signed:
        raise NotAllowed(
            f"You signed “{signed[voter.pk]}”, so you cannot vote on your own evidence. Nothing was recorded."
        )


def _check_not_twice(release: Release, station: str, voter: User, gate: Gate) -> None:
    cast = Vote.objects.filter(release=release, manifest=gate.digest, withdrawn_at__isnull=True)
    mine = cast.filter(voter=voter).first()
    if mine is not None:
        raise DomainError(
            f"You have voted {Choice(mine.choice).label.lower()} over this evidence already. "
            "Nothing was recorded. To change your mind, withdraw your vote and vote again."
        )
    other = cast.filter(station=station).select_related("voter").first()
    if other is not None:
        raise DomainError(f"{other.voter} has voted for {station} over this evidence already. Nothing was recorded.")


def _store_vote(release: Release, station: str, voter: User, choice: str, comment: str, gate: Gate) -> Vote:
    now = timezone.now()
    valid_for = read_seconds(release.plan_version.document["approvals"]["valid_for"])
    assert valid_for is not None
    vote = Vote.objects.create(
        release=release,
        station=station,
        voter=voter,
        choice=choice,
        comment=comment,
        manifest=keep_manifest(release, gate),
        cast_at=now,
        expires_at=now + valid_for,
    )
    ledger.append(
        action="vote.cast",
        actor=voter,
        subject=vote,
        application=release.application,
        release=release,
        document={"station": station, "choice": choice, "comment": comment, "manifest": gate.digest},
    )
    ring_release(release.pk, "vote")
    return vote


@transaction.atomic
def withdraw_vote(*, vote: Vote, actor: User) -> Vote:
    """Take back one's own vote. It stays on record, and no longer counts."""
    release = lock(vote.release)
    if actor.pk != vote.voter_id:
        raise NotAllowed("Only the person who cast a vote can withdraw it. Nothing was changed.")
    require_state(release, *_POLLING)
    now = timezone.now()
    if not Vote.objects.filter(pk=vote.pk, withdrawn_at__isnull=True).update(withdrawn_at=now):
        raise DomainError("This vote was withdrawn already. Nothing was changed.")
    vote.withdrawn_at = now
    ledger.append(
        action="vote.withdrawn",
        actor=actor,
        subject=vote,
        application=release.application,
        release=release,
        document={"station": vote.station, "choice": vote.choice, "manifest": vote.manifest_id},
    )
    ring_release(release.pk, "vote")
    refresh(release=release)
    return vote
