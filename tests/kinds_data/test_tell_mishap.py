"""What goes wrong in a migration is told as what it is, with the state in which it left the clone."""

import sys
from pathlib import Path

import psycopg
import pytest

from checks.enums import RunState
from checks.models import Run
from checks.tools.postgres import Address
from tests.engine.workers import until
from tests.kinds_data import django_library
from tests.kinds_data.support import Shop, administration, databases, log_of, shop

#: Two sessions on the clone; the second one gives up waiting for what the first one holds.
TWO_SESSIONS = """
import os, psycopg
first, second = (psycopg.connect(os.environ["DATABASE_URL"]) for _ in range(2))
first.execute("SELECT FROM customer LIMIT 1")
second.execute("SET lock_timeout = 300")
second.execute("ALTER TABLE customer ADD COLUMN nick text")
"""
#: Another session of the command waits until a second has passed, then both hold what the other one wants. PostgreSQL
#: looks for deadlocks once, after a second of waiting, so it is the session that came last which it ends.
DEADLOCK = """
import os, threading, time, psycopg
own, other = (psycopg.connect(os.environ["DATABASE_URL"]) for _ in range(2))
own.execute("ALTER TABLE customer ADD COLUMN nick text")
other.execute("LOCK TABLE purchase")
waiting = threading.Thread(target=lambda: other.execute("LOCK TABLE customer"))
waiting.start()
time.sleep(1.5)
try:
    own.execute("ALTER TABLE purchase ADD COLUMN nick text")
finally:
    own.close()
    waiting.join()
"""
ONE_BY_ONE = """
import os, sys, psycopg
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
    for statement in sys.argv[1:]:
        database.execute(statement)
"""
CRASH = """
import os, signal, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    (pid,) = database.execute("SELECT pg_backend_pid()").fetchone()
    database.execute("ALTER TABLE customer ADD COLUMN nick text")
    os.kill(pid, signal.SIGKILL)
    database.execute("SELECT FROM customer")
"""
#: The new table's file becomes a device that is always full, so PostgreSQL's own write answers ENOSPC.
FULL_DISK = """
import os, pathlib, sys, psycopg
url = os.environ["DATABASE_URL"]
with psycopg.connect(url) as database:
    database.execute("CREATE TABLE filled (n text)")
    (path,) = database.execute("SELECT pg_relation_filepath('filled')").fetchone()
file = pathlib.Path(sys.argv[1]) / path
file.unlink()
file.symlink_to("/dev/full")
with psycopg.connect(url) as database:
    database.execute("INSERT INTO filled SELECT n FROM generate_series(1, 10000) n")
"""
TWICE = """migrations.RunSQL("CREATE TABLE beside ()"),
    migrations.RunSQL("CREATE UNIQUE INDEX CONCURRENTLY twice ON library_book (note)")"""
KILLED = """
def die(apps, editor):
    import os, signal
    editor.execute("UPDATE library_book SET pages = 0")
    os.kill(os.getpid(), signal.SIGKILL)
"""
IN_A_DEADLOCK = """
def meet(apps, editor):
    import os, threading, time, psycopg
    other = psycopg.connect(os.environ["DATABASE_URL"])
    other.execute("LOCK TABLE django_migrations")
    waiting = threading.Thread(target=lambda: other.execute("LOCK TABLE library_book"))
    waiting.start()
    time.sleep(1.5)
    editor.execute("LOCK TABLE django_migrations")
"""
NO_WAY_BACK = """
def forget(apps, editor):
    editor.execute("UPDATE library_book SET note = ''")
"""


TOO_SLOW = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
    database.execute("ALTER TABLE customer ADD COLUMN nick text")
    database.execute("SELECT pg_sleep(60)")
"""


def answers(server: Address) -> bool:
    try:
        psycopg.connect(server.conninfo()).close()
    except psycopg.OperationalError:
        return False
    return True


def command(shop: Shop, script: str, *arguments: str, timeout: str = "2m") -> Run:
    argv = [sys.executable, "-c", script, *arguments]
    return shop.run(
        "migration", release=shop.release(), command={"argv": argv, "timeout": timeout}, visitors_wait="1m",
        irreversible={"command": "The backup is put back."},
    )  # fmt: skip


@pytest.mark.campaign
def test_a_command_that_takes_too_long_is_ended_with_what_it_left_on_the_server(plain_shop: Shop) -> None:
    run = command(plain_shop, TOO_SLOW, timeout="2s")
    assert run.state == RunState.FAILED, run.error
    assert "The migrate command was ended after 2" in run.summary
    assert "1 object(s) of the schema stay changed" in run.summary
    assert run.result["timed_out"]
    assert "was ended: SELECT pg_sleep(60)" in log_of(run)


def test_a_lock_timeout_is_told_as_one(plain_shop: Shop) -> None:
    run = command(plain_shop, TWO_SESSIONS)
    assert run.state == RunState.FAILED, run.error
    assert run.result["mishap"]["cause"] == "lock_timeout"
    assert "It gave up waiting for a lock: " in run.summary
    assert run.summary.endswith("No migration had been applied; the clone is as it was before.")


@pytest.mark.campaign
def test_a_deadlock_is_told_as_one_and_leaves_nothing_behind(plain_shop: Shop) -> None:
    run = command(plain_shop, DEADLOCK)
    assert run.state == RunState.FAILED, run.error
    assert run.result["mishap"]["cause"] == "deadlock"
    assert "PostgreSQL ended a deadlock that it was part of: " in run.summary
    assert run.summary.endswith("No migration had been applied; the clone is as it was before.")


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("cause", "said", "statements"),
    [
        ("statement_timeout", "A statement took longer than its statement_timeout",
         ["SET statement_timeout = 200", "SELECT pg_sleep(5)"]),
        ("right", "The role lacks a right", ["CREATE EXTENSION file_fdw"]),
    ],
)  # fmt: skip
def test_what_the_server_refused_is_told_with_what_stays(
    plain_shop: Shop, cause: str, said: str, statements: list[str]
) -> None:
    run = command(plain_shop, ONE_BY_ONE, "ALTER TABLE customer ADD COLUMN nick text", *statements)
    assert run.state == RunState.FAILED, run.error
    assert run.result["mishap"]["cause"] == cause
    assert f"{said}: " in run.summary
    assert run.summary.endswith("No migration had been applied; 1 object(s) of the schema stay changed.")


@pytest.mark.campaign
def test_a_session_that_the_server_ended_says_nothing_of_the_migration(plain_shop: Shop) -> None:
    run = command(plain_shop, ONE_BY_ONE, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert run.error.startswith("The clone's server ended the session: ")
    assert "The clone was dropped." in run.error
    assert "log of that server" in run.remedy
    assert not [name for name in databases() if name.startswith("gonogo_clone")]


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_server_that_crashes_says_nothing_of_the_migration_and_the_next_run_clears_up(
    tmp_path: Path, second_server: Address
) -> None:
    """One of the server's processes gets a KILL, so all of them start anew; our own database is elsewhere."""
    production = {"tier": "production", "variables": {"DATABASE_URL": second_server.url()}}
    environments = {"staging": {"tier": "staging"}, "production": production}
    with shop(tmp_path, plan={"environments": environments}) as made:
        with psycopg.connect(second_server.conninfo(), autocommit=True) as database:
            database.execute("CREATE TABLE customer (id integer)")
        run = command(made, CRASH)
        assert run.state == RunState.ERRORED, (run.summary, log_of(run))
        assert "The locks could not be watched to the end" in run.error or "ended the session" in run.error
        until(lambda: answers(second_server), 30)
        again = command(made, ONE_BY_ONE, "ALTER TABLE customer ADD COLUMN nick text")
        assert again.state == RunState.PASSED, (again.error, log_of(again))
        with psycopg.connect(second_server.conninfo(), autocommit=True) as database:
            names = database.execute("SELECT datname FROM pg_database WHERE datname LIKE 'gonogo%'").fetchall()
    assert names == []


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_migration_that_met_a_deadlock_is_named_with_its_statement(tmp_path: Path) -> None:
    operations = 'migrations.RunSQL("LOCK TABLE library_book"), migrations.RunPython(meet)'
    met = django_library.migration("0002_met", "0001_initial", operations, functions=IN_A_DEADLOCK)
    with django_library.library(tmp_path, {"0002_met": met}, books=20) as made:
        run = django_library.rehearse(made)
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert run.result["mishap"]["cause"] == "deadlock", run.summary
    told = run.result["mishap"]["sentence"]
    assert "in library.0002_met, at “LOCK TABLE django_migrations”" in told
    assert "library.0002_met is atomic and was taken back whole" in told


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_breaks_the_check_and_says_nothing_of_the_migration(plain_shop: Shop) -> None:
    with administration() as server:
        (folder,) = server.execute("SHOW data_directory").fetchone() or ("",)
    if not Path(folder).is_dir():
        pytest.skip("the files of this server cannot be reached from here")
    run = command(plain_shop, FULL_DISK, folder)
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert run.error.startswith("The disk of the clone's server was full: ")
    assert "No space left on device" in run.error
    assert "The clone was dropped." in run.error
    assert "more space" in run.remedy
    assert not [name for name in databases() if name.startswith("gonogo_clone")]


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_migration_that_is_not_atomic_leaves_an_invalid_index_and_says_what_stays(tmp_path: Path) -> None:
    broken = django_library.migration("0003_unique", "0002_more", TWICE, atomic=False)
    more = 'migrations.AddField("book", "more", models.TextField(null=True))'
    with django_library.library(tmp_path, {"0002_more": more, "0003_unique": broken}, books=20) as made:
        run = django_library.rehearse(made)
    assert run.state == RunState.FAILED, run.error
    assert run.result["mishap"]["cause"] == "data"
    told = run.result["mishap"]["sentence"]
    assert "in library.0003_unique, at “CREATE UNIQUE INDEX CONCURRENTLY twice" in told
    assert "1 migration(s) had been applied, the last one library.0002_more" in told
    assert "the index public.twice is left invalid" in told
    assert "library.0003_unique is not atomic: 1 of its statements stay done" in told
    assert run.result["invalid_indexes"] == ["public.twice"]
    assert [row["failed"] for row in run.result["migrations"]] == [False, True]
    assert [row["atomic"] for row in run.result["migrations"]] == [True, False]
    marks = {row["rule"]: row["mark"] for row in run.result["hypotheses"] if row["migration"] == "library.0003_unique"}
    assert marks["prefer-robust-stmts"] == "confirmed"
    # What cannot be reversed is asked of the migration that broke off, too.
    assert [row["name"] for row in run.result["irreversible"]] == ["library.0003_unique"]


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_command_killed_in_the_middle_of_an_atomic_migration_leaves_nothing_of_it(tmp_path: Path) -> None:
    killed = django_library.migration("0002_killed", "0001_initial", "migrations.RunPython(die)", functions=KILLED)
    with django_library.library(tmp_path, {"0002_killed": killed}, books=20) as made:
        run = django_library.rehearse(made)
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert run.result["mishap"]["cause"] == "signal"
    assert "It was killed in library.0002_killed" in run.summary
    assert "library.0002_killed is atomic and was taken back whole" in run.summary
    data = run.result["data"]
    assert (data["same_tables"], data["same_columns"]) == (data["tables"], data["columns"])


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_way_back_that_loses_data_is_no_way_back(tmp_path: Path) -> None:
    forgets = django_library.migration(
        "0002_forget", "0001_initial", "migrations.RunPython(forget, migrations.RunPython.noop)", functions=NO_WAY_BACK
    )
    with django_library.library(tmp_path, {"0002_forget": forgets}, books=20) as made:
        run = django_library.rehearse(made, reverse={"argv": [*django_library.command(made), "library", "0001"]})
        assert made.sql("SELECT count(*) FROM library_book WHERE note <> ''") == [(20,)]
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert run.summary == "Going back does not bring back what 1 table(s) held: public.library_book."
    assert run.result["irreversible"] == []
    (differing,) = run.result["back"]["data"]
    assert (differing["table"], differing["columns"]) == ("public.library_book", ["note"])
    assert [row["changed"] for row in run.result["data"]["changed"]] == [["note"]]
