"""A drill judges what a backup makes, so it goes to a worker after the backup that is under way."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from checks import ending, services, starting
from checks.engine import load
from checks.enums import RunState
from checks.models import Outbox, Run
from releases.models import Application
from tests.engine.support import check
from tests.factories import make_application, make_release, make_team

pytestmark = pytest.mark.django_db
CHECKS = {"drill": check("drill", "production"), "backup": check("backup", "production")}


@pytest.fixture
def application() -> Application:
    return make_application(plan={"checks": CHECKS})


def started(application: Application, section: str) -> Run:
    return services.start_run(application=application, section=section, actor=None)


def end(run: Run, state: RunState) -> None:
    now = timezone.now()
    claimed = {"attempt": 1, "token": run.number, "owner": uuid.uuid4(), "started_at": now}
    Run.objects.filter(pk=run.pk).update(state=RunState.RUNNING, lease_until=now + timedelta(hours=1), **claimed)
    ending.end_run(load(run.pk), ending.Ending(state))


def waits(run: Run) -> bool:
    return not Outbox.objects.filter(run=run).exists()


def test_a_drill_waits_for_the_backup_under_way_whatever_that_comes_to(application: Application) -> None:
    for state in (RunState.PASSED, RunState.ERRORED):
        backup = started(application, "checks.backup")
        drill = started(application, "checks.drill")
        assert drill.waits_for == backup
        assert waits(drill)
        end(backup, state)
        assert not waits(drill)
        end(drill, RunState.PASSED)


def test_a_drill_goes_at_once_where_no_backup_is_under_way(application: Application) -> None:
    drill = started(application, "checks.drill")
    assert drill.waits_for is None
    assert not waits(drill)


def test_a_backup_that_is_cancelled_lets_the_drill_go(application: Application) -> None:
    team = make_team(application)
    backup, drill = started(application, "checks.backup"), started(application, "checks.drill")
    services.cancel_run(run=backup, actor=team.engineer)
    assert not waits(drill)


def test_a_drill_that_is_cancelled_while_it_waits_never_goes(application: Application) -> None:
    team = make_team(application)
    backup, drill = started(application, "checks.backup"), started(application, "checks.drill")
    services.cancel_run(run=drill, actor=team.engineer)
    end(backup, RunState.PASSED)
    assert waits(drill)


def test_run_again_what_blocks_starts_the_backup_before_its_drill(application: Application) -> None:
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    started_runs, _ = starting.start_blocking(release=release, actor=team.engineer)
    assert [run.kind for run in started_runs] == ["backup", "drill"]
    assert started_runs[1].waits_for == started_runs[0]
