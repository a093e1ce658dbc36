"""Living with a finding for a while: a reason, two people, an end.

Whether an acceptance counts is evaluated when it is read, against the finding as it is then; no clockwork decides.
It never makes a finding resolved: an accepted one is open, and shown as accepted.
"""

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from checks.enums import SEVERITY_RANKS, AcceptanceEnd, OccurrenceChange
from checks.findings.backing import APPROVERS as APPROVERS
from checks.findings.backing import ASKERS as ASKERS
from checks.findings.backing import backed, is_backed
from checks.models import Acceptance, Finding, Occurrence
from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.doorbell import ring_release
from releases.enums import ReleaseState
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, Release, User

LONGEST: Final = timedelta(days=90)
LONGEST_CRITICAL: Final = timedelta(days=14)
CRITICAL_RANK: Final = 4
#: What "waiting" is to a page, and what it is while somebody who signed may not sign any more. That is no end: it is
#: back when they are. The other words are those of ``AcceptanceEnd``.
WAITING: Final = "waiting"
UNBACKED: Final = "unbacked"
_OVER: Final = (ReleaseState.CANCELLED, ReleaseState.ROLLED_BACK, ReleaseState.LIVE)
_DECIDING: Final = (ReleaseState.REHEARSING, ReleaseState.APPROVED)


def why_not(acceptance: Acceptance, finding: Finding, at: datetime, backed: Container[int]) -> str:
    """Why it does not count at ``at``, as ``AcceptanceEnd``, "unbacked" or "waiting" (for a second person); "" while it
    counts. ``backed``: what ``checks.findings.backing.backed`` says of it.
    """
    if acceptance.ended_because:
        return str(acceptance.ended_because)
    if acceptance.expires_at <= at:
        return AcceptanceEnd.EXPIRED.value
    if finding.rank > acceptance.rank:
        return AcceptanceEnd.SEVERITY.value
    if finding.fixed_in and not acceptance.had_fix:
        return AcceptanceEnd.FIX.value
    if acceptance.pk not in backed:
        return UNBACKED
    return "" if acceptance.approved_at is not None else WAITING


def validly_accepted(findings: Iterable[Finding], at: datetime) -> dict[int, Acceptance]:
    """Finding -> the acceptance that counts at ``at``; one query."""
    by_pk = {finding.pk: finding for finding in findings}
    standing = Acceptance.objects.filter(
        is_backed(), finding__in=by_pk, ended_at__isnull=True, approved_at__isnull=False
    )
    found = list(standing)
    signed = {one.pk for one in found}
    return {one.finding_id: one for one in found if not why_not(one, by_pk[one.finding_id], at, signed)}


def longest(finding: Finding) -> timedelta:
    return LONGEST_CRITICAL if worst_rank(finding) >= CRITICAL_RANK else LONGEST


def worst_rank(finding: Finding) -> int:
    """The rank by which it may block, as ``blocking`` reads it: the finding's own is only what its newest scan said.

    Each audit's newest word about each build counts, as far as that build may still go live.
    """
    said = Occurrence.objects.filter(Q(finding=finding) | Q(finding__joined_into=finding))
    said = said.filter(Q(run__release=None) | ~Q(run__release__state__in=_OVER))
    newest = said.order_by("run__section", "run__environment_id", "run__build_digest", "-run__number").distinct(
        "run__section", "run__environment_id", "run__build_digest"
    )
    runs = list(newest.values_list("run", flat=True))
    words = said.filter(run__in=runs).exclude(change=OccurrenceChange.RESOLVED).values_list("severity", flat=True)
    return max([finding.rank, *(SEVERITY_RANKS[word] for word in words)])


def accepted_since(acceptances: Iterable[Acceptance], at: datetime) -> datetime | None:
    """Since when it is lived with without a gap, over all renewals; None where nothing was approved that stands.

    ``acceptances``: all of one finding.
    """
    approved = [(one.approved_at, one) for one in acceptances if one.approved_at is not None]
    since: datetime | None = None
    for begun, one in sorted(approved, key=lambda each: each[0], reverse=True):
        end = min(one.expires_at, one.ended_at or one.expires_at)
        if end < (since or at):
            break
        since = begun
    return since


@transaction.atomic
def request_acceptance(*, finding: Finding, requester: User, reason: str, expires_at: datetime) -> Acceptance:
    """Ask to live with a finding until ``expires_at``: at most 90 days, a critical one 14. Who asks is its owner.

    Counts once a second person has approved it. While one counts, a further one may be asked for that takes its place.
    """
    permissions.require(requester, finding.application, *ASKERS)
    finding = Finding.objects.select_for_update(no_key=True).select_related("application").get(pk=finding.pk)
    now = timezone.now()
    _check_request(finding, reason, expires_at, now)
    standing = list(Acceptance.objects.filter(finding=finding, ended_at__isnull=True))
    signed = backed(standing)
    for earlier in standing:
        because = why_not(earlier, finding, now, signed)
        if because == WAITING:
            raise StateChanged(
                f"{earlier.requested_by} has asked for this already, and a second person is to decide. "
                "Nothing was recorded."
            )
        if because == UNBACKED and earlier.approved_at is None:
            because = AcceptanceEnd.REPLACED.value
        if because and because != UNBACKED:
            _end(earlier, because, None, now)
    acceptance = Acceptance.objects.create(
        finding=finding, reason=reason.strip(), severity=finding.severity, rank=finding.rank,
        had_fix=bool(finding.fixed_in), requested_by=requester, requested_at=now, expires_at=expires_at,
    )  # fmt: skip
    _tell("finding.acceptance_requested", acceptance, requester)
    return acceptance


def _check_request(finding: Finding, reason: str, expires_at: datetime, now: datetime) -> None:
    if finding.joined_into_id is not None:
        raise DomainError(f"This is the same as finding {finding.joined_into_id} by now. Nothing was recorded.")
    if finding.resolved_at is not None:
        raise DomainError("This finding is resolved, so there is nothing to accept. Nothing was recorded.")
    if not reason.strip():
        raise DomainError("Say why it can be lived with until then. Nothing was recorded.", field="reason")
    most = longest(finding)
    if not now < expires_at <= now + most:
        what = "a critical finding" if most == LONGEST_CRITICAL else "a finding"
        raise DomainError(
            f"The acceptance of {what} ends in the future, and at most {most.days} days from now. "
            "Nothing was recorded.",
            field="expires_at",
        )


@transaction.atomic
def approve_acceptance(*, acceptance: Acceptance, approver: User) -> Acceptance:
    """The second signature: by an approver or a release manager who did not ask."""
    application = acceptance.finding.application
    permissions.require(approver, application, *APPROVERS)
    if approver.pk == acceptance.requested_by_id:
        raise NotAllowed("You asked for this; a second person must approve it. Nothing was changed.")
    finding = Finding.objects.select_for_update(no_key=True).get(pk=acceptance.finding_id)
    acceptance = Acceptance.objects.select_for_update().get(pk=acceptance.pk)
    now = timezone.now()
    because = why_not(acceptance, finding, now, backed([acceptance]))
    if because != WAITING:
        said = "approved by somebody already"
        if because == UNBACKED:
            said = "whoever asked for it may not any more, so ask anew"
        elif because:
            said = AcceptanceEnd(because).label.lower()
        raise StateChanged(f"This cannot be approved any more: {said}. Nothing was changed.")
    earlier = Acceptance.objects.filter(finding=finding, ended_at__isnull=True, approved_at__isnull=False)
    for one in earlier:
        _end(one, AcceptanceEnd.REPLACED, None, now)
    acceptance.approved_by, acceptance.approved_at = approver, now
    acceptance.save(update_fields=["approved_by", "approved_at"])
    _tell("finding.acceptance_approved", acceptance, approver)
    refresh_releases(application)
    return acceptance


@transaction.atomic
def withdraw_acceptance(*, acceptance: Acceptance, actor: User) -> Acceptance:
    """End it now. One person is enough."""
    application = acceptance.finding.application
    permissions.require(actor, application, *ASKERS, *APPROVERS)
    acceptance = Acceptance.objects.select_for_update().get(pk=acceptance.pk)
    if acceptance.ended_at is not None:
        raise StateChanged("This has ended already. Nothing was changed.")
    _end(acceptance, AcceptanceEnd.WITHDRAWN, actor, timezone.now())
    refresh_releases(application)
    return acceptance


def end_where_void(findings: Iterable[Finding], now: datetime) -> None:
    """A severity that rose, or a first fix, ends an acceptance for good, also when it falls again later."""
    by_pk = {finding.pk: finding for finding in findings}
    standing = list(Acceptance.objects.filter(finding__in=by_pk, ended_at__isnull=True))
    signed = backed(standing)
    for acceptance in standing:
        because = why_not(acceptance, by_pk[acceptance.finding_id], now, signed)
        if because in (AcceptanceEnd.SEVERITY, AcceptanceEnd.FIX):
            _end(acceptance, because, None, now)


def _end(acceptance: Acceptance, because: str, actor: User | None, now: datetime) -> None:
    acceptance.ended_at, acceptance.ended_by, acceptance.ended_because = now, actor, because
    acceptance.save(update_fields=["ended_at", "ended_by", "ended_because"])
    _tell("finding.acceptance_ended", acceptance, actor, because=str(because))


def _tell(action: str, acceptance: Acceptance, actor: User | None, **more: Any) -> None:
    finding = acceptance.finding
    ledger.append(
        action=action,
        actor=actor,
        subject=finding,
        application=finding.application_id,
        document={
            "finding": str(finding),
            "severity": acceptance.severity,
            "reason": acceptance.reason,
            "expires_at": acceptance.expires_at,
            **more,
        },
    )


def refresh_releases(application: Application) -> None:
    """What may go live follows at once, as far as people are deciding it now."""
    for release in Release.objects.filter(application=application, state__in=_DECIDING).order_by("pk"):
        refresh(release=release)
        ring_release(release.pk, "evidence")
