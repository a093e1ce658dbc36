"""Incidents open when a probe goes down, close when it is up again, and people are told of both."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from monitoring.domain import alert
from monitoring.enums import AlertKind
from monitoring.models import Incident, Probe
from releases import permissions
from releases.domain import ledger
from releases.domain.wording import moment, span
from releases.doorbell import ring_release
from releases.enums import ReleaseState, Role
from releases.errors import StateChanged
from releases.models import Environment, Release, User

_UNDER_WAY = (ReleaseState.DEPLOYING, ReleaseState.WATCHING, ReleaseState.FAILED, ReleaseState.UNKNOWN)
_ENDED = (ReleaseState.CANCELLED,)


def open_for(*, probe: Probe, at: datetime, reason: str) -> Incident | None:
    """Open an incident for this probe and tell the administrators; None where one is open already."""
    with transaction.atomic():
        found = Incident.objects.bulk_create(
            [Incident(probe=probe, opened_at=at, reason=reason[:300], release=_suspect(probe.environment))],
            ignore_conflicts=True,
        )
        opened = Incident.objects.filter(probe=probe, opened_at=at, closed_at__isnull=True).first()
        if not found or opened is None:
            return None
        environment = probe.environment
        _write("incident.opened", opened, None, {"reason": opened.reason, "opened_at": at})
        alert.raise_alert(
            application=environment.application,
            kind=AlertKind.OPENED,
            subject=f"{environment}: {probe.name} is down",
            body=f"{probe.name} is down since {moment(at)}: {opened.reason}.\n{probe.url}\n{_under_way(opened)}\n"
            f"{link(opened)}",
            release=opened.release,
            incident=opened,
        )
        _ring(environment)
    return opened


def close(*, probe: Probe, at: datetime, why: str = "") -> Incident | None:
    """Close the open incident of this probe and tell the administrators; None where none is open."""
    with transaction.atomic():
        one = Incident.objects.filter(probe=probe, closed_at__isnull=True).select_related("release").first()
        if one is None:
            return None
        at = max(at, one.opened_at)
        if not Incident.objects.filter(pk=one.pk, closed_at__isnull=True).update(closed_at=at):
            return None
        one.closed_at = at
        environment = probe.environment
        length = span(at - one.opened_at)
        _write("incident.closed", one, None, {"opened_at": one.opened_at, "closed_at": at, "why": why})
        alert.raise_alert(
            application=environment.application,
            kind=AlertKind.CLOSED,
            subject=f"{environment}: {probe.name} is up again after {length}"
            if not why
            else f"{environment}: {probe.name} is no longer watched",
            body=f"{why or f'{probe.name} was down for {length}, since {moment(one.opened_at)}.'}\n{link(one)}",
            release=one.release,
            incident=one,
        )
        _ring(environment)
    return one


def acknowledge(*, incident: Incident, actor: User) -> None:
    """Somebody says that they have taken notice. The incident stays open until its probe is up again."""
    application = incident.probe.environment.application
    permissions.require(actor, application, Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
    with transaction.atomic():
        changed = Incident.objects.filter(pk=incident.pk, acknowledged_at__isnull=True, closed_at__isnull=True).update(
            acknowledged_at=timezone.now(), acknowledged_by=actor
        )
        if not changed:
            raise StateChanged("The incident is closed, or somebody has taken notice of it already.")
        _write("incident.acknowledged", incident, actor, {"reason": incident.reason})
        _ring(incident.probe.environment)
    incident.refresh_from_db()


def link(incident: Incident) -> str:
    return f"{settings.PUBLIC_URL}{reverse('monitoring:incident', args=[incident.pk])}"


def _suspect(environment: Environment) -> Release | None:
    """The release under way here, else the one that runs here: what people will ask about first."""
    under_way = Release.objects.filter(target_environment=environment, state__in=_UNDER_WAY).first()
    return under_way or environment.current_release


def _under_way(incident: Incident) -> str:
    """Who is woken up should know at once that somebody is at work there."""
    release = incident.release
    if release is None or release.state not in _UNDER_WAY:
        return ""
    return f"{release} is “{release.get_state_display().lower()}” there.\n"


def _write(action: str, incident: Incident, actor: User | None, details: dict[str, Any]) -> None:
    environment = incident.probe.environment
    ledger.append(
        action=action,
        actor=actor,
        subject=incident,
        application=environment.application,
        release=incident.release,
        document={"probe": incident.probe.name, "environment": environment.name, "url": incident.probe.url, **details},
    )


def _ring(environment: Environment) -> None:
    """Pages of releases that go to this environment show its probes."""
    concerned = Release.objects.filter(target_environment=environment).exclude(state__in=_ENDED)
    for release_id in concerned.order_by("-created_at").values_list("pk", flat=True)[:20]:
        ring_release(release_id, "probe")
