"""What did not happen in time: schedules that nobody started, backups older than the plan allows.

Looked at by the relay, which is another process than the scheduler, so that a scheduler that is dead is noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from checks import scheduling
from checks.models import LateBackup, Schedule, StoredBackup
from checks.plan import read_duration
from releases.domain import ledger, notice
from releases.domain.wording import moment, span
from releases.models import Application, Environment, PlanVersion


def look(now: datetime | None = None) -> None:
    """Notice and tell everything that is late now; each once. Safe in several processes."""
    now = now or timezone.now()
    _missed(now)
    for late in backups_due(now):
        _judge(late, now)


def _missed(now: datetime) -> None:
    overdue = Schedule.objects.filter(due_at__lt=now - scheduling.GRACE).select_related("application", "environment")
    for schedule in overdue:
        due = schedule.due_at
        assert due is not None
        with transaction.atomic():
            if not scheduling.note_missed(schedule, now):
                continue
            notice.tell(
                application=schedule.application,
                subject=f"{schedule.application}: {_check(schedule)} of {schedule.environment.name} was not started",
                body=(
                    f"{schedule.section} in {schedule.environment.name} was due {moment(due)} and was not started "
                    f"within {span(scheduling.GRACE)}: the scheduler was not running, or no worker was free.\n"
                    f"It was not started later. Look at the scheduler and the workers, then start it by hand:\n\n"
                    f"{settings.PUBLIC_URL}{reverse('checks:schedules', args=[schedule.application.slug])}"
                ),
            )


def _check(schedule: Schedule) -> str:
    return schedule.section.removeprefix("checks.")


@dataclass(frozen=True)
class BackupState:
    """How old the newest sound backup of an environment is, against the plan. ``target``: the plan's RPO.

    ``last``: the newest of all that were ever taken, sound or not, there or gone.
    """

    environment: Environment
    newest: StoredBackup | None
    last: StoredBackup | None
    target: timedelta
    waits_since: datetime | None

    def reason(self, now: datetime) -> str:
        """Why it is late, "" while it is not.

        Before the first backup the time runs from its first schedule on. Where there were some and none of them is
        sound, everything would be lost, however new they are.
        """
        if self.newest is None and self.last is not None:
            taken = f"the last one, of {moment(self.last.snapshot_at)}, is {self.last.look}"
            return f"no verified backup is left: {taken}, and the plan allows {span(self.target)} (RPO)"
        begin = self.newest.snapshot_at if self.newest is not None else self.waits_since
        if begin is None or now - begin <= self.target:
            return ""
        allowed = f"the plan allows {span(self.target)} (RPO)"
        if self.newest is None:
            return f"no verified backup was taken in {span(now - begin)}, and {allowed}"
        return f"the newest verified backup is {span(now - begin)} old, and {allowed}"


@dataclass(frozen=True)
class _Declared:
    """What a plan says of the backups of one environment. ``sections``: its checks of the kind backup."""

    target: timedelta
    sections: frozenset[str]


def backups_due(now: datetime, application: Application | None = None) -> list[BackupState]:
    """Every environment whose newest plan declares a backup; a fixed number of queries."""
    declared = _declared(application)
    places = Environment.objects.filter(application__in={key[0] for key in declared}).select_related("application")
    wanted = {place.pk: place for place in places if (place.application_id, place.name) in declared}
    taken = StoredBackup.objects.filter(environment__in=wanted)
    newest = _newest(taken.filter(removed_at=None, missing_at=None, fault="", verified_at__isnull=False))
    last = _newest(taken)
    since: dict[int, datetime] = {}
    for schedule in Schedule.objects.filter(paused=False, environment__in=wanted).select_related("environment"):
        if schedule.section in declared[schedule.application_id, schedule.environment.name].sections:
            since[schedule.environment_id] = min(schedule.created_at, since.get(schedule.environment_id, now))
    return [
        BackupState(
            place, newest.get(pk), last.get(pk), declared[place.application_id, place.name].target, since.get(pk)
        )
        for pk, place in wanted.items()
    ]


def _newest(backups: QuerySet[StoredBackup]) -> dict[int, StoredBackup]:
    """Environment id -> the newest of these backups."""
    ordered = backups.order_by("environment_id", "-snapshot_at")
    return {row.environment_id: row for row in ordered.distinct("environment_id")}


def _declared(application: Application | None) -> dict[tuple[int, str], _Declared]:
    """(application id, environment name) -> what its newest plan declares."""
    versions = PlanVersion.objects.order_by("application_id", "-number").distinct("application_id").defer("text")
    if application is not None:
        versions = versions.filter(application=application)
    found: dict[tuple[int, str], _Declared] = {}
    for version in versions:
        target = read_duration(version.document["recovery"]["rpo"])
        for name, sections in _backups_of(version.document).items():
            found[version.application_id, name] = _Declared(target, frozenset(sections))
    return found


def _backups_of(document: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, check in document.get("checks", {}).items():
        if check["kind"] == "backup":
            found.setdefault(check["environment"], []).append(f"checks.{key}")
    return found


def _judge(state: BackupState, now: datetime) -> None:
    """Tell when it has become late, and when it is in time again; each once. Only a sound backup ends it."""
    reason = state.reason(now)
    known = LateBackup.objects.filter(environment=state.environment).first()
    if reason and known is None:
        _begin(state, reason, now)
    elif reason and known is not None and known.reason != reason:
        LateBackup.objects.filter(pk=known.pk).update(reason=reason)
    elif not reason and known is not None and state.newest is not None:
        _end(state, known)


@transaction.atomic
def _begin(state: BackupState, reason: str, now: datetime) -> None:
    place = state.environment
    _, is_new = LateBackup.objects.get_or_create(environment=place, defaults={"since": now, "reason": reason})
    if not is_new:
        return
    ledger.append(
        action="backup.late", actor=None, subject=place, application=place.application,
        document={"environment": place.name, "reason": reason},
    )  # fmt: skip
    notice.tell(
        application=place.application,
        subject=f"{place.application}: the backup of {place.name} is late",
        body=f"In {place.name}, {reason}.\nLook why, and take one:\n\n{_page(place)}",
    )


@transaction.atomic
def _end(state: BackupState, known: LateBackup) -> None:
    place = state.environment
    if not LateBackup.objects.filter(pk=known.pk).delete()[0]:
        return
    ledger.append(
        action="backup.in_time", actor=None, subject=place, application=place.application,
        document={"environment": place.name, "late_since": known.since},
    )  # fmt: skip
    notice.tell(
        application=place.application,
        subject=f"{place.application}: the backup of {place.name} is in time again",
        body=f"It was late since {moment(known.since)}.\n\n{_page(place)}",
    )


def _page(place: Environment) -> str:
    return f"{settings.PUBLIC_URL}{reverse('checks:backups', args=[place.application.slug, place.name])}"
