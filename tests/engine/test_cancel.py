"""Stopping a run."""

import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from checks import engine, services
from checks.engine import load
from releases.errors import NotAllowed, StateChanged
from tests.engine.support import application_with, check, log_lines, run_section, start
from tests.engine.workers import processes_with, until
from tests.factories import make_team

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path, settings: Any) -> Any:
    settings.RUN_GRACE_SECONDS, settings.RUN_HEARTBEAT_SECONDS = 1, 1
    return application_with({"command": check("test_command")}, folder=tmp_path)


def _execute_beside(run: Any) -> threading.Thread:
    thread = threading.Thread(target=lambda: (engine.execute(run.pk), connection.close()))
    thread.start()
    return thread


def test_a_queued_run_ends_at_once_and_is_never_run(application: Any, tmp_path: Path) -> None:
    team = make_team(application)
    run = start(application, "checks.command", params={"argv": ["touch", "ran"]})
    assert services.cancel_run(run=run, actor=team.engineer).state == "cancelled"
    engine.execute(run.pk)
    assert load(run.pk).state == "cancelled"
    assert not (tmp_path / "ran").exists()


def test_it_asks_politely_first(application: Any) -> None:
    team = make_team(application)
    script = "trap 'echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    run = start(application, "checks.command", params={"argv": ["sh", "-c", script]})
    thread = _execute_beside(run)
    until(lambda: "ready" in log_lines(run, attempt=1))
    services.cancel_run(run=run, actor=team.engineer)
    thread.join(8)
    ended = load(run.pk)
    assert (ended.state, ended.verdict) == ("cancelled", "")
    assert log_lines(ended, kinds="o")[-1] == "cleaned up"
    assert list(ended.steps.values_list("state", flat=True)) == ["cancelled", "skipped"]


def test_a_stubborn_family_that_ignores_the_request_is_killed(application: Any) -> None:
    team = make_team(application)
    marker = f"stubborn-{uuid4()}"
    grandchild = f"trap '' TERM INT HUP; echo hidden; while :; do sleep 0.1; done; : {marker}"
    script = f"trap '' TERM; (setsid sh -c \"{grandchild}\" & ) ; echo ready; while :; do sleep 0.1; done; : {marker}"
    run = start(application, "checks.command", params={"argv": ["sh", "-c", script]})
    thread = _execute_beside(run)
    until(lambda: {"ready", "hidden"} <= set(log_lines(run, attempt=1)))
    assert len(processes_with(marker)) >= 3
    asked = time.monotonic()
    services.cancel_run(run=run, actor=team.engineer)
    thread.join(10)
    assert load(run.pk).state == "cancelled"
    assert time.monotonic() - asked < 6
    assert not processes_with(marker)


def test_an_ended_run_cannot_be_cancelled(application: Any) -> None:
    team = make_team(application)
    run = run_section(application, "checks.command")
    with pytest.raises(StateChanged, match="already ended"):
        services.cancel_run(run=run, actor=team.engineer)


def test_a_viewer_may_not_cancel(application: Any) -> None:
    team = make_team(application)
    run = start(application, "checks.command")
    with pytest.raises(NotAllowed):
        services.cancel_run(run=run, actor=team.viewer)
    assert load(run.pk).state == "queued"


def test_a_command_leaves_nothing_behind(application: Any) -> None:
    marker = f"left-{uuid4()}"
    script = f"(setsid sh -c 'sleep 60; : {marker}' >/dev/null 2>&1 &); echo gone"
    run = run_section(application, "checks.command", params={"argv": ["sh", "-c", script]})
    assert run.state == "passed"
    assert not processes_with(marker)


def test_a_deployment_may_leave_a_daemon(tmp_path: Path) -> None:
    import os
    import signal

    marker = f"daemon-{uuid4()}"
    application = application_with({"exclusive": check("test_exclusive")}, folder=tmp_path)
    script = f"(setsid sh -c 'sleep 60; : {marker}' >/dev/null 2>&1 &); echo started"
    run = run_section(application, "checks.exclusive", params={"argv": ["sh", "-c", script]})
    assert run.state == "passed"
    left = processes_with(marker)
    assert left
    for pid in left:
        os.killpg(os.getpgid(pid), signal.SIGKILL)
