"""What monitoring tells the gate: open incidents where a release is to go, and watches that ended badly."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from monitoring.enums import WatchState
from monitoring.models import Watch
from releases.domain.gate import Blocker, Statuses
from releases.domain.wording import moment
from releases.enums import GateVerdict, ReleaseState
from releases.models import Release
from releases.queries import plain_rows

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
    names = {release.target_environment_id: release.target_environment.name for release in releases}
    open_now = plain_rows(
        "SELECT i.id, i.opened_at, i.acknowledged_at, i.reason, p.name, p.environment_id FROM monitoring_incident i"
        " JOIN monitoring_probe p ON p.id = i.probe_id"
        " WHERE i.closed_at IS NULL AND p.environment_id = ANY(%s) ORDER BY i.opened_at",
        list(names),
    )
    for incident_id, opened_at, acknowledged_at, reason, probe, environment_id in open_now:
        places.setdefault(environment_id, []).append(
            Blocker(
                "incident_open",
                "Open incident",
                f"{probe} is down in {names[environment_id]} since {moment(opened_at)}: {reason}.",
                ("incident", str(incident_id)),
                GateVerdict.HOLD if acknowledged_at else GateVerdict.NO_GO,
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
