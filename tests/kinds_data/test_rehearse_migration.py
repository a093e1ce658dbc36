"""Rehearsing migrations for real: the clone is migrated, the original is not."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from checks.enums import RunState
from tests.kinds_data.support import Shop, databases, log_of, shop

PSQL = """
import os, sys, psycopg, time
with psycopg.connect(os.environ["DATABASE_URL"], autocommit="--auto" in sys.argv) as database:
    for statement in sys.argv[1].split(";;"):
        print(statement, flush=True)
        database.execute(statement)
"""


def statements(*sql: str, **more: Any) -> dict[str, Any]:
    """Parameters of a migration whose command executes statements in one transaction."""
    return {"command": {"argv": [sys.executable, "-c", PSQL, ";;".join(sql)]}, **more}


@pytest.fixture
def application(plain_shop: Shop) -> Shop:
    return plain_shop


def rehearse(application: Shop, *sql: str, **more: Any) -> Any:
    return application.run("migration", release=application.release(), **statements(*sql, **more))


def test_a_rehearsal_changes_the_clone_only_and_drops_it(application: Shop) -> None:
    before = databases()
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["schema"] == [{"object": "column public.customer.nick", "change": "added"}]
    assert run.result["clone"]["method"] == "template"
    assert databases() == before
    assert not application.sql("SELECT 1 FROM pg_attribute WHERE attname = 'nick'")


def test_a_rewrite_is_named_and_nothing_else_is(application: Shop) -> None:
    run = rehearse(
        application,
        "ALTER TABLE purchase ALTER COLUMN id TYPE bigint",
        "ALTER TABLE customer ADD COLUMN points integer NOT NULL DEFAULT 0",
    )
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["rewrites"] == [{"table": "public.purchase", "rows": 2000, "emptied": False}]
    assert run.result["rebuilt_indexes"] == []


def test_a_rewrite_over_the_limit_says_no(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE purchase ALTER COLUMN id TYPE bigint", rewrite_rows=1999)
    assert run.state == RunState.FAILED
    assert run.summary == "public.purchase with 2,000 rows was rewritten; 1,999 may be."


def test_a_long_lock_is_measured_and_says_no(application: Shop) -> None:
    run = rehearse(
        application, "ALTER TABLE customer ADD COLUMN nick text", "SELECT pg_sleep(0.7)", longest_lock="0.3s"
    )
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    (lock,) = [row for row in run.result["locks"] if row["table"] == "public.customer"]
    assert lock["mode"] == "AccessExclusiveLock"
    assert 0.6 < lock["seconds"] < 1.2
    assert "public.customer was closed for reading and writing" in run.summary


def test_a_migration_that_breaks_on_the_data_says_no_and_production_is_untouched(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD CHECK (id < 100)")
    assert run.state == RunState.FAILED, run.error
    assert "ended with exit status 1 after 0 migration(s)" in run.summary
    assert "violated by some row" in log_of(run)


def test_a_command_that_never_reaches_the_clone_is_no_rehearsal(application: Shop) -> None:
    run = application.run("migration", release=application.release(), command={"argv": ["true"]})
    assert run.state == RunState.ERRORED
    assert "never connected to the clone" in run.error
    assert "DATABASE_URL" in run.remedy


def test_a_command_that_migrates_production_itself_is_told(application: Shop) -> None:
    argv = [sys.executable, "-c", PSQL.replace('os.environ["DATABASE_URL"]', repr(application.address.conninfo())),
            "CREATE TABLE oops ()"]  # fmt: skip
    run = application.run("migration", release=application.release(), command={"argv": argv})
    assert run.state == RunState.ERRORED
    assert "itself changed during the rehearsal" in run.error


def test_a_database_in_use_is_cloned_by_dump(application: Shop) -> None:
    with psycopg.connect(application.address.conninfo()):
        run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert run.result["clone"]["method"] == "dump"
    assert "connected" in run.result["clone"]["why"]


def test_rows_that_a_migration_removes_are_counted(application: Shop) -> None:
    run = rehearse(application, "DROP TABLE event", "DELETE FROM nothing")
    assert run.state == RunState.PASSED, run.error
    assert run.result["rows"] == [
        {"table": "public.event_2025", "before": 213, "after": None},
        {"table": "public.event_2026", "before": 87, "after": None},
        {"table": "public.nothing", "before": 2, "after": 0},
    ]


def test_an_index_left_invalid_says_no(application: Shop) -> None:
    argv = [sys.executable, "-c", PSQL, "CREATE UNIQUE INDEX CONCURRENTLY twice ON purchase (customer_id)", "--auto"]
    run = application.run("migration", release=application.release(), command={"argv": argv})
    assert run.state == RunState.FAILED
    assert run.result["invalid_indexes"] == ["public.twice"]
    assert any("public.twice is left invalid" in sentence for sentence in run.result["problems"])


def test_what_nobody_checked_is_not_called_reversible(application: Shop) -> None:
    run = rehearse(application, "ALTER TABLE customer ADD COLUMN nick text")
    assert run.result["reversible_checked"] is False
    run = rehearse(
        application,
        "ALTER TABLE customer ADD COLUMN nick text",
        reversible_check={"argv": ["echo", "shop.0002_forget"]},
        refuse_irreversible=True,
    )
    assert run.state == RunState.FAILED
    assert run.result["irreversible"] == ["shop.0002_forget"]


def test_a_missing_program_breaks_the_check(application: Shop) -> None:
    run = application.run("migration", release=application.release(), command={"argv": ["no-such-program"]})
    assert run.state == RunState.ERRORED
    assert "no-such-program" in run.error
    assert not [name for name in databases() if name.startswith("gonogo_clone")]


DJANGO = """
import os, sys, django
from django.conf import settings
from urllib.parse import urlsplit, unquote
url = urlsplit(os.environ["DATABASE_URL"])
sys.path.insert(0, sys.argv[1])
settings.configure(INSTALLED_APPS=["library"], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:],
    "USER": unquote(url.username), "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port}})
django.setup()
from django.core.management import call_command
call_command("migrate", *sys.argv[2:])
"""


@pytest.fixture
def library(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Shop]:
    """A Django application with three migrations, of which the first one is applied."""
    folder = tmp_path / "library" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    head = "from django.db import migrations, models\nclass Migration(migrations.Migration):\n"
    operations = {
        "0001_initial": '    initial = True\n    operations = [migrations.CreateModel("Book", [("id",'
        ' models.BigAutoField(primary_key=True)), ("pages", models.IntegerField())])]\n',
        "0002_slow": '    dependencies = [("library", "0001_initial")]\n    operations = [migrations.AddField("book",'
        ' "title", models.TextField(default="")), migrations.RunSQL("SELECT pg_sleep(0.5)")]\n',
        "0003_wider": '    dependencies = [("library", "0002_slow")]\n    operations = [migrations.AlterField("book",'
        ' "pages", models.BigIntegerField())]\n',
    }
    for name, text in operations.items():
        (folder / f"{name}.py").write_text(head + text)
    with shop(tmp_path, schema="") as made:
        import subprocess

        subprocess.run(
            [sys.executable, "-c", DJANGO, str(tmp_path), "library", "0001"],
            env={"DATABASE_URL": made.address.url()}, check=True, capture_output=True,
        )  # fmt: skip
        made.sql("INSERT INTO library_book (pages) SELECT n FROM generate_series(1, 1000) n")
        yield made


def test_each_migration_of_a_django_application_has_its_time_and_its_lock(library: Shop) -> None:
    run = library.run(
        "migration", release=library.release(),
        command={"argv": [sys.executable, "-c", DJANGO, str(library.folder)]},
    )  # fmt: skip
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    slow, wider = run.result["migrations"]
    assert (slow["migration"], wider["migration"]) == ("library.0002_slow", "library.0003_wider")
    assert 0.45 < slow["seconds"] < 1.5
    assert wider["seconds"] < 0.5
    assert run.result["figures"]["seconds"] < run.result["figures"]["command_seconds"]
    longest = run.result["locks"][0]
    assert longest["table"] == "public.library_book"
    assert longest["migration"] == "library.0002_slow"
    assert run.result["rewrites"] == [{"table": "public.library_book", "rows": 1000, "emptied": False}]
    assert len(library.sql("SELECT 1 FROM django_migrations")) == 1
