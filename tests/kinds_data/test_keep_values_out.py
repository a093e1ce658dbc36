"""No value of the application's database leaves it in the text of an error: what a run says stays for ever."""

import json
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest
from django.core.files.storage import default_storage

from checks.enums import RunState
from checks.errors import CheckError
from checks.models import Run
from checks.tools import dumping, server_words
from checks.tools.postgres import Address, connected
from tests.kinds_data import django_library
from tests.kinds_data.support import Shop, admin, log_of
from tests.kinds_data.test_tell_mishap import ONE_BY_ONE, command

ANN = "ann@example.org"
SAID_BY_PYTHON = """
def count(apps, editor):
    editor.execute("SELECT note FROM library_book LIMIT 1")
    raise ValueError("invalid literal for int(): 'Ann Lee', of ann@example.org")
"""
WRITTEN_INTO_SQL = """
def fill(apps, editor):
    editor.execute("UPDATE library_book SET pages = 1 / (note <> 'ann@example.org')::int")
"""


def everything_said(run: Run) -> str:
    """What goes to the ledger, the evidence and the storage; not the log, which is the command's own output."""
    said = [run.summary, run.error, run.remedy, json.dumps(run.result)]
    said += [str(reason) for reason in run.steps.values_list("reason", flat=True)]
    for kept in run.result["artifacts"]:
        with default_storage.open(kept["key"]) as stored:
            said.append(stored.read().decode())
    return "\n".join(said)


def refusal(*statements: str) -> str:
    """How the last of some statements, which the server refuses, is told."""

    def ask() -> None:
        with connected(admin()) as database:
            for statement in statements:
                database.execute(cast("LiteralString", statement))

    with pytest.raises(CheckError) as refused:
        ask()
    return refused.value.message


@pytest.mark.campaign
@pytest.mark.usefixtures("transactional_db", "storage_folder")
@pytest.mark.parametrize(
    ("operation", "functions", "told"),
    [
        ('migrations.RunSQL("CREATE UNIQUE INDEX twice ON library_book (note)")', "",
         'could not create unique index "twice" (table public.library_book)'),
        ('migrations.RunSQL("ALTER TABLE library_book ALTER note DROP DEFAULT, ALTER note TYPE int USING note::int")',
         "", 'invalid input syntax for type integer: "…"'),
        ("migrations.RunPython(count)", SAID_BY_PYTHON, "invalid literal for int(): '…', of …"),
        ("migrations.RunPython(fill)", WRITTEN_INTO_SQL, "note <> '…'"),
    ],
)  # fmt: skip
def test_a_migration_that_breaks_on_a_person_s_row_does_not_tell_it(
    tmp_path: Path, operation: str, functions: str, told: str
) -> None:
    broken = django_library.migration("0002_broken", "0001_initial", operation, functions=functions)
    with django_library.library(tmp_path, {"0002_broken": broken}, books=20) as made:
        made.sql("UPDATE library_book SET note = %s", ANN)
        run = django_library.rehearse(made)
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert told in run.summary
    said = everything_said(run)
    assert ANN not in said
    assert "Ann Lee" not in said


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE customer SET email = 'twice@example.org'", 'violates unique constraint "customer_email_key"'),
        ("SELECT email::int FROM customer", 'type integer: "…"'),
    ],
)
def test_a_command_of_any_language_that_breaks_on_a_row_does_not_tell_it(
    plain_shop: Shop, statement: str, told: str
) -> None:
    run = command(plain_shop, ONE_BY_ONE, statement)
    assert run.state == RunState.FAILED, (run.error, log_of(run))
    assert told in run.summary
    assert "@example.org" not in everything_said(run)
    assert "@example.org" in log_of(run), "the command's own output was cut"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO person VALUES ('ann@example.org', 1)", 'violates unique constraint "person_pkey"'),
        ("INSERT INTO person VALUES ('eve@example.org', NULL)", 'column "age" of relation "person"'),
        ("SELECT email::int FROM person", 'invalid input syntax for type integer: "…"'),
        ("SELECT (email || '\" \"')::int FROM person", 'invalid input syntax for type integer: "…"'),
        ("DO $$ BEGIN RAISE EXCEPTION 'no such person: ann@example.org' USING ERRCODE = '23514'; END $$",
         "own code in the database raised an error, whose words may hold values and are left out (SQLSTATE 23514)"),
    ],
)  # fmt: skip
def test_what_the_server_refuses_is_told_without_the_row(statement: str, told: str) -> None:
    message = refusal(
        "CREATE TEMP TABLE person (email text PRIMARY KEY, age int NOT NULL CHECK (age > 0))",
        "INSERT INTO person VALUES ('ann@example.org', 1)",
        statement,
    )
    assert told in message
    assert "@example.org" not in message


def test_details_about_sessions_and_files_are_told() -> None:
    message = refusal(
        "CREATE TEMP TABLE one (id int PRIMARY KEY)",
        "CREATE TEMP TABLE two (id int REFERENCES one)",
        "DROP TABLE one",
    )
    assert "constraint two_id_fkey on table two depends on table one" in message


@pytest.mark.parametrize(
    "text",
    [
        'pg_restore: error: COPY failed for table "person": ERROR:  duplicate key value violates unique constraint'
        ' "person_pkey"\nDETAIL:  Key (email)=(error@example.org) already exists.\nCONTEXT:  COPY person, line 2',
        'pg_restore: error: COPY failed for table "person": ERROR:  duplicate key value violates unique constraint'
        ' "person_pkey"\nDETAIL:  Failing row contains (1, two lines\nerror of error@example.org).',
    ],
)
def test_what_pg_restore_complains_of_is_told_without_the_row(text: str) -> None:
    told = dumping.complaint("pg_restore", 1, text, Address({"dbname": "shop"})).message
    assert 'table "person"' in told
    assert 'constraint "person_pkey"' in told
    assert "@example.org" not in told
    assert "two lines" not in told


def test_an_error_that_django_wrapped_is_told_without_the_row() -> None:
    error = RuntimeError("That did not go: Key (email)=(ann@example.org) already exists.")
    try:
        with psycopg.connect(admin().conninfo()) as database:
            database.execute("CREATE TEMP TABLE person (email text PRIMARY KEY)")
            database.execute("INSERT INTO person VALUES ('ann@example.org'), ('ann@example.org')")
    except psycopg.Error as refused:
        error.__cause__ = refused
    assert "@example.org" not in server_words.of_exception(error)
    assert "person_pkey" in server_words.of_exception(error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "relation \"customer\" does not exist\nLINE 1: SELECT 'ann@example.org'",
            'relation "customer" does not exist',
        ),
        ("ModuleNotFoundError: No module named 'shop'", "ModuleNotFoundError: No module named 'shop'"),
        ("KeyError: 'Ann Lee'", "KeyError: '…'"),
        ("It can't be done. It won't.", "It can't be done. It won't."),
    ],
)
def test_names_of_things_are_told_and_other_quotations_are_not(text: str, told: str) -> None:
    assert server_words.of_text(text) == told
