"""Putting a backup back: beside the old database, compared, then swapped in one step, or not at all."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from checks.enums import RunState
from checks.kinds import base
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step
from checks.tools import backup, database_settings, manifest, scratch
from tests.kinds_data.support import Shop, administration, databases, log_of


class RestoreParams(KindParams):
    key: str
    url: str
    clean: bool


class Restore(Kind):
    """Calls the verb that rollbacks call, within a real run."""

    name = "restore-in-tests"
    title = description = "Restore"
    Params = RestoreParams

    def steps(self, plan: Any, section: str, params: Any) -> list[Step]:
        return [Step("restore", "Restore")]

    def run(self, context: RunContext) -> Outcome:
        params: RestoreParams = context.params
        with context.step("restore") as step:
            report = backup.restore(
                context, manifest_key=params.key, database_url=params.url, clean=params.clean, progress=step.progress
            )
        found = {"replaced": report.replaced, "rows": report.rows, "database": report.database}
        return Outcome(True, "Restored.", result=found)


@pytest.fixture
def restoring() -> Iterator[None]:
    base._registry[Restore.name] = Restore()
    yield
    del base._registry[Restore.name]


@pytest.fixture
def backed_up(restoring: None, plain_shop: Shop) -> Shop:
    assert plain_shop.run("backup").state == RunState.PASSED
    return plain_shop


def restore(application: Shop, *, clean: bool, url: str = "") -> Any:
    key = manifest.newest_key(application.application.slug, "production")
    return application.run(Restore.name, key=key, url=url or application.address.url(), clean=clean)


def test_a_clean_restore_brings_the_old_rows_back_and_keeps_what_was_there(backed_up: Shop) -> None:
    backed_up.sql("DELETE FROM event_2025")
    backed_up.sql("CREATE TABLE added_since (n integer)")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert backed_up.sql("SELECT count(*) FROM event_2025") == [(213,)]
    assert backed_up.sql("SELECT to_regclass('added_since')") == [(None,)]
    replaced = run.result["replaced"]
    with psycopg.connect(backed_up.address.named(replaced).conninfo()) as old:
        assert old.execute("SELECT count(*) FROM event_2025").fetchone() == (0,)
    assert not [name for name in databases() if name.startswith("gonogo_")]


@pytest.mark.campaign
def test_the_restored_database_has_the_owner_the_rights_and_the_settings_of_the_old_one(backed_up: Shop) -> None:
    name = sql.Identifier(backed_up.address.database)
    with administration() as server:
        server.execute(sql.SQL("ALTER DATABASE {} SET work_mem TO '7MB'").format(name))
        server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO pg_monitor").format(name))
        query = "SELECT datacl::text, datdba::regrole::text, datallowconn FROM pg_database WHERE datname = %s"
        before = server.execute(query, [backed_up.address.database]).fetchone()
        assert restore(backed_up, clean=True).state == RunState.PASSED
        after = server.execute(query, [backed_up.address.database]).fetchone()
    assert before is not None
    assert after is not None
    assert sorted(before[0].strip("{}").split(",")) == sorted(after[0].strip("{}").split(","))
    assert before[1:] == after[1:]
    assert backed_up.sql("SHOW work_mem") == [("7MB",)]


@pytest.mark.campaign
def test_a_database_that_was_open_to_everybody_is_so_again_after_a_restore(backed_up: Shop) -> None:
    query = "SELECT has_database_privilege('pg_monitor', %s, 'CONNECT'), datacl FROM pg_database WHERE datname = %s"
    names = [backed_up.address.database] * 2
    with administration() as server:
        assert server.execute(query, names).fetchone() == (True, None)
        assert restore(backed_up, clean=True).state == RunState.PASSED
        row = server.execute(query, names).fetchone()
    assert row is not None
    assert row[0]


@pytest.mark.campaign
def test_open_sessions_are_ended_and_new_ones_find_the_restored_rows(backed_up: Shop) -> None:
    session = psycopg.connect(backed_up.address.conninfo(), autocommit=True)
    session.execute("DELETE FROM nothing")
    assert restore(backed_up, clean=True).state == RunState.PASSED
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()
    assert backed_up.sql("SELECT count(*) FROM nothing") == [(2,)]


@pytest.mark.campaign
def test_only_the_newest_replaced_database_is_kept(backed_up: Shop) -> None:
    first = restore(backed_up, clean=True).result["replaced"]
    time.sleep(1.1)  # their names tell seconds
    second = restore(backed_up, clean=True).result["replaced"]
    assert first not in databases()
    assert second in databases()


def test_a_damaged_backup_leaves_the_database_untouched_and_says_so(backed_up: Shop, storage_folder: Path) -> None:
    (path,) = storage_folder.rglob("*.database")
    path.write_bytes(path.read_bytes()[:-100])
    backed_up.sql("CREATE TABLE added_since (n integer)")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert f"The database {backed_up.address.database} is untouched." in run.error
    assert backed_up.sql("SELECT count(*) FROM added_since") == [(0,)]


@pytest.mark.campaign
def test_a_restore_that_is_killed_in_the_swap_leaves_the_database_open(
    backed_up: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a killed worker leaves is what others see in the midst of it: a session that is open to connect to."""
    seen: list[tuple[Any, ...] | None] = []
    end_sessions = scratch._end_sessions

    def watched(connection: Any, database: str) -> None:
        with administration() as server:
            query = "SELECT datallowconn FROM pg_database WHERE datname = %s"
            seen.append(server.execute(query, [backed_up.address.database]).fetchone())
        end_sessions(connection, database)

    monkeypatch.setattr(scratch, "_end_sessions", watched)
    assert restore(backed_up, clean=True).state == RunState.PASSED
    assert seen
    assert set(seen) == {(True,)}


@pytest.mark.campaign
def test_an_application_that_connects_again_and_again_does_not_hold_up_the_swap(backed_up: Shop) -> None:
    over, times = threading.Event(), []

    def visit() -> None:
        while not over.is_set():
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(backed_up.address.conninfo(), autocommit=True) as visitor,
            ):
                times.append(time.monotonic())
                visitor.execute("SELECT pg_sleep(60)")

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    try:
        run = restore(backed_up, clean=True)
    finally:
        over.set()
        with administration() as server:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
        for visitor in visitors:
            visitor.join(10)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert times


@pytest.mark.campaign
def test_a_swap_that_is_refused_leaves_the_database_open(backed_up: Shop) -> None:
    """A superuser's session cannot be ended by an ordinary role."""
    with administration(backed_up.address.database):
        run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert "is untouched" in run.error
    assert backed_up.sql("SELECT count(*) FROM customer") == [(500,)]
    assert not [name for name in databases() if name.startswith("gonogo_")]


def test_a_restore_into_an_empty_database_fills_it(backed_up: Shop) -> None:
    empty = f"{backed_up.role}_empty"
    backed_up.sql(f'CREATE DATABASE "{empty}"')
    run = restore(backed_up, clean=False, url=backed_up.address.named(empty).url())
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert (run.result["database"], run.result["rows"], run.result["replaced"]) == (empty, 2805, "")


def test_a_restore_into_a_full_database_is_refused_without_clean(backed_up: Shop) -> None:
    run = restore(backed_up, clean=False)
    assert run.state == RunState.ERRORED
    assert "is not empty, and nothing in it was changed" in run.error


#: Names that a list of names has to quote.
ODD = '"$user", "odd, ""name"'
SETTINGS = """SELECT coalesce(r.rolname, ''), s.setconfig FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE datname = %s ORDER BY 1"""
REST = """SELECT datconnlimit, shobj_description(oid, 'pg_database'), datdba::regrole::text,
    (SELECT array_agg((grantee, privilege_type, is_grantable)::text ORDER BY grantee, privilege_type)
        FROM aclexplode(coalesce(datacl, acldefault('d', datdba))))
    FROM pg_database WHERE datname = %s"""


def standing(name: str) -> tuple[Any, Any]:
    with administration() as server:
        return server.execute(SETTINGS, [name]).fetchall(), server.execute(REST, [name]).fetchone()


def test_a_restored_database_has_every_setting_of_the_old_one_and_the_application_finds_its_tables(
    backed_up: Shop,
) -> None:
    name, role = sql.Identifier(backed_up.address.database), sql.Identifier(backed_up.role)
    given = [
        "ALTER DATABASE {0} SET search_path = app, " + ODD + ", public",
        "ALTER DATABASE {0} SET temp_tablespaces = ''",
        "ALTER DATABASE {0} SET DateStyle = 'SQL, DMY'",
        "ALTER ROLE {1} IN DATABASE {0} SET statement_timeout = '5s'",
        "ALTER ROLE {1} IN DATABASE {0} SET search_path = public, app",
        "ALTER DATABASE {0} CONNECTION LIMIT 50",
        "COMMENT ON DATABASE {0} IS 'the shop''s'",
        "REVOKE CREATE ON DATABASE {0} FROM {1}",
        "REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {0} TO pg_monitor WITH GRANT OPTION",
    ]
    with administration() as server:
        for statement in given:
            server.execute(sql.SQL(statement).format(name, role))  # type: ignore[arg-type]
    before, shown = standing(backed_up.address.database), backed_up.sql("SHOW search_path")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert standing(backed_up.address.database) == before
    assert backed_up.sql("SHOW search_path") == shown == [("public, app",)]
    with administration(backed_up.address.database) as server:
        assert server.execute("SHOW search_path").fetchone() == ("app, " + ODD + ", public",)


def test_a_setting_that_the_role_may_not_give_stops_the_swap_and_is_named(backed_up: Shop) -> None:
    name = sql.Identifier(backed_up.address.database)
    with administration() as server:
        server.execute(sql.SQL("ALTER DATABASE {} SET gonogo.tenant = 'a, b''c'").format(name))
    backed_up.sql("CREATE TABLE added_since (n integer)")
    before = standing(backed_up.address.database)
    run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert "gonogo.tenant" in run.error
    # A setting may be a key that the application reads.
    assert "a, b" not in run.error + log_of(run)
    assert "take the setting away" in run.remedy
    assert f"The database {backed_up.address.database} is untouched." in run.error
    assert backed_up.sql("SELECT count(*) FROM added_since") == [(0,)]
    assert standing(backed_up.address.database) == before
    assert not [name for name in databases() if name.startswith("gonogo_")]


def test_a_difference_that_is_left_stops_the_swap_and_is_named(
    backed_up: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that is forgotten: nothing else shows that the comparison looks."""
    with administration() as server:
        server.execute(
            sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 50").format(sql.Identifier(backed_up.address.database))
        )
    backed_up.sql("CREATE TABLE added_since (n integer)")
    monkeypatch.setattr(database_settings, "statements", lambda *_: [])
    run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert "connection limit" in run.error
    assert "is untouched" in run.error
    assert backed_up.sql("SELECT count(*) FROM added_since") == [(0,)]
