"""Checks that the clock starts: who may keep a schedule, when it is due, and what happens when nobody starts it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from checks import lateness, scheduling, services, tasks
from checks.models import LateBackup, Outbox, Run, Schedule, StoredBackup
from config.celery import app
from monitoring.models import Alert
from releases.domain import ledger
from releases.enums import Role
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import Application, LedgerEntry
from tests.engine.support import check, stored
from tests.factories import make_application, member, publish

pytestmark = pytest.mark.django_db
CHECKS = {
    "backup": check("backup", "production"),
    "drill": check("drill", "production"),
    "smoke": check("smoke"),
    "retention": check("retention", "staging"),
}


@pytest.fixture
def application() -> Application:
    return make_application(plan={"checks": CHECKS})


def made(application: Application, section: str = "checks.backup", cron: str = "0 2 * * *", **more: Any) -> Schedule:
    values = {"environment": None, "zone": "UTC", "actor": None, **more}
    return scheduling.make_schedule(application=application, section=section, cron=cron, **values)


def due(schedule: Schedule, ago: timedelta = timedelta(seconds=1)) -> Schedule:
    Schedule.objects.filter(pk=schedule.pk).update(due_at=timezone.now() - ago)
    schedule.refresh_from_db()
    return schedule


def actions(application: Application) -> list[str]:
    ledger.seal_now()
    rows = LedgerEntry.objects.filter(application_id=application.pk).order_by("sequence")
    return [row.action for row in rows if row.action.startswith(("schedule.", "backup."))]


def test_a_rhythm_keeps_its_hour_when_the_clocks_change() -> None:
    berlin = "Europe/Berlin"
    summer = scheduling.next_after("30 4 * * *", berlin, datetime(2026, 10, 24, 12, tzinfo=UTC))
    winter = scheduling.next_after("30 4 * * *", berlin, summer)
    assert (summer, winter) == (
        datetime(2026, 10, 25, 3, 30, tzinfo=UTC), datetime(2026, 10, 26, 3, 30, tzinfo=UTC)
    )  # fmt: skip
    assert scheduling.next_after("30 4 * * *", berlin, datetime(2026, 10, 23, 12, tzinfo=UTC)) == datetime(
        2026, 10, 24, 2, 30, tzinfo=UTC
    )


@pytest.mark.parametrize("cron", ["every day", "61 * * * *", "0 0 31 2 *", "* * * *", "a b c d e", ""])
def test_a_rhythm_that_never_comes_or_is_none_is_refused(application: Application, cron: str) -> None:
    with pytest.raises(DomainError, match="Nothing was changed"):
        made(application, cron=cron)
    assert not Schedule.objects.exists()


def test_the_scheduler_reads_what_was_made_and_changed(application: Application) -> None:
    manager = member(application, Role.RELEASE_MANAGER)
    schedule = made(application)
    assert schedule.task is not None
    assert (schedule.task.task, schedule.task.enabled) == (scheduling.TASK, True)
    assert schedule.task.args == f"[{schedule.pk}]"
    assert app.tasks[scheduling.TASK] == tasks.start_scheduled
    changed = scheduling.change_schedule(schedule=schedule, cron="15 */6 * * *", zone="Europe/Berlin", actor=manager)
    rhythm = PeriodicTask.objects.get(pk=schedule.task.pk).crontab
    assert (rhythm.minute, rhythm.hour, str(rhythm.timezone)) == ("15", "*/6", "Europe/Berlin")
    assert changed.due_at is not None
    assert changed.due_at > timezone.now()
    paused = scheduling.pause_schedule(schedule=schedule, actor=manager, reason="the server moves")
    assert (paused.due_at, PeriodicTask.objects.get(pk=schedule.task.pk).enabled) == (None, False)
    scheduling.resume_schedule(schedule=schedule, actor=manager)
    assert PeriodicTask.objects.get(pk=schedule.task.pk).enabled
    scheduling.remove_schedule(schedule=schedule, actor=manager)
    assert not PeriodicTask.objects.filter(task=scheduling.TASK).exists()


def test_a_pause_needs_a_reason_and_happens_once(application: Application) -> None:
    manager, schedule = member(application, Role.RELEASE_MANAGER), made(application)
    with pytest.raises(DomainError, match="Say why"):
        scheduling.pause_schedule(schedule=schedule, actor=manager, reason=" ")
    scheduling.pause_schedule(schedule=schedule, actor=manager, reason="why not")
    with pytest.raises(StateChanged):
        scheduling.pause_schedule(schedule=schedule, actor=manager, reason="again")
    assert scheduling.start_due(schedule.pk, now=timezone.now() + timedelta(days=400)) is None


@pytest.mark.parametrize(
    ("role", "section", "may"),
    [
        (Role.RELEASE_MANAGER, "checks.backup", True),
        (Role.ADMINISTRATOR, "checks.backup", True),
        (Role.ENGINEER, "checks.backup", False),
        (Role.ENGINEER, "checks.retention", True),
        (Role.AUDITOR, "checks.retention", False),
        (Role.VIEWER, "checks.retention", False),
    ],
)
def test_production_is_kept_by_managers_and_the_rest_by_engineers_too(
    application: Application, role: Role, section: str, may: bool
) -> None:
    person = member(application, role)
    if may:
        assert made(application, section, actor=person).created_by == person
        return
    with pytest.raises(NotAllowed):
        made(application, section, actor=person)


def test_what_needs_a_release_cannot_be_scheduled(application: Application) -> None:
    for section in ("checks.smoke", "deploy", "checks.none"):
        with pytest.raises(DomainError):
            made(application, section, environment=application.environments.get(name="staging"))


def test_when_it_is_due_a_run_without_a_release_is_queued_by_the_program(application: Application) -> None:
    schedule = due(made(application))
    assert scheduling.start_due(schedule.pk) is not None
    run = Run.objects.get()
    assert (run.release, run.started_by, run.section, run.environment.name) == (
        None, None, "checks.backup", "production"
    )  # fmt: skip
    assert Outbox.objects.filter(run=run).count() == 1
    schedule.refresh_from_db()
    assert (schedule.last_run, schedule.last_refusal) == (run, "")
    assert schedule.due_at is not None
    assert schedule.due_at > timezone.now()


def test_a_message_that_comes_twice_or_too_early_starts_nothing(application: Application) -> None:
    schedule = due(made(application))
    assert scheduling.start_due(schedule.pk) is not None
    assert scheduling.start_due(schedule.pk) is None
    assert scheduling.start_due(schedule.pk + 1000) is None
    assert Run.objects.count() == 1


def test_while_the_run_before_is_under_way_nothing_starts_and_the_page_can_say_so(application: Application) -> None:
    schedule = due(made(application))
    first = scheduling.start_due(schedule.pk)
    due(schedule)
    assert scheduling.start_due(schedule.pk) is None
    schedule.refresh_from_db()
    assert first is not None
    assert f"Run #{first.number}" in schedule.last_refusal
    assert "schedule.refused" in actions(application)
    services.cancel_run(run=first, actor=member(application, Role.ENGINEER))
    due(schedule)
    assert scheduling.start_due(schedule.pk) is not None
    schedule.refresh_from_db()
    assert schedule.last_refusal == ""


def test_a_check_that_left_the_plan_is_told_and_starts_nothing(application: Application) -> None:
    schedule = due(made(application))
    publish(application, {"checks": {"drill": CHECKS["drill"]}})
    assert scheduling.start_due(schedule.pk) is None
    schedule.refresh_from_db()
    assert "has no check 'checks.backup'" in schedule.last_refusal


def test_a_missed_schedule_is_told_once_and_not_made_up_for(application: Application) -> None:
    publish(application, {"checks": CHECKS, "alerts": {"emails": ["operations@example.org"]}})
    # Far from the hour at which the tests run: a message may come an hour early.
    schedule = made(application, cron=f"0 {(timezone.now().hour + 6) % 24} * * *")
    schedule = due(schedule, scheduling.GRACE + timedelta(seconds=5))
    was_due = schedule.due_at
    for _ in range(3):
        lateness.look()
    schedule.refresh_from_db()
    assert schedule.missed_at == was_due
    assert schedule.due_at is not None
    assert schedule.due_at > timezone.now()
    (alert,) = Alert.objects.filter(application=application)
    assert "was not started" in alert.subject
    assert alert.deliveries.get().channel == "email:operations@example.org"
    assert actions(application).count("schedule.missed") == 1
    assert scheduling.start_due(schedule.pk) is None
    assert not Run.objects.exists()


def test_one_that_is_only_just_due_is_not_called_missed(application: Application) -> None:
    schedule = due(made(application), timedelta(minutes=2))
    lateness.look()
    schedule.refresh_from_db()
    assert schedule.missed_at is None
    assert scheduling.start_due(schedule.pk) is not None


def test_a_late_backup_is_told_once_and_again_when_it_is_in_time() -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    stored(application, timedelta(hours=5))
    lateness.look()
    assert not LateBackup.objects.exists()
    later = timezone.now() + timedelta(hours=2)
    for _ in range(3):
        lateness.look(later)
    late = LateBackup.objects.get()
    assert "the plan allows 6 h" in late.reason
    assert [alert.subject for alert in Alert.objects.all()] == [f"{application}: the backup of production is late"]
    stored(application, timedelta(minutes=1))
    lateness.look(later)
    assert not LateBackup.objects.exists()
    assert actions(application) == ["backup.late", "backup.in_time"]
    assert Alert.objects.count() == 2


def test_what_is_not_verified_faulty_or_removed_is_no_backup_in_time() -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    stored(application, timedelta(hours=7))
    stored(application, timedelta(hours=1), verified_at=None)
    stored(application, timedelta(hours=2), fault="flipped")
    stored(application, timedelta(hours=3), removed_at=timezone.now())
    lateness.look()
    assert LateBackup.objects.get().environment.name == "production"


LOST: dict[str, dict[str, Any]] = {
    "missing": {"missing_at": timezone.now()},
    "faulty": {"fault": "flipped", "verified_at": None},
    "removed": {"removed_at": timezone.now()},
}


@pytest.mark.parametrize("how", LOST)
def test_losing_the_last_sound_backup_never_ends_an_alarm(how: str) -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    stored(application, timedelta(hours=7))
    lateness.look()
    StoredBackup.objects.update(**LOST[how])
    lateness.look()
    assert f"is {how}" in LateBackup.objects.get().reason
    assert actions(application) == ["backup.late"]


@pytest.mark.parametrize("how", LOST)
def test_losing_every_backup_is_an_alarm_however_new_they_were(how: str) -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    stored(application, timedelta(minutes=1))
    lateness.look()
    assert not LateBackup.objects.exists()
    StoredBackup.objects.update(**LOST[how])
    lateness.look()
    assert "no verified backup is left" in LateBackup.objects.get().reason
    stored(application, timedelta(minutes=1))
    lateness.look()
    assert actions(application) == ["backup.late", "backup.in_time"]


def test_an_alarm_before_the_first_backup_is_not_ended_by_pausing_the_schedule() -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    made(application)
    Schedule.objects.update(created_at=timezone.now() - timedelta(hours=7))
    lateness.look()
    Schedule.objects.update(paused=True)
    lateness.look()
    assert LateBackup.objects.exists()


def test_without_any_backup_it_is_late_only_once_one_was_scheduled_for_so_long() -> None:
    application = make_application(plan={"checks": CHECKS, "recovery": {"rpo": "6h"}})
    lateness.look()
    assert not LateBackup.objects.exists()
    made(application)
    lateness.look()
    assert not LateBackup.objects.exists()
    Schedule.objects.update(created_at=timezone.now() - timedelta(hours=7))
    lateness.look()
    assert "no verified backup was taken" in LateBackup.objects.get().reason
