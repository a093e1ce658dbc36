"""Workers that die: what they ran dies too, checks run again, what changes an environment waits for a person."""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from checks import engine, reaper, services
from checks.engine import load
from checks.models import Outbox, Run
from releases.domain.environment import set_secret
from releases.domain.gate import evaluate
from releases.errors import StateChanged
from releases.models import LedgerEntry
from tests.engine.support import application_with, check, log_lines, start
from tests.engine.workers import execute_elsewhere, kill_tree, processes_with, relay, until
from tests.factories import ReleaseFactory, make_team
from tests.kinds_data.support import databases, shop

pytestmark = pytest.mark.django_db(transaction=True)

#: Counts to 400 slowly in its first attempt, at once in the next; each line says its number.
COUNT = """
n=$(cat attempts 2>/dev/null || echo 0); echo $((n + 1)) > attempts
i=0; while [ $i -lt 400 ]; do i=$((i + 1)); echo "line $i"; [ $n -gt 0 ] || sleep 0.02; done
echo done >> finished
"""


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"command": check("test_command"), "exclusive": check("test_exclusive")}, folder=tmp_path)


def _reaped(run: Any) -> Any:
    return until(lambda: [each for each in reaper.reap() if each.pk == run.pk], seconds=12)[0]


def _forty_lines(run: Any) -> bool:
    return load(run.pk).log_lines > 40


def test_what_the_next_attempt_has_begun_is_not_cleared_away_with_the_dead_one(application: Any, settings: Any) -> None:
    run = start(application, "checks.command", params={"argv": ["true"]})
    past = timezone.now() - timedelta(seconds=1)
    Run.objects.filter(pk=run.pk).update(state="running", attempt=1, token=-1, owner=uuid4(), lease_until=past)
    dead, living = (Path(settings.WORK_ROOT) / str(run.pk) / attempt / "file" for attempt in ("1", "2"))
    for path in (dead, living):
        path.parent.mkdir(parents=True)
        path.touch()
    assert [each.state for each in reaper.reap()] == ["queued"]
    assert not dead.exists()
    assert living.exists()


def test_a_killed_worker_gives_a_check_back_and_it_is_done_once(application: Any, tmp_path: Path) -> None:
    run = start(application, "checks.command", params={"argv": ["sh", "-c", COUNT]})
    worker = execute_elsewhere(run)
    until(lambda: _forty_lines(run))
    kill_tree(worker)
    began = time.monotonic()
    assert reaper.reap() == [], "the lease still runs"
    assert _reaped(run).state == "queued"
    assert time.monotonic() - began < 8
    assert Outbox.objects.filter(run=run, published_at__isnull=True).count() == 2

    engine.execute(run.pk)
    ended = load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 2)
    assert (tmp_path / "finished").read_text() == "done\n"
    counted = [f"line {number}" for number in range(1, 401)]
    assert log_lines(ended, kinds="o") == counted
    first = log_lines(ended, attempt=1, kinds="o")
    assert first == counted[: len(first)]
    assert len(first) > 30
    assert list(ended.steps.filter(attempt=1, state="running")) == []


@pytest.mark.campaign
def test_a_killed_worker_leaves_a_deploy_unknown_and_a_person_decides(application: Any, tmp_path: Path) -> None:
    team = make_team(application)
    release = ReleaseFactory(application=application)
    run = start(application, "checks.exclusive", release=release, params={"argv": ["sh", "-c", COUNT]})
    worker = execute_elsewhere(run)
    until(lambda: _forty_lines(run))
    kill_tree(worker)
    unknown = _reaped(run)
    assert (unknown.state, unknown.verdict) == ("unknown", "inconclusive")
    assert unknown.log_sealed
    with pytest.raises(StateChanged, match=f"Run #{run.number}"):
        start(application, "checks.exclusive", release=release)
    engine.execute(run.pk)
    assert not (tmp_path / "finished").exists()

    decided = services.decide_unknown(run=run, actor=team.manager, outcome="failed", reason="I looked: half-way.")
    assert decided.state == "failed"
    assert "I looked: half-way." in decided.summary
    assert LedgerEntry.objects.filter(action="run.decided", subject_id=str(run.pk)).exists()
    start(application, "checks.exclusive", release=release)


@pytest.mark.campaign
def test_an_unknown_run_closes_the_gate(tmp_path: Path) -> None:
    application = application_with({"exclusive": check("test_exclusive", "production")}, folder=tmp_path)
    release = ReleaseFactory(application=application)
    run = start(application, "checks.exclusive", release=release, params={"argv": ["sleep", "30"]})
    assert "run.exclusive" in {blocker.code for blocker in evaluate(release).blockers}
    worker = execute_elsewhere(run)
    until(lambda: load(run.pk).state == "running")
    kill_tree(worker)
    _reaped(run)
    blocker = next(blocker for blocker in evaluate(release).blockers if blocker.code == "run.unknown")
    assert f"#{run.number}" in blocker.text


def test_what_a_killed_worker_ran_dies_with_it(application: Any) -> None:
    marker = f"stubborn-{uuid4()}"
    script = f"trap '' TERM; (setsid sh -c \"trap '' TERM; sleep 60; : {marker}\" &) ; sleep 60; : {marker}"
    run = start(application, "checks.command", params={"argv": ["sh", "-c", script]})
    worker = execute_elsewhere(run)
    until(lambda: len(processes_with(marker)) >= 3)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    began = time.monotonic()
    until(lambda: not processes_with(marker), seconds=10)
    assert time.monotonic() - began < 5, "before the lease of five seconds ends"


@pytest.mark.campaign
def test_a_stopped_worker_loses_its_children_before_its_lease(application: Any, tmp_path: Path) -> None:
    marker = f"frozen-{uuid4()}"
    run = start(application, "checks.command", params={"argv": ["sh", "-c", f"sleep 60; : {marker}"]})
    worker = execute_elsewhere(run)
    until(lambda: processes_with(marker) and load(run.pk).state == "running")
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        until(reaper.reap, seconds=12)
        assert not [pid for pid in processes_with(marker) if pid != worker.pid]
        assert load(run.pk).state == "queued"
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    worker.wait(10)
    after = load(run.pk)
    assert (after.state, after.attempt) == ("queued", 1)


@pytest.mark.campaign
def test_three_lost_workers_end_a_check_as_lost(application: Any) -> None:
    release = ReleaseFactory(application=application)
    run = start(application, "checks.command", release=release, params={"argv": ["sleep", "60"]})
    for attempt in (1, 2, 3):
        worker = execute_elsewhere(run)
        until(lambda attempt=attempt: (load(run.pk).state, load(run.pk).attempt) == ("running", attempt))
        kill_tree(worker)
        state = _reaped(run).state
        assert state == ("lost" if attempt == 3 else "queued")
    ended = load(run.pk)
    assert "3 times" in ended.error
    assert ended.verdict == "errored"
    assert release.evidence.get(run_id=run.pk).verdict == "errored"


@pytest.mark.campaign
def test_a_cancelled_run_whose_worker_died_is_not_tried_again(application: Any) -> None:
    team = make_team(application)
    run = start(application, "checks.command", params={"argv": ["sleep", "60"]})
    worker = execute_elsewhere(run)
    until(lambda: load(run.pk).state == "running")
    kill_tree(worker)
    services.cancel_run(run=run, actor=team.engineer)
    assert _reaped(run).state == "cancelled"


#: Says each line to the log first, then notes in a file that it was said.
SAY = 'i=0; while :; do i=$((i + 1)); echo "said $i $TOKEN"; echo $i >> said; sleep 0.01; done'


def _die_with_lines_unread(run: Any, tmp_path: Path) -> int:
    """Stop the worker alone, let its child go on, then kill both; the number of the last line that was said."""
    worker = execute_elsewhere(run)
    until(lambda: load(run.pk).log_lines > 5)
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(0.7)
    kill_tree(worker)
    return int((tmp_path / "said").read_text().split()[-1])


@pytest.mark.campaign
def test_the_last_lines_of_a_dead_worker_are_found_in_its_file(tmp_path: Path) -> None:
    staging = {"tier": "staging", "url": "http://127.0.0.1:1", "secrets": {"TOKEN": "token"}}
    production = {"tier": "production", "url": "http://127.0.0.1:2"}
    application = application_with(
        {"exclusive": check("test_exclusive")},
        folder=tmp_path,
        plan={"environments": {"staging": staging, "production": production}},
    )
    set_secret(application=application, name="token", value="hush-hush-1", actor=None)
    run = start(application, "checks.exclusive", params={"argv": ["sh", "-c", SAY]})
    said = _die_with_lines_unread(run, tmp_path)
    committed = load(run.pk).log_lines
    unknown = _reaped(run)
    lines = log_lines(unknown, kinds="o")
    assert len(lines) in (said, said + 1)
    assert lines == [f"said {number} ***" for number in range(1, len(lines) + 1)]
    assert load(run.pk).log_lines == len(log_lines(unknown)) > committed
    assert "The worker died here." in log_lines(unknown, kinds="n")[-1]


@pytest.mark.campaign
def test_lines_that_may_hold_an_unknown_secret_are_not_shown(application: Any, tmp_path: Path) -> None:
    params = {"argv": ["sh", "-c", SAY], "secret_value": "made-up-1", "variables": {"TOKEN": "made-up-1"}}
    run = start(application, "checks.exclusive", params=params)
    said = _die_with_lines_unread(run, tmp_path)
    lines = log_lines(_reaped(run), kinds="o")
    assert len(lines) < said
    assert not [line for line in lines if "made-up" in line]


#: Migrates the clone slowly in its first attempt and at once in the next; each line of its log says its number.
MIGRATE = """
import os, pathlib, time, psycopg
first = not pathlib.Path("migrating").exists()
pathlib.Path("migrating").touch()
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("CREATE TABLE made ()")
    for number in range(1, 2001):
        print("line", number, flush=True)
        time.sleep(0.02 if first else 0)
with open("finished", "a") as file:
    file.write("done\\n")
"""


@pytest.mark.slow
@pytest.mark.campaign
def test_with_the_real_lease_the_relay_takes_runs_back_within_35_seconds(tmp_path: Path) -> None:
    """A deploy becomes unknown and a migration's rehearsal is queued again; both wait for the same lease."""
    command = {"argv": [sys.executable, "-c", MIGRATE]}
    migration = check(
        "migration",
        "production",
        params={"command": command, "visitors_wait": "1m", "irreversible": {"command": "The backup is put back."}},
    )
    plan = {"checks": {"exclusive": check("test_exclusive"), "migration": migration}}
    with shop(tmp_path, plan=plan, schema="") as made:
        release = made.release()
        deploy = start(made.application, "checks.exclusive", params={"argv": ["sleep", "120"]})
        rehearsal = start(made.application, "checks.migration", release=release)
        with relay():
            workers = [execute_elsewhere(run, RUN_LEASE_SECONDS=30, RUN_HEARTBEAT_SECONDS=5)
                       for run in (deploy, rehearsal)]  # fmt: skip
            until(lambda: load(deploy.pk).state == "running" and "line 40" in log_lines(load(rehearsal.pk)))
            time.sleep(5.5)
            for worker in workers:
                kill_tree(worker)
            began = time.monotonic()
            until(lambda: load(deploy.pk).state == "unknown" and load(rehearsal.pk).state == "queued", seconds=60)
            assert 20 < time.monotonic() - began < 35
        _was_rehearsed_once(rehearsal, tmp_path)
        assert Run.objects.count() == 2
        assert not [name for name in databases() if name.startswith("gonogo_clone")]


def _was_rehearsed_once(run: Run, folder: Path) -> None:
    """The second attempt does all of it; no line of the first one is lost, doubled or in the wrong place."""
    numbered = [f"line {number}" for number in range(1, 2001)]
    first = [line for line in log_lines(load(run.pk), kinds="o") if line.startswith("line ")]
    assert first == numbered[: len(first)]
    assert 40 <= len(first) < 2000
    for _ in range(2):  # a second message about the same run finds nothing to do
        engine.execute(run.pk)
    ended = load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 2), (ended.error, ended.summary)
    assert (folder / "finished").read_text() == "done\n"
    assert [line for line in log_lines(ended, kinds="o") if line.startswith("line ")] == numbered
    assert [line for line in log_lines(ended, attempt=1, kinds="o") if line.startswith("line ")] == first
