"""The checklist of a release: made from the defaults and the plan, and waived where two people agree."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.domain.defaults import ItemSpec
from releases.domain.items import ItemStatus as ItemStatus
from releases.domain.items import item_statuses as item_statuses
from releases.domain.transition import lock
from releases.doorbell import ring_release
from releases.enums import WAIVER_SIGNERS
from releases.errors import DomainError, NotAllowed
from releases.models import ChecklistItem, Environment, Release, User, Waiver

LONGEST_WAIVER = timedelta(days=90)
#: What a plan says of an item; everything else of it stays as it is when another plan is adopted.
_BY_PLAN = [
    "requirement", "position", "title", "description", "section", "receipt", "environment", "valid_for", "attested",
    "blocking", "owner",
]  # fmt: skip


def instantiate(*, release: Release, specs: list[ItemSpec], environments: dict[str, Environment]) -> None:
    """Bring the items of a release in line with the specs. Items that hold signatures or waivers are never deleted:
    one that the plan no longer asks for stays visible and stops blocking."""
    wanted = [
        ChecklistItem(
            release=release,
            key=spec.key,
            requirement=spec.requirement,
            position=position,
            title=spec.title[:200],
            description=spec.description,
            section=spec.section,
            receipt=spec.receipt,
            environment=environments[spec.environment] if spec.environment else None,
            valid_for=spec.valid_for,
            attested=spec.attested and not spec.section and not spec.receipt,
            blocking=spec.blocking,
            owner=spec.owner,
        )
        for position, spec in enumerate(specs)
    ]
    gone = list(release.items.exclude(key__in=[item.key for item in wanted]))
    ChecklistItem.objects.bulk_create(
        wanted, update_conflicts=True, unique_fields=["release", "key"], update_fields=_BY_PLAN
    )
    for item in gone:
        if item.sign_offs.exists() or item.waivers.exists():
            ChecklistItem.objects.filter(pk=item.pk).update(blocking=False, position=1000 + item.position)
        else:
            item.delete()


@transaction.atomic
def request_waiver(*, item: ChecklistItem, requester: User, reason: str, expires_at: datetime) -> Waiver:
    """Ask to go live without an item, at most for 90 days. Counts once a second person has approved it."""
    release = lock(item.release)
    permissions.require(requester, release.application, *WAIVER_SIGNERS)
    now = timezone.now()
    if not reason.strip():
        raise DomainError("Say why this release may go live without it. Nothing was recorded.", field="reason")
    if not now < expires_at <= now + LONGEST_WAIVER:
        raise DomainError(
            "A waiver ends in the future, and at most 90 days from now. Nothing was recorded.", field="expires_at"
        )
    waiver = Waiver.objects.create(
        item=item, reason=reason.strip(), requested_by=requester, requested_at=now, expires_at=expires_at
    )
    _tell("waiver.requested", waiver, requester, release)
    return waiver


@transaction.atomic
def approve_waiver(*, waiver: Waiver, approver: User) -> Waiver:
    """The second signature. Neither who asked for the waiver nor who requested the release may give it."""
    release = lock(waiver.item.release)
    permissions.require(approver, release.application, *WAIVER_SIGNERS)
    if approver.pk == waiver.requested_by_id:
        raise NotAllowed("You asked for this waiver; a second person must approve it. Nothing was changed.")
    if approver.pk == release.requester_id:
        raise NotAllowed("You requested this release, so you cannot approve a waiver for it. Nothing was changed.")
    now = timezone.now()
    approvable = Waiver.objects.filter(
        pk=waiver.pk, approved_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
    )
    if not approvable.update(approved_by=approver, approved_at=now):
        raise DomainError("This waiver was approved, revoked or expired meanwhile. Nothing was changed.")
    waiver.refresh_from_db()
    _tell("waiver.approved", waiver, approver, release)
    refresh(release=release)
    return waiver


@transaction.atomic
def revoke_waiver(*, waiver: Waiver, actor: User) -> Waiver:
    """End a waiver now. One person is enough."""
    release = lock(waiver.item.release)
    permissions.require(actor, release.application, *WAIVER_SIGNERS)
    if not Waiver.objects.filter(pk=waiver.pk, revoked_at__isnull=True).update(
        revoked_by=actor, revoked_at=timezone.now()
    ):
        raise DomainError("This waiver was revoked already. Nothing was changed.")
    waiver.refresh_from_db()
    _tell("waiver.revoked", waiver, actor, release)
    refresh(release=release)
    return waiver


def _tell(action: str, waiver: Waiver, actor: User, release: Release) -> None:
    ledger.append(
        action=action,
        actor=actor,
        subject=waiver,
        application=release.application,
        release=release,
        document={"item": waiver.item.key, "reason": waiver.reason, "expires_at": waiver.expires_at.isoformat()},
    )
    ring_release(release.pk, "evidence")
