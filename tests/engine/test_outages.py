"""Redis or PostgreSQL goes away while a run is under way: it ends well, and its log is whole."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from checks.engine import load
from tests.engine.outages import Outage
from tests.engine.support import application_with, check, log_lines, start
from tests.engine.workers import execute_elsewhere, relay, until, worker
from tests.factories import make_team

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = "i=0; while [ $i -lt 200 ]; do i=$((i + 1)); echo line $i; sleep 0.02; done"
COUNTED = [f"line {number}" for number in range(1, 201)]


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"command": check("test_command")}, folder=tmp_path)


@pytest.mark.campaign
def test_redis_is_killed_during_a_run(application: Any, own_redis: Any) -> None:
    run = start(application, "checks.command", params={"argv": ["sh", "-c", COUNT]})
    process = execute_elsewhere(run, REDIS_URL=own_redis.url)
    until(lambda: load(run.pk).log_lines > 30)
    own_redis.kill()
    assert process.wait(60) == 0
    ended = load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 1)
    assert log_lines(ended, kinds="o") == COUNTED


@pytest.mark.campaign
def test_postgresql_is_away_for_a_while_during_a_run(application: Any) -> None:
    run = start(application, "checks.command", params={"argv": ["sh", "-c", COUNT]})
    process = execute_elsewhere(run, RUN_LEASE_SECONDS=20)
    until(lambda: load(run.pk).log_lines > 30)
    with Outage():
        time.sleep(2)
    assert process.wait(60) == 0
    ended = load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 1)
    assert log_lines(ended, kinds="o") == COUNTED


@pytest.mark.campaign
def test_postgresql_is_away_longer_than_the_lease_so_nothing_runs_on(application: Any, tmp_path: Path) -> None:
    script = f"{COUNT}; touch finished"
    run = start(application, "checks.command", params={"argv": ["sh", "-c", script]})
    process = execute_elsewhere(run, RUN_LEASE_SECONDS=5)
    until(lambda: load(run.pk).log_lines > 10)
    with Outage():
        process.wait(30)
    assert not (tmp_path / "finished").exists()
    left = load(run.pk)
    assert left.state == "running", "only the reaper may say what becomes of it"
    lines = log_lines(left, kinds="o")
    assert lines == COUNTED[: len(lines)]


@pytest.mark.slow
@pytest.mark.campaign
def test_the_whole_chain_survives_both(application: Any, own_redis: Any, tmp_path: Path) -> None:
    """Relay and Celery worker: a run through an outage of both, then another one as if nothing had been."""
    team = make_team(application)
    with relay(REDIS_URL=own_redis.url) as relaying, worker(REDIS_URL=own_redis.url, RUN_LEASE_SECONDS=20) as working:
        run = start(application, "checks.command", params={"argv": ["sh", "-c", COUNT]}, actor=team.engineer)
        until(lambda: load(run.pk).log_lines > 20, seconds=60)
        own_redis.kill()
        with Outage():
            time.sleep(1)
        until(lambda: load(run.pk).state == "passed", seconds=60)
        assert log_lines(load(run.pk), kinds="o") == COUNTED
        second = start(application, "checks.command", actor=team.engineer)
        time.sleep(2)
        assert load(second.pk).state == "queued"
        own_redis.start()
        until(lambda: load(second.pk).state == "passed", seconds=60)
        assert (relaying.poll(), working.poll()) == (None, None), "neither of them left"
        relaying.terminate()
        assert relaying.wait(10) == 0
    assert own_redis.url != settings.REDIS_URL
