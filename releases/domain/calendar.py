"""Change freezes: when nothing goes live."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from releases import permissions
from releases.domain import ledger
from releases.domain.approval import refresh
from releases.domain.gate import touches
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, ChangeFreeze, Membership, Release, User


def freezes_touching(application: Application, opens: datetime, closes: datetime) -> list[ChangeFreeze]:
    """The freezes in force, for this application or for all, that overlap these times."""
    concerned = Q(application__isnull=True) | Q(application=application)
    found = ChangeFreeze.objects.filter(concerned, lifted_at__isnull=True, opens__lt=closes, closes__gt=opens)
    return [freeze for freeze in found if touches(freeze, application.pk, opens, closes)]


def freezes_at(application: Application, when: datetime) -> list[ChangeFreeze]:
    """The freezes in force at one moment."""
    return freezes_touching(application, when, when + timedelta(microseconds=1))


@transaction.atomic
def create_freeze(
    *, application: Application | None, opens: datetime, closes: datetime, reason: str, actor: User
) -> ChangeFreeze:
    """Forbid going live for a while, in one application or (None) in all. Approved releases in it lose approval."""
    _require(actor, application)
    if closes <= opens or closes <= timezone.now():
        raise DomainError("A freeze ends after it begins, and in the future. Nothing was recorded.", field="closes")
    if not reason.strip():
        raise DomainError("Say why nothing may go live. Nothing was recorded.", field="reason")
    freeze = ChangeFreeze.objects.create(
        application=application, opens=opens, closes=closes, reason=reason.strip(), created_by=actor
    )
    _tell("freeze.created", freeze, actor)
    return freeze


@transaction.atomic
def lift_freeze(*, freeze: ChangeFreeze, actor: User) -> ChangeFreeze:
    """End a freeze now."""
    _require(actor, freeze.application)
    now = timezone.now()
    if not ChangeFreeze.objects.filter(pk=freeze.pk, lifted_at__isnull=True).update(lifted_at=now):
        raise DomainError("This freeze was lifted already. Nothing was changed.")
    freeze.lifted_at = now
    _tell("freeze.lifted", freeze, actor)
    return freeze


def _require(actor: User, application: Application | None) -> None:
    if application is not None:
        permissions.require(actor, application, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
        return
    here = Membership.objects.filter(user=actor, role__in=[Role.RELEASE_MANAGER, Role.ADMINISTRATOR])
    managed = set(here.values_list("application", flat=True))
    if not actor.is_active or not managed or managed != set(Application.objects.values_list("pk", flat=True)):
        raise NotAllowed(
            "A freeze of all applications needs the role release manager or administrator in each. Nothing was changed."
        )


def _tell(action: str, freeze: ChangeFreeze, actor: User) -> None:
    ledger.append(
        action=action,
        actor=actor,
        subject=freeze,
        application=freeze.application,
        document={"opens": freeze.opens.isoformat(), "closes": freeze.closes.isoformat(), "reason": freeze.reason},
    )
    touched = Release.objects.filter(
        state__in=[ReleaseState.REHEARSING, ReleaseState.APPROVED],
        window_opens__lt=freeze.closes,
        window_closes__gt=freeze.opens,
    )
    if freeze.application is not None:
        touched = touched.filter(application=freeze.application)
    # In the order of their ids, so that two freezes at once never wait for each other.
    for release in touched.order_by("pk"):
        refresh(release=release)
