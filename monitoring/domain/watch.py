"""After a deploy a release is watched before it is called live: by what its probes answered, and nothing else.

Evaluated every few seconds by the prober. Every change is a conditional UPDATE under a lock of the release, so that
two probers do no harm. No data is never a pass: the watch waits for it, and then recommends a rollback as well.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from monitoring.domain import alert, slo
from monitoring.domain.probe import seconds_of, stale
from monitoring.enums import AlertKind, WatchState
from monitoring.models import Incident, Probe, Watch
from releases import permissions
from releases.domain import deploy, ledger
from releases.domain.transition import lock, require_state
from releases.domain.wording import span
from releases.doorbell import ring_release
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, StateChanged
from releases.models import Release, User

logger = logging.getLogger(__name__)

OPEN: Final = (WatchState.WATCHING, WatchState.HOLDING)
#: How long at least a watch waits for missing data after its time is over.
LEAST_HOLD: Final = timedelta(minutes=2)


@dataclass(frozen=True)
class Limits:
    """What the plan asks of a new release. Times in seconds; ``max_error_rate`` is a fraction."""

    duration: float
    max_error_rate: float
    max_response: float
    min_answers: int

    @classmethod
    def of(cls, release: Release) -> "Limits":
        declared: Mapping[str, Any] = release.plan_version.document["watch"]
        return cls(
            duration=seconds_of(declared["duration"]),
            max_error_rate=float(declared["max_error_rate"]),
            max_response=seconds_of(declared["max_response"]),
            min_answers=int(declared["min_answers"]),
        )


@dataclass(frozen=True)
class Finding:
    """One look at a watch. ``state`` PASSED means that the release may be called live."""

    state: WatchState
    reason: str
    figures: dict[str, Any]


def tick(now: datetime | None = None) -> int:
    """Look at every watched release; returns how many were decided. One that cannot be judged hinders no other."""
    decided = 0
    watched = Release.objects.filter(state=ReleaseState.WATCHING).values_list("pk", flat=True)
    for release_id in list(watched):
        try:
            decided += look(release_id=release_id, now=now)
        except StateChanged:
            continue
    return decided


def look(*, release_id: Any, now: datetime | None = None) -> bool:
    """Judge one watched release; True where that decided its watch."""
    now = now or timezone.now()
    with transaction.atomic():
        release = lock(Release(pk=release_id))
        if release.state != ReleaseState.WATCHING:
            return False
        watch = _current(release)
        if watch.state not in OPEN:
            return False
        finding = judge(release, watch, now)
        done = finding.state not in OPEN
        changed = Watch.objects.filter(pk=watch.pk, state__in=OPEN).update(
            state=finding.state,
            reason=finding.reason[:500],
            figures=finding.figures,
            looked_at=now,
            decided_at=now if done else None,
        )
        if not changed:
            return False
        if finding.state == WatchState.PASSED:
            deploy.went_live(release=release, figures=finding.figures)
        elif finding.state == WatchState.RECOMMENDED:
            _recommend(release, watch, finding)
        ring_release(release.pk, "probe")
    return done


def _current(release: Release) -> Watch:
    """The watch of this time in the state ``watching``; made at the first look."""
    newest = Watch.objects.filter(release=release, began_at__gte=release.state_since).first()
    if newest is not None:
        return newest
    Watch.objects.filter(release=release, state__in=OPEN).update(state=WatchState.SUPERSEDED, decided_at=timezone.now())
    until = release.watch_until or release.state_since + timedelta(seconds=Limits.of(release).duration)
    return Watch.objects.create(release=release, began_at=release.state_since, until=until)


def judge(release: Release, watch: Watch, now: datetime) -> Finding:
    """Compare the answers since the watch began with the plan's limits. Writes nothing."""
    limits = Limits.of(release)
    probes = list(Probe.objects.filter(environment=release.target_environment, enabled=True))
    together, each = slo.figures([probe.pk for probe in probes], watch.began_at, now)
    figures = together.as_json() | {"worst_p95_ms": slo.worst_p95(each), "probes": len(probes)}
    broken = _broken(release, watch, limits, together, figures["worst_p95_ms"])
    if broken:
        return Finding(WatchState.RECOMMENDED, broken, figures)
    if now < watch.until:
        return Finding(WatchState.WATCHING, f"Kept its limits so far, {together.answers} answers.", figures)
    # What was down before the watch began may come up while it lasts; at its end it must be up.
    if (still := _down(release).first()) is not None:
        return Finding(WatchState.RECOMMENDED, f"{still.probe.name} is still down: {still.reason}.", figures)
    missing = _missing(probes, each, together, limits, now)
    if not missing:
        return Finding(WatchState.PASSED, f"Kept its limits for {span(now - watch.began_at)}.", figures)
    patience = max(LEAST_HOLD, watch.until - watch.began_at)
    if now < watch.until + patience:
        return Finding(WatchState.HOLDING, f"{missing} It waits {span(watch.until + patience - now)} more.", figures)
    return Finding(WatchState.RECOMMENDED, f"{missing} No data is never a pass.", figures)


def _broken(release: Release, watch: Watch, limits: Limits, seen: slo.Figures, worst_p95: float | None) -> str:
    """Why the release does not keep its limits, "" while it does. Rates count from the plan's least number on."""
    down = _down(release).filter(opened_at__gte=watch.began_at).first()
    if down is not None:
        return f"{down.probe.name} is down: {down.reason}."
    if seen.answers < limits.min_answers:
        return ""
    if seen.error_rate is not None and seen.error_rate > limits.max_error_rate:
        return (
            f"{seen.error_rate:.1%} of {seen.answers} answers were wrong, and {limits.max_error_rate:.1%} are allowed."
        )
    if worst_p95 is not None and worst_p95 > limits.max_response * 1000:
        return (
            f"95 % of the answers took up to {worst_p95:.0f} ms, and {limits.max_response * 1000:.0f} ms are allowed."
        )
    return ""


def _down(release: Release) -> QuerySet[Incident]:
    """The incidents that are open where the release runs, the first to open first."""
    still = Incident.objects.filter(
        probe__environment=release.target_environment, probe__enabled=True, closed_at__isnull=True
    )
    return still.select_related("probe").order_by("opened_at")


def _missing(
    probes: Sequence[Probe], each: Mapping[int, slo.Figures], seen: slo.Figures, limits: Limits, now: datetime
) -> str:
    """What keeps the answers from saying anything, "" where they say enough."""
    if not probes:
        return "The plan has no probe in this environment, so nothing is known."
    silent = [probe.name for probe in probes if probe.pk not in each]
    if silent:
        return f"No answer of {silent[0]} was recorded since the deploy."
    if seen.answers < limits.min_answers:
        return f"{seen.answers} answers were recorded, and the plan asks for {limits.min_answers}."
    old = stale(probes, now)
    if old:
        return f"{old[0].name} has not been asked lately; the prober may not be running."
    return ""


def _recommend(release: Release, watch: Watch, finding: Finding) -> None:
    """Tell the administrators. The release stays watched; a person decides."""
    details = {"reason": finding.reason, "figures": finding.figures, "began_at": watch.began_at, "until": watch.until}
    ledger.append(
        action="watch.rollback_recommended",
        actor=None,
        subject=watch,
        application=release.application,
        release=release,
        document=details,
    )
    page = f"{settings.PUBLIC_URL}{reverse('releases:release', args=[release.pk])}"
    alert.raise_alert(
        application=release.application,
        kind=AlertKind.WATCH,
        subject=f"{release}: a rollback is recommended",
        body=f"{finding.reason}\nThe release stays as it is until a release manager decides.\n\n{page}",
        release=release,
    )
    ring_release(release.pk, "changed")


def restart(*, release: Release, actor: User, reason: str) -> Watch:
    """Watch once more, from now on, for the plan's time: after a false alarm, or once the cause is mended."""
    permissions.require(actor, release.application, Role.RELEASE_MANAGER)
    if not reason.strip():
        raise DomainError("Say why it is watched once more. Nothing was changed.", field="reason")
    with transaction.atomic():
        locked = lock(release)
        require_state(locked, ReleaseState.WATCHING)
        now = timezone.now()
        before = _current(locked)
        Watch.objects.filter(pk=before.pk).exclude(state=WatchState.SUPERSEDED).update(
            state=WatchState.SUPERSEDED, decided_at=now
        )
        until = now + timedelta(seconds=Limits.of(locked).duration)
        watch = Watch.objects.create(release=locked, began_at=now, until=until)
        Release.objects.filter(pk=locked.pk).update(watch_until=until)
        ledger.append(
            action="watch.restarted",
            actor=actor,
            subject=watch,
            application=locked.application,
            release=locked,
            document={
                "reason": reason.strip(),
                "until": until,
                "before": {"state": before.state, "reason": before.reason},
            },
        )
        ring_release(locked.pk, "changed")
        ring_release(locked.pk, "state")
    return watch
