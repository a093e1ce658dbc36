"""Verbs about schedules: make, change, pause, resume, remove; and what happens when one is due or was missed.

The scheduler (celery beat) reads the row ``Schedule.task`` and sends a message when it is due; ``start_due`` starts the
run. ``due_at`` is ours: a message that comes twice starts nothing twice, and a due time that passed without a start is
noticed by the relay, which is another process (``checks.lateness``).
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from checks import services
from checks.kinds.base import all_kinds, get_kind
from checks.models import Run, Schedule
from checks.plan import Plan, from_document
from releases.domain import ledger
from releases.enums import Role
from releases.errors import DomainError, StateChanged
from releases.models import Application, Environment, PlanVersion, User
from releases.permissions import require

TASK: Final = "checks.start_scheduled"
#: A message may come this late before its due time counts as missed: a worker may be busy for a while.
GRACE: Final = timedelta(minutes=10)
#: The rhythm and our own due time may differ by the hour that a clock is put forward or back.
CLOCK_CHANGE: Final = timedelta(hours=1)
_KEEPERS: Final = (Role.RELEASE_MANAGER, Role.ADMINISTRATOR)


def next_after(cron: str, zone: str, moment: datetime) -> datetime:
    """When a rhythm is due next after ``moment``, UTC. Raises DomainError for a rhythm that never comes or no zone."""
    place = ZoneInfo(zone)
    rhythm = _crontab(cron, place)
    local = moment.astimezone(place)
    rhythm.nowfun = lambda: local
    try:
        left = rhythm.remaining_estimate(local)
    except (OverflowError, RuntimeError, ValueError):
        raise DomainError(f"The rhythm {cron!r} never comes. Nothing was changed.", field="cron") from None
    due: datetime = (local.astimezone(UTC) + left).replace(microsecond=0)
    if left > timedelta(days=4 * 366):
        raise DomainError(f"The rhythm {cron!r} never comes. Nothing was changed.", field="cron")
    return due


def _crontab(cron: str, zone: ZoneInfo) -> Any:
    fields = cron.split()
    if len(fields) != 5:
        raise DomainError(
            "A rhythm has five fields: minute, hour, day of the month, month, day of the week. Nothing was changed.",
            field="cron",
        )
    minute, hour, day, month, weekday = fields
    try:
        return TzAwareCrontab(
            minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, tz=zone
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DomainError(f"The rhythm {cron!r} cannot be read: {error}. Nothing was changed.", field="cron") from None


def schedulable(plan: Plan) -> list[str]:
    """The plan's checks that need no release, by their keys: those that can be started by the clock."""
    startable = {kind.name for kind in all_kinds() if not kind.needs_release and not kind.judges_running_build}
    return [key for key, check in plan.checks.items() if check.kind in startable]


@transaction.atomic
def make_schedule(
    *, application: Application, section: str, environment: Environment | None, cron: str, zone: str, actor: User | None
) -> Schedule:
    """Start a check of the plan on a rhythm, without a release. ``actor`` None: the program's own set-up.

    By a release manager or administrator; an engineer outside of production. Raises NotAllowed and DomainError.
    """
    place = environment or _planned_environment(application, section)
    _may(application, place, actor)
    _refuse(application, section, place)
    cron = " ".join(cron.split())
    schedule = Schedule(
        application=application, environment=place, section=section, cron=cron, zone=_zone(zone),
        created_by=actor, created_at=timezone.now(), due_at=next_after(cron, _zone(zone), timezone.now()),
    )  # fmt: skip
    _save(schedule)
    _tell("schedule.made", schedule, actor, {"after": _facts(schedule)})
    return schedule


@transaction.atomic
def change_schedule(*, schedule: Schedule, cron: str, zone: str, actor: User) -> Schedule:
    """Give it another rhythm; what was due before that is due no more."""
    locked = _lock(schedule, actor)
    before = _facts(locked)
    locked.cron, locked.zone = " ".join(cron.split()), _zone(zone)
    due = next_after(locked.cron, locked.zone, timezone.now())
    locked.due_at = None if locked.paused else due
    _save(locked)
    _tell("schedule.changed", locked, actor, {"before": before, "after": _facts(locked)})
    return locked


@transaction.atomic
def pause_schedule(*, schedule: Schedule, actor: User, reason: str) -> Schedule:
    """Nothing is started until it is resumed; a reason is asked for, since data may go unprotected meanwhile."""
    locked = _lock(schedule, actor)
    if not reason.strip():
        raise DomainError("Say why it is paused. Nothing was changed.", field="reason")
    if locked.paused:
        raise StateChanged("It is paused already. Nothing was changed.")
    locked.paused, locked.due_at = True, None
    _save(locked)
    _tell("schedule.paused", locked, actor, {"reason": reason.strip(), "after": _facts(locked)})
    return locked


@transaction.atomic
def resume_schedule(*, schedule: Schedule, actor: User) -> Schedule:
    locked = _lock(schedule, actor)
    if not locked.paused:
        raise StateChanged("It is not paused. Nothing was changed.")
    locked.paused, locked.due_at = False, next_after(locked.cron, locked.zone, timezone.now())
    _save(locked)
    _tell("schedule.resumed", locked, actor, {"after": _facts(locked)})
    return locked


@transaction.atomic
def remove_schedule(*, schedule: Schedule, actor: User) -> None:
    """Take it away; the runs that it started stay."""
    locked = _lock(schedule, actor)
    _tell("schedule.removed", locked, actor, {"before": _facts(locked)})
    if locked.task is not None:
        locked.task.delete()
    locked.delete()


def start_now(*, schedule: Schedule, actor: User) -> Run:
    """Start what it would start, at once and by a person; its rhythm stays as it is."""
    return services.start_run(
        application=schedule.application, section=schedule.section, environment=schedule.environment, actor=actor
    )


def start_due(schedule_id: int, *, now: datetime | None = None) -> Run | None:
    """The scheduler says that it is due. Starts one run for each due time; a refusal is kept and told in the ledger.

    None: it is not due (a second message), paused, removed, or refused.
    """
    now = now or timezone.now()
    with transaction.atomic():
        schedule = _locked(schedule_id)
        if schedule is None or schedule.due_at is None or schedule.due_at - _slack(schedule) > now:
            return None
        schedule.due_at = next_after(schedule.cron, schedule.zone, max(now, schedule.due_at))
        schedule.last_started_at = now
        run, refusal = _start(schedule)
        if run is not None:
            schedule.last_run = run
        schedule.last_refusal = refusal[:500]
        schedule.save(update_fields=["due_at", "last_started_at", "last_run", "last_refusal"])
        if refusal:
            _tell("schedule.refused", schedule, None, {"reason": refusal, "after": _facts(schedule)})
    return run


def _start(schedule: Schedule) -> tuple[Run | None, str]:
    before = schedule.last_run
    if before is not None and before.active:
        return None, f"Run #{before.number}, which it started before, is still under way."
    try:
        with transaction.atomic():
            return services.start_run(
                application=schedule.application, section=schedule.section, environment=schedule.environment, actor=None
            ), ""
    except DomainError as error:
        return None, error.message


def _slack(schedule: Schedule) -> timedelta:
    """How early a message may come: less than half a beat, at most the hour of a change of clocks."""
    assert schedule.due_at is not None
    following = next_after(schedule.cron, schedule.zone, schedule.due_at)
    return min(CLOCK_CHANGE, (following - schedule.due_at) / 2)


@transaction.atomic
def note_missed(schedule: Schedule, now: datetime) -> bool:
    """Its due time passed, and nothing started it; True where this call was the one that noticed."""
    locked = _locked(schedule.pk)
    if locked is None or locked.due_at is None or now - locked.due_at < GRACE:
        return False
    missed, locked.missed_at = locked.due_at, locked.due_at
    locked.due_at = next_after(locked.cron, locked.zone, now)
    locked.save(update_fields=["missed_at", "due_at"])
    _tell("schedule.missed", locked, None, {"due_at": missed, "after": _facts(locked)})
    return True


def _locked(schedule_id: int) -> Schedule | None:
    rows = Schedule.objects.select_related("application", "environment", "last_run", "task")
    return rows.select_for_update(of=("self",)).filter(pk=schedule_id).first()


def _lock(schedule: Schedule, actor: User) -> Schedule:
    _may(schedule.application, schedule.environment, actor)
    locked = _locked(schedule.pk)
    if locked is None:
        raise StateChanged("Somebody has removed this schedule. Nothing was changed.")
    return locked


def _may(application: Application, place: Environment, actor: User | None) -> None:
    if actor is not None:
        engineers = () if place.is_production else (Role.ENGINEER,)
        require(actor, application, *_KEEPERS, *engineers)


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        raise DomainError(f"There is no time zone {name!r}. Nothing was changed.", field="zone") from None


def _plan(application: Application) -> Plan:
    try:
        return from_document(application.current_plan.document)
    except PlanVersion.DoesNotExist:
        raise DomainError(f"{application} has no plan yet. Publish one first.") from None


def _planned_environment(application: Application, section: str) -> Environment:
    check = _plan(application).checks.get(section.removeprefix("checks."))
    place = application.environments.filter(name=check.environment).first() if check else None
    if place is None:
        raise DomainError("The plan has no such check. Nothing was changed.", field="section")
    return place


def _refuse(application: Application, section: str, place: Environment) -> None:
    plan = _plan(application)
    key = section.removeprefix("checks.")
    if not section.startswith("checks.") or key not in plan.checks:
        raise DomainError(f"The newest plan has no check {section!r}. Nothing was changed.", field="section")
    if key not in schedulable(plan):
        raise DomainError(
            f"{plan.checks[key].title} is about one release, so no clock can start it. Nothing was changed.",
            field="section",
        )
    if place.application_id != application.pk or place.name not in plan.environments:
        raise DomainError(f"The plan has no environment {place.name}. Nothing was changed.", field="environment")
    kind = get_kind(plan.checks[key].kind)
    if place.tier not in kind.tiers:
        raise DomainError(f"{kind.title} may not run in {place.name}. Nothing was changed.", field="environment")


def _save(schedule: Schedule) -> None:
    """Write it and the row that the scheduler reads."""
    minute, hour, day, month, weekday = schedule.cron.split()
    try:
        rhythm, _ = CrontabSchedule.objects.get_or_create(
            minute=minute, hour=hour, day_of_month=day, month_of_year=month, day_of_week=weekday, timezone=schedule.zone
        )
        with transaction.atomic():
            schedule.save()
    except IntegrityError:
        raise DomainError("There is a schedule of this check on this rhythm already. Nothing was changed.") from None
    except ValidationError as error:
        raise DomainError(f"The rhythm cannot be kept: {'; '.join(error.messages)}", field="cron") from None
    task = schedule.task or PeriodicTask(name=f"gonogo schedule {schedule.pk}", task=TASK)
    task.crontab, task.enabled, task.args = rhythm, not schedule.paused, json.dumps([schedule.pk])
    # What could not begin in time has been told as missed by then.
    task.expire_seconds = int(GRACE.total_seconds())
    # From now on: a rhythm that was changed or resumed does not make up for what it would have done before.
    task.last_run_at = timezone.now()
    task.save()
    if schedule.task_id != task.pk:
        schedule.task = task
        schedule.save(update_fields=["task"])


def _facts(schedule: Schedule) -> dict[str, Any]:
    return {
        "section": schedule.section,
        "environment": schedule.environment.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "paused": schedule.paused,
        "due_at": schedule.due_at,
    }


def _tell(action: str, schedule: Schedule, actor: User | None, document: dict[str, Any]) -> None:
    ledger.append(action=action, actor=actor, subject=schedule, application=schedule.application, document=document)
