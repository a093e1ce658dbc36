"""Settling beside whatever else uses the target, and killed or cancelled at any moment: all of it or nothing."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from checks import engine, reaper, services
from checks.enums import RunState
from checks.models import Run
from checks.tools.transition import delivering, locking, settling
from releases.models import LedgerEntry
from tests.engine.workers import execute_elsewhere, until
from tests.kinds_data.support import in_a_thread, log_of
from tests.kinds_deploy.local_server import LocalServer
from tests.kinds_deploy.settling_world import WORD, WORDS, World, only, passed, world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]

#: Where a worker dies, and whether what is kept is settled then.
STAGES = {
    "checks.tools.transition.settling:look": False,
    "checks.tools.transition.settling:settle": False,
    "checks.tools.transition.settling:mark": False,  # tables are dropped and made in the open transaction
    "checks.tools.transition.settling:settled_by": True,  # committed, and nothing told yet
    "checks.kinds.settle:_tell": True,
    "checks.kinds.settle:_summary": True,  # told, and the run has not ended
}


@pytest.fixture
def made(tmp_path: Path, server: LocalServer) -> Iterator[World]:
    with world(tmp_path, server) as one:
        yield one


@contextmanager
def turn(made: World, function: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of another installation that has its turn in the target."""
    with psycopg.connect(made.data.address.conninfo(), autocommit=True) as other:
        other.execute(f"SELECT {function}(%s, %s)", locking._TURN)  # type: ignore[call-overload]
        yield other


@contextmanager
def held_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """(reached, go on): whoever settles waits in its open transaction, with the kept tables gone."""
    reached, go_on, mark = threading.Event(), threading.Event(), settling.mark

    def waiting(*arguments: Any, **named: Any) -> None:
        reached.set()
        assert go_on.wait(30)
        mark(*arguments, **named)

    monkeypatch.setattr(settling, "mark", waiting)
    try:
        yield reached, go_on
    finally:
        go_on.set()


@pytest.mark.parametrize(("stage", "done"), STAGES.items(), ids=[stage.rpartition(":")[2] for stage in STAGES])
def test_a_worker_killed_at_any_moment_settled_all_or_nothing_and_the_next_one_ends_it(
    made: World, settings: Any, stage: str, done: bool
) -> None:
    made.settleable()
    before, run = made.data.everything(), made.queued()
    worker = execute_elsewhere(run, DIE_AT=stage, STORAGES=settings.STORAGES)
    assert worker.wait(60) == -9, log_of(run)
    settled = made.data.sql("SELECT document ? 'settled' FROM gonogo_transition.journal")
    assert settled == [(done,)]
    if not done:
        assert made.data.everything() == before
    found = Run.objects.filter(pk=run.pk)

    def given_back() -> bool:
        reaper.reap()
        return not found.filter(state=RunState.RUNNING).exists()

    until(given_back, 30)
    engine.execute(run.pk)
    row = only(engine.load(run.pk))
    assert row["becomes"] == "settled"
    assert [name.rpartition("_")[2] for name in made.kept()] == ["moved"] * 4
    assert LedgerEntry.objects.filter(action="transition.settled").count() == 1


def test_a_run_that_is_cancelled_in_the_middle_settled_nothing(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made.settleable()
    before, run = made.data.everything(), made.queued()
    with held_in_the_middle(monkeypatch) as (reached, go_on):
        thread = in_a_thread(run)
        assert reached.wait(30)
        services.cancel_run(run=run, actor=made.shop.team.engineer)
        time.sleep(1)
        go_on.set()
        thread.join(30)
    assert engine.load(run.pk).state == "cancelled"
    assert made.data.everything() == before
    assert not LedgerEntry.objects.filter(action="transition.settled").exists()


def test_of_two_that_settle_at_once_one_does_it_and_the_other_finds_nothing(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.settleable()
    first, second = made.queued(), made.queued()
    with held_in_the_middle(monkeypatch) as (reached, go_on):
        threads = [in_a_thread(first)]
        assert reached.wait(30)
        threads.append(in_a_thread(second))
        time.sleep(1)
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert only(engine.load(first.pk))["becomes"] == "settled"
    other = passed(engine.load(second.pk))
    assert (other.result["settled"], other.result["transitions"]) == (0, [])
    assert LedgerEntry.objects.filter(action="transition.settled").count() == 1


def test_whoever_moves_or_undoes_in_the_target_is_waited_for_and_then_named(made: World) -> None:
    made.settleable()
    before = made.data.everything()
    with turn(made, "pg_advisory_lock_shared") as other:
        run = made.settle(lock_timeout="1s")
        assert run.state == "errored"
        assert run.error.startswith(
            "Another session moves people's data or takes it back in the target and was not done within 1 s (process"
            f" {other.info.backend_pid}, connected for "
        ), run.error
        assert made.data.everything() == before
        waiting = made.queued(lock_timeout="20s")
        thread = in_a_thread(waiting)
        time.sleep(1)
    thread.join(30)
    assert only(engine.load(waiting.pk))["becomes"] == "settled"


def test_a_deploy_has_its_turn_while_it_moves(tmp_path: Path, server: LocalServer) -> None:
    with world(tmp_path, server) as made:
        seen: list[Any] = []
        asked = "SELECT pg_try_advisory_lock(%s, %s), pg_advisory_unlock(%s, %s)"

        def ask(original: Any) -> Any:
            def seize(*arguments: Any, **named: Any) -> Any:
                seen.append(made.data.sql(asked, *locking._TURN, *locking._TURN)[0][0])
                return original(*arguments, **named)

            return seize

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(locking, "seize", ask(locking.seize))
            made.deployed()
            passed(made.shop.roll_back())
        assert seen == [False, False], "neither while it moves nor while it is undone may anybody settle"


def test_a_move_waits_for_whoever_settles_and_then_says_so(tmp_path: Path, server: LocalServer) -> None:
    with world(tmp_path, server, transition={"lock_timeout": "1s"}) as made, turn(made, "pg_advisory_lock"):
        before = made.data.everything()
        run = made.shop.deploy()
        assert run.result["failed_step"] == "people"
        assert "Another session settles what transitions kept in the target and was not done within 1 s" in run.summary
        assert made.data.everything() == before


def test_a_move_that_began_while_somebody_settled_brings_nothing_twice(
    tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path, server, tables=[WORDS], source=WORD, target=WORD) as made:
        made.settleable()
        run = made.queued()
        with held_in_the_middle(monkeypatch) as (reached, go_on):
            thread = in_a_thread(run)
            assert reached.wait(30)
            deploy = services.start_deploy(release=made.shop.fresh(), actor=made.shop.team.manager)
            moving = in_a_thread(deploy)
            until(lambda: Run.objects.get(pk=deploy.pk).steps.filter(key="people", state="running").exists(), 30)
            time.sleep(1)
            go_on.set()
            thread.join(30)
            moving.join(60)
        assert only(engine.load(run.pk))["becomes"] == "settled"
        moved = engine.load(deploy.pk)
        assert [row["kind"] for row in moved.result["transitions"][0]["conflicts"]] == ["again"], moved.summary
        assert made.data.sql("SELECT count(*) FROM word") == [(4,)]


def test_a_rollback_that_began_while_somebody_settled_waits_and_is_refused_before_its_first_step(
    made: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made.deployed()
    made.live()
    made.age()
    run = made.queued(made.shop.team.manager, give_up="It runs for good.")
    with held_in_the_middle(monkeypatch) as (reached, go_on):
        thread = in_a_thread(run)
        assert reached.wait(30)
        back = services.start_rollback(release=made.shop.fresh(), actor=made.shop.team.manager)
        going_back = in_a_thread(back)
        until(lambda: Run.objects.get(pk=back.pk).state == "running", 30)
        time.sleep(1)
        assert Run.objects.get(pk=back.pk).state == "running", "it waits"
        go_on.set()
        thread.join(30)
        going_back.join(30)
    assert only(engine.load(run.pk))["becomes"] == "settled"
    back = engine.load(back.pk)
    assert back.state == "errored", back.summary
    assert f"Run #{run.number}, started by " in back.error
    assert not (tmp_path / "aside").exists()


def test_a_rollback_that_somebody_who_settles_keeps_waiting_is_refused_before_its_first_step(
    made: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made.deployed()
    monkeypatch.setattr(delivering, "_LOCK_WAIT", timedelta(seconds=1))
    with turn(made, "pg_advisory_lock"):
        back = made.shop.roll_back()
    assert back.state == "errored"
    assert "Another session settles what transitions kept in the target" in back.error
    assert not (tmp_path / "aside").exists()
    passed(made.shop.roll_back())


def test_whoever_reads_what_is_kept_keeps_it_from_being_settled_and_nothing_is_half_done(made: World) -> None:
    made.settleable()
    before, name = made.data.everything(), made.kept()[-1]
    with psycopg.connect(made.data.address.conninfo()) as reader:
        reader.execute(f"SELECT FROM gonogo_transition.{name}")  # type: ignore[call-overload]
        run = made.settle(lock_timeout="500ms")
    assert run.state == "errored"
    assert "is locked by another session and was not released in time" in run.error
    assert made.data.everything() == before


def test_a_settle_whose_connection_breaks_at_the_commit_says_what_became_of_it(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.settleable()
    before, mark = made.data.everything(), settling.mark

    def broken(connection: Any, *arguments: Any, **named: Any) -> None:
        mark(connection, *arguments, **named)
        made.data.sql("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)

    monkeypatch.setattr(settling, "mark", broken)
    run = made.settle()
    connections.close_all()
    assert run.state == "errored"
    told = "The connection to the target was lost while it was settled, and its journal does not say that it was."
    assert run.error == told
    assert made.data.everything() == before


def test_a_settle_that_was_committed_and_whose_answer_was_lost_is_told_as_done(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.settleable()
    mark = settling.mark

    def silent(connection: Any, *arguments: Any, **named: Any) -> None:
        mark(connection, *arguments, **named)
        commit = connection.commit

        def lost() -> None:
            commit()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        connection.commit = lost

    monkeypatch.setattr(settling, "mark", silent)
    assert only(made.settle())["becomes"] == "settled"
    assert LedgerEntry.objects.filter(action="transition.settled").count() == 1
