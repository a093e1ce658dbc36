"""What monitoring tells the gate: open incidents where a release is to go, and watches that ended badly."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from monitoring.enums import WatchState
from monitoring.models import Incident, Watch
from releases.domain.gate import Blocker, Statuses
from releases.domain.wording import moment
from releases.enums import GateVerdict, ReleaseState
from releases.models import Release

#: A release that is under way may itself be the cause, and then the way out, forward or back, must stay open.
_BEFORE_LAUNCH: Final = (
    ReleaseState.DRAFT,
    ReleaseState.REHEARSING,
    ReleaseState.APPROVED,
    ReleaseState.ROLLED_BACK,
)


def blockers_of(releases: Sequence[Release], _statuses: Statuses, _at: datetime) -> Mapping[UUID, list[Blocker]]:
    """Blockers of many releases, in two queries."""
    waiting = [release for release in releases if release.state in _BEFORE_LAUNCH]
    watched = [release for release in releases if release.state == ReleaseState.WATCHING]
    return _incidents(waiting) | _recommended(watched)


def _incidents(releases: Sequence[Release]) -> dict[UUID, list[Blocker]]:
    if not releases:
        return {}
    places: dict[int, list[Blocker]] = {}
    found = Incident.objects.filter(
        closed_at__isnull=True, probe__environment__in={release.target_environment_id for release in releases}
    ).select_related("probe__environment")
    needed = ("opened_at", "acknowledged_at", "reason", "probe__name", "probe__environment__name")
    for incident in found.only(*needed).order_by("opened_at"):
        probe = incident.probe
        places.setdefault(probe.environment_id, []).append(
            Blocker(
                "incident_open",
                "Open incident",
                f"{probe.name} is down in {probe.environment.name} since {moment(incident.opened_at)}: "
                f"{incident.reason}.",
                ("incident", str(incident.pk)),
                GateVerdict.HOLD if incident.acknowledged_at else GateVerdict.NO_GO,
            )
        )
    return {release.pk: places.get(release.target_environment_id, []) for release in releases}


def _recommended(releases: Sequence[Release]) -> dict[UUID, list[Blocker]]:
    if not releases:
        return {}
    newest = Watch.objects.filter(release__in=[release.pk for release in releases])
    return {
        watch.release_id: [
            Blocker(
                "watch_rollback",
                "Rollback recommended",
                watch.reason,
                ("watch", str(watch.release_id)),
                GateVerdict.NO_GO,
            )
        ]
        for watch in newest.order_by("release_id", "-began_at").distinct("release_id")
        if watch.state == WatchState.RECOMMENDED
    }
