"""Alerts: told to every channel of an application over an outbox, and the test alert whose receipt is evidence."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from monitoring.domain.channel import Channel, channels_of
from monitoring.enums import AlertKind
from monitoring.models import Alert, AlertDelivery, Incident
from releases import permissions
from releases.domain import evidence, ledger
from releases.domain.wording import span
from releases.doorbell import ring_release
from releases.enums import EvidenceSource, EvidenceVerdict, Role
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, ChecklistItem, Evidence, PlanVersion, Release, User

TEST_RECEIPT: Final = "test-alert"
#: A receipt must come while the message can still be called fresh.
RECEIPT_WITHIN: Final = timedelta(hours=24)
_SENDERS: Final = (Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
_RECEIVERS: Final = (Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR, Role.APPROVER)


def raise_alert(
    *,
    application: Application,
    kind: AlertKind,
    subject: str,
    body: str,
    release: Release | None = None,
    incident: Incident | None = None,
    actor: User | None = None,
    code: str = "",
) -> Alert:
    """Keep an alert and one delivery for each channel, in the caller's transaction; the prober sends them.

    An alert without any channel is kept as well: the page says that nobody was told.
    """
    now = timezone.now()
    with transaction.atomic():
        alert = Alert.objects.create(
            application=application,
            release=release,
            incident=incident,
            kind=kind,
            subject=subject[:200],
            body=body,
            created_at=now,
            created_by=actor,
            receipt_code=code or secrets.token_urlsafe(32),
        )
        AlertDelivery.objects.bulk_create(
            AlertDelivery(alert=alert, channel=channel.name, next_attempt_at=now)
            for channel in declared_channels(application, release)
        )
    return alert


def notify(application: Application, subject: str, body: str) -> None:
    """News of another part of the program, such as a backup that is late, to every channel."""
    raise_alert(application=application, kind=AlertKind.NOTICE, subject=subject, body=body)


def declared_channels(application: Application, release: Release | None = None) -> list[Channel]:
    """Where alerts go: by the release's own plan where there is one, else by the newest."""
    version = release.plan_version if release is not None else _newest(application)
    declared: Mapping[str, Any] = version.document.get("alerts", {}) if version is not None else {}
    return channels_of(declared)


def _newest(application: Application) -> PlanVersion | None:
    return application.plan_versions.order_by("-number").first()


def send_test_alert(*, release: Release, actor: User) -> Alert:
    """Tell every channel of the release's plan that this is a test, with a link by which a person says: received."""
    permissions.require(actor, release.application, *_SENDERS)
    if not declared_channels(release.application, release):
        raise DomainError(
            "The plan names no alert channel and no address, so nothing was sent. "
            "Add channels or emails to its alerts section, or set ALERT_URLS."
        )
    code = secrets.token_urlsafe(32)
    with transaction.atomic():
        alert = raise_alert(
            application=release.application,
            kind=AlertKind.TEST,
            subject=f"Test alert for {release}",
            body=(
                f"This is a test of the alerts for {release}; nothing is wrong.\n\n"
                f"Please confirm that it reached you:\n{receipt_link(code)}"
            ),
            release=release,
            actor=actor,
            code=code,
        )
        ledger.append(
            action="alert.test_sent",
            actor=actor,
            subject=alert,
            application=release.application,
            release=release,
            document={"channels": list(alert.deliveries.values_list("channel", flat=True))},
        )
        ring_release(release.pk, "probe")
    return alert


def receipt_link(code: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse('monitoring:receipt', args=[code])}"


def confirm_receipt(*, code: str, actor: User) -> Evidence:
    """A person says that a test alert reached them; that is the evidence for the item of the receipt.

    Refused where nothing was really delivered, where it was confirmed before, and after 24 hours.
    """
    with transaction.atomic():
        alert = Alert.objects.select_for_update(of=("self",)).filter(receipt_code=code, kind=AlertKind.TEST).first()
        if alert is None or alert.release is None:
            raise DomainError("There is no such test alert. Nothing was recorded; ask for a new one.")
        if not permissions.roles_in(actor, alert.application) & set(_RECEIVERS):
            raise NotAllowed(f"You have no role in {alert.application} that receives alerts. Nothing was recorded.")
        if alert.received_at is not None:
            raise StateChanged("Somebody has confirmed this test alert already. Nothing was changed.")
        delivered = list(alert.deliveries.filter(delivered_at__isnull=False).order_by("delivered_at"))
        if not delivered:
            raise DomainError("This alert was not delivered by any channel, so nobody can have received it.")
        now = timezone.now()
        if now - alert.created_at > RECEIPT_WITHIN:
            raise DomainError("This test alert is older than 24 hours. Nothing was recorded; send a new one.")
        Alert.objects.filter(pk=alert.pk).update(received_at=now, received_by=actor)
        return _record(alert, delivered, actor, now)


def _record(alert: Alert, delivered: list[AlertDelivery], actor: User, now: datetime) -> Evidence:
    release = alert.release
    assert release is not None
    took = now - alert.created_at
    item = ChecklistItem.objects.filter(release=release, receipt=TEST_RECEIPT).first()
    names = [delivery.channel for delivery in delivered]
    return evidence.record(
        release=release,
        source=EvidenceSource.RECEIPT,
        kind=TEST_RECEIPT,
        section="monitoring",
        section_digest=release.plan_version.sections.get("monitoring", ""),
        environment=release.target_environment,
        build_digest=release.build_digest,
        verdict=EvidenceVerdict.PASSED,
        # Without a name: the author is kept beside it, and an account may be erased.
        summary=f"A test alert over {', '.join(names)} was confirmed after {span(took)}."[:500],
        figures={"seconds": round(took.total_seconds(), 1), "channels": len(names)},
        valid_until=now + item.valid_for if item is not None and item.valid_for else None,
        author=actor,
    )
