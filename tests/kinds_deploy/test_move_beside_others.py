"""People's data moves into a target that others use: whoever holds something is waited for, named, or comes first."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.models import Run
from releases.domain import environment as environments
from releases.domain import gate
from releases.models import Environment, Release
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import administration
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, Shop

pytestmark = pytest.mark.django_db(transaction=True)

SMOKE = [{"path": "/"}]
MOVE = {"key": "people", "title": "Move the people", "category": "database", "transition": "people"}


@contextmanager
def approved(folder: Path, server: LocalServer, **params: Any) -> Iterator[tuple[Shop, People]]:
    """A release whose deploy moves people, approved; ``params`` of the transition."""
    server.replies["/"] = Reply()
    plan = {
        "checks": {
            "people": check("transition", "production", params={"source": "staging", "tables": TABLES, **params})
        },
        "deploy": {"steps": [MOVE], "smoke": SMOKE},
        "rollback": {"steps": [{**MOVE, "title": "Take the people out"}], "smoke": SMOKE},
    }
    with people(folder, plan=plan, url=server.url) as data:
        team = make_team(data.application)
        production = Environment.objects.get(application=data.application, name="production")
        environments.adopt_build(
            environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
        )
        release = make_release(application=data.application, requester=team.engineer, version="2.0")
        make_approved(release, team)
        yield Shop(data.application, team, release, folder, server), data


@contextmanager
def session(data: People) -> Iterator[psycopg.Connection[Any]]:
    """A session of the application in the target, with a transaction of its own; what it did is taken back."""
    connection = psycopg.connect(data.address.conninfo(application_name="shop"))
    try:
        yield connection
    finally:
        connection.close()


def until(data: People, condition: str) -> None:
    """Wait until a question to the target's database is answered with yes."""
    for _ in range(600):
        if data.sql(condition) == [(True,)]:
            return
        time.sleep(0.05)
    raise AssertionError(f"never true: {condition}")


def beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def stopped(run: Run) -> str:
    """Why the deploy stopped at the people."""
    assert (run.state, run.result["failed_step"]) == ("failed", "people"), (run.error, run.summary)
    return run.summary


def opened(shop: Shop) -> list[str]:
    release = Release.objects.get(pk=shop.release.pk)
    return [each.text for each in gate.evaluate(release).blockers if each.code == "risk_opened"]


@pytest.mark.campaign
def test_a_table_that_stays_locked_is_named_with_who_holds_it_and_nothing_is_written(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server, lock_timeout="2s") as (shop, data):
        before = data.everything()
        with session(data) as other:
            other.execute("UPDATE progress SET score = score WHERE person_id = 1")
            process = other.info.backend_pid
            told = stopped(shop.deploy())
        assert (
            "Another session holds tables of the target, and did not release them within 2 s: public.progress" in told
        )
        assert f"public.progress by process {process} (idle in transaction for" in told
        assert data.everything() == before
        assert opened(shop) == [], "nothing was lost, so no risk is opened"
        assert shop.deploy().state == "passed", "when it is free, it goes"


@pytest.mark.campaign
def test_an_undo_says_who_holds_a_table_and_takes_nothing_out(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server, lock_timeout="2s") as (shop, data):
        before = data.everything()
        assert shop.deploy().state == "passed"
        moved = data.everything()
        with session(data) as other:
            other.execute("UPDATE progress SET score = score WHERE person_id = 1")
            back = shop.roll_back()
        assert back.state == "failed"
        assert "Another session holds tables of the target" in back.summary
        assert data.everything() == moved
        assert shop.roll_back().state == "passed"
        assert data.everything() == before


@pytest.mark.campaign
def test_a_row_that_stays_locked_is_told_and_everything_is_taken_back(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server, lock_timeout="2s") as (shop, data):
        before = data.everything()
        with session(data) as other:
            other.execute("SELECT 1 FROM person WHERE id = 41 FOR UPDATE")
            told = stopped(shop.deploy())
        assert "A table or row of the target is locked by another session" in told
        assert "The target is as it was." in told
        assert data.everything() == before
        assert opened(shop) == []


@pytest.mark.campaign
def test_a_session_that_holds_one_table_and_wants_another_comes_first(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    """In a circle of waiting the move lets go, so that nobody's request fails, and begins again when they are done."""
    with approved(tmp_path, server) as (shop, data):
        done: list[str] = []

        def other() -> None:
            with session(data) as connection:
                connection.execute("UPDATE progress SET score = score WHERE person_id = 1")
                holding.set()
                until(data, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'")
                connection.execute("UPDATE person SET name = 'Changed meanwhile' WHERE id = 7")
                connection.commit()
                done.append("committed")

        holding = threading.Event()
        thread = beside(other)
        holding.wait(30)
        run = shop.deploy()
        thread.join(30)
        assert done == ["committed"]
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql("SELECT name FROM person WHERE id = 7") == [("Changed meanwhile",)]
        assert run.result["transitions"][0]["total"]["inserted"] == 128


@pytest.mark.campaign
def test_a_deadlock_in_the_middle_takes_everything_back_and_says_so(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        before = data.everything()
        done: list[str] = []

        def other() -> None:
            with administration(data.address.database) as connection, connection.transaction():
                # Only the move looks for the circle, so that it is the one which PostgreSQL ends.
                connection.execute("SET LOCAL deadlock_timeout = '1min'")
                connection.execute("SELECT 1 FROM person WHERE id = 41 FOR UPDATE")
                holding.set()
                until(data, "SELECT count(*) > 0 FROM pg_locks WHERE granted AND mode = 'ShareRowExclusiveLock'"
                            " AND relation = 'person'::regclass")  # fmt: skip
                connection.execute("UPDATE person SET name = NULL WHERE id = 41")
            done.append("committed")

        holding = threading.Event()
        thread = beside(other)
        holding.wait(30)
        told = stopped(shop.deploy())
        thread.join(30)
        assert done == ["committed"]
        assert "Another session of the target and this one waited for each other (a deadlock)" in told
        assert "The target is as it was." in told
        assert data.everything() == before, "the other session wrote what was there already"
        assert opened(shop) == []
        assert shop.deploy().state == "passed"
