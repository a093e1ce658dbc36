"""The two-person way around a closed gate. It stays on the board for ever."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.gate import Gate, evaluate
from releases.domain.transition import lock, require_state
from releases.doorbell import ring_release
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import BreakGlass, Membership, Release, User

LONGEST = timedelta(hours=4)
_STATES = (ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED)
_PEOPLE = (Role.APPROVER, Role.RELEASE_MANAGER)


@transaction.atomic
def request_break_glass(*, release: Release, requester: User, reason: str, expires_at: datetime) -> BreakGlass:
    """Ask to open a closed gate, at most for four hours; keeps what blocked at this moment.

    Opens nothing before a second person agreed; one of the two must be a release manager.
    """
    locked = lock(release)
    permissions.require(requester, locked.application, *_PEOPLE)
    require_state(locked, *_STATES)
    now = timezone.now()
    if not reason.strip():
        raise DomainError("Say why the gate must be opened. Nothing was recorded.", field="reason")
    if not now < expires_at <= now + LONGEST:
        raise DomainError(
            "Break-glass ends in the future, and at most four hours from now. Nothing was recorded.",
            field="expires_at",
        )
    gate = evaluate(locked, now)
    blockers = [*gate.blockers, *gate.launch_blockers]
    if not blockers:
        raise DomainError("The gate is open, so there is no glass to break. Nothing was recorded.")
    glass = BreakGlass.objects.create(
        release=locked,
        plan_version=locked.plan_version,
        reason=reason.strip(),
        requested_by=requester,
        requested_at=now,
        expires_at=expires_at,
        blockers=[
            {"code": blocker.code, "title": blocker.title, "text": blocker.text, "target": list(blocker.target)}
            for blocker in blockers
        ],
    )
    tell("break_glass.requested", locked, requester, _document(glass), subject=glass)
    return glass


@transaction.atomic
def approve_break_glass(*, glass: BreakGlass, approver: User) -> BreakGlass:
    """The second person agrees."""
    release = lock(glass.release)
    permissions.require(approver, release.application, *_PEOPLE)
    if approver.pk == glass.requested_by_id:
        raise NotAllowed("You asked for this; a second person must agree. Nothing was changed.")
    if not _one_manages(release, glass.requested_by_id, approver.pk):
        raise NotAllowed("One of the two people must be a release manager. Nothing was changed.")
    if glass.plan_version_id != release.plan_version_id:
        raise DomainError("The release follows another plan since this was asked. Ask anew. Nothing was changed.")
    now = timezone.now()
    open_ones = BreakGlass.objects.filter(pk=glass.pk, approved_at__isnull=True, expires_at__gt=now)
    if not open_ones.update(approved_by=approver, approved_at=now):
        raise DomainError("This was agreed to already, or it expired. Nothing was changed.")
    glass.refresh_from_db()
    tell("break_glass.approved", release, approver, _document(glass), subject=glass)
    return glass


def use(*, release: Release, actor: User, gate: Gate) -> BreakGlass | None:
    """Mark and return the break-glass that opens this closed gate now, or None. For ``authorise_deploy`` only."""
    now = timezone.now()
    for glass in gate.break_glass:
        if not opens(glass, release, now) or not _still_hold(release, glass):
            continue
        if BreakGlass.objects.filter(pk=glass.pk, used_at__isnull=True).update(used_at=now):
            glass.used_at = now
            tell("break_glass.used", release, actor, _document(glass), subject=glass)
            return glass
    return None


def opens(glass: BreakGlass, release: Release, at: datetime) -> bool:
    """Two people agreed, it is neither used nor over, and it is about the plan that the release follows."""
    return (
        glass.approved_by_id is not None
        and glass.used_at is None
        and glass.expires_at > at
        and glass.plan_version_id == release.plan_version_id
    )


def _roles(release: Release, *people: int) -> list[tuple[int, str]]:
    held = Membership.objects.filter(
        application=release.application_id, user__in=people, user__is_active=True, role__in=_PEOPLE
    )
    return list(held.values_list("user", "role"))


def _one_manages(release: Release, *people: int) -> bool:
    return any(role == Role.RELEASE_MANAGER for _, role in _roles(release, *people))


def _still_hold(release: Release, glass: BreakGlass) -> bool:
    assert glass.approved_by_id is not None
    people = {glass.requested_by_id, glass.approved_by_id}
    held = _roles(release, *people)
    return {person for person, _ in held} == people and any(role == Role.RELEASE_MANAGER for _, role in held)


def _document(glass: BreakGlass) -> dict[str, Any]:
    return {
        "reason": glass.reason,
        "requested_by": glass.requested_by_id,
        "approved_by": glass.approved_by_id,
        "expires_at": glass.expires_at.isoformat(),
        "blockers": [blocker["text"] for blocker in glass.blockers],
    }


def tell(
    action: str, release: Release, actor: User | None, document: dict[str, Any], *, subject: BreakGlass | None = None
) -> None:
    """A ledger entry about the release, and a ring on its board."""
    ledger.append(
        action=action,
        actor=actor,
        subject=subject or release,
        application=release.application,
        release=release,
        document=document,
    )
    ring_release(release.pk, "state")
