"""Taking a run: one worker gets it, and every later write of another one is refused."""

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from checks import engine
from checks.engine import load
from checks.errors import Fenced
from checks.models import LogChunk, RunStep
from tests.engine.support import application_with, check, log_lines, start
from tests.engine.workers import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    application = application_with({"command": check("test_command")}, folder=tmp_path)
    return start(application, "checks.command", params={"argv": ["sh", "-c", "echo once >> ran; echo line"]})


def test_twenty_workers_race_and_one_runs_it(run: Any, tmp_path: Path) -> None:
    barrier = threading.Barrier(20)
    problems: Counter[str] = Counter()

    def race() -> None:
        barrier.wait()
        try:
            engine.execute(run.pk)
        except Exception as error:  # noqa: BLE001 - counted and compared below
            problems[repr(error)] += 1
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    ended = load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 1)
    assert (tmp_path / "ran").read_text() == "once\n"
    assert log_lines(ended, kinds="o") == ["line"]


def _steal(run: Any) -> None:
    """What a reaper and another worker do: the run goes back to the queue and is claimed again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE checks_run SET state = 'queued', token = NULL, owner = NULL, lease_until = NULL WHERE id = %s",
            [run.pk],
        )
    assert engine._take(run.pk) is not None


def test_a_stale_worker_writes_nothing(run: Any, settings: Any) -> None:
    taken = engine._claim(run.pk)
    assert taken is not None
    stale = engine._Attempt(taken[0], taken[1], claimed_at=time.monotonic())
    stale._prepare()
    recorder = stale.recorder
    assert recorder is not None
    _steal(run)
    after = load(run.pk)

    with pytest.raises(Fenced):
        stale._run_kind()
    recorder.close()
    with pytest.raises(Fenced):
        stale._persist_end(engine.Ending(engine.RunState.PASSED, summary="stale"), "")

    now = load(run.pk)
    assert (now.state, now.token, now.attempt, now.log_lines) == ("running", after.token, 2, 0)
    assert not LogChunk.objects.filter(run=run).exists()
    assert not RunStep.objects.filter(run=run).exists()


def test_a_stale_worker_in_the_middle_of_a_command_stops_it(tmp_path: Path, settings: Any) -> None:
    settings.RUN_LEASE_SECONDS, settings.RUN_HEARTBEAT_SECONDS = 10, 1
    application = application_with({"command": check("test_command")}, folder=tmp_path)
    run = start(
        application, "checks.command", params={"argv": ["sh", "-c", "echo begun > begun; sleep 30; echo end > end"]}
    )
    thread = threading.Thread(target=lambda: (engine.execute(run.pk), connection.close()))
    thread.start()
    until((tmp_path / "begun").exists)
    _steal(run)
    thread.join(8)
    assert not thread.is_alive()
    assert not (tmp_path / "end").exists()
    now = load(run.pk)
    assert (now.state, now.attempt) == ("running", 2)
    assert not LogChunk.objects.filter(run=run, attempt=2).exists()
