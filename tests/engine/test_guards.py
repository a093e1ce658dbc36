"""What the database itself refuses about runs."""

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import Error

from checks.enums import RUN_TRANSITIONS, RunState
from checks.models import LogChunk, Run
from tests.engine.support import application_with, check, run_section, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"command": check("test_command")}, folder=tmp_path)


def test_the_database_has_the_same_ways_as_the_program() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a, b FROM unnest(%s::text[]) a, unnest(%s::text[]) b WHERE checks_run_way_allowed(a, b)",
            [RunState.values, RunState.values],
        )
        allowed = set(cursor.fetchall())
    assert allowed == {(before, after) for before, afters in RUN_TRANSITIONS.items() for after in afters}


def test_an_ended_run_cannot_be_made_green(application: Any) -> None:
    run = run_section(application, "checks.command", params={"passed": False})
    with pytest.raises(IntegrityError, match="cannot become"):
        Run.objects.filter(pk=run.pk).update(state="passed")


def test_a_queued_run_cannot_pass_without_running(application: Any) -> None:
    run = start(application, "checks.command")
    with pytest.raises(IntegrityError, match="cannot become"):
        Run.objects.filter(pk=run.pk).update(state="passed", ended_at="2026-01-01T00:00Z")


def test_lines_of_a_log_are_not_changed(application: Any) -> None:
    run = run_section(application, "checks.command")
    with pytest.raises(Error, match="never changed"):
        LogChunk.objects.filter(run=run).update(body="nothing happened")


def test_lines_of_a_log_are_not_deleted(application: Any) -> None:
    run = run_section(application, "checks.command")
    with pytest.raises(Error, match="only with their run"), transaction.atomic():
        LogChunk.objects.filter(run=run).delete()
    assert LogChunk.objects.filter(run=run).exists()


def test_a_run_takes_its_log_with_it(application: Any) -> None:
    run = run_section(application, "checks.command")
    Run.objects.get(pk=run.pk).delete()
    assert not LogChunk.objects.filter(run_id=run.pk).exists()


def test_every_outbox_row_rings(application: Any) -> None:
    import psycopg

    from tests.engine.workers import database_url

    with psycopg.connect(database_url(), autocommit=True) as listener:
        listener.execute("LISTEN gonogo_outbox")
        start(application, "checks.command")
        assert list(listener.notifies(timeout=5, stop_after=1))
