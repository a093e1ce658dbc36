"""Whatever would change the past directly in SQL is refused, with a sentence."""

import pytest
from django.db import IntegrityError, connection, transaction

from releases.domain import ledger
from releases.models import LedgerEntry
from tests.ledger_support import chain, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]

ENTRY = "releases_ledgerentry"
CHECKPOINT = "releases_ledgercheckpoint"
NODE = "releases_ledgernode"
COPY_OF_ENTRY = """
    INSERT INTO releases_ledgerentry (at, actor_id, actor_name, action, subject_type, subject_id, application_id,
        release_id, request_id, document, canonical)
    SELECT {at}, actor_id, actor_name, {action}, subject_type, subject_id, application_id,
        release_id, request_id, document, {canonical} FROM releases_ledgerentry LIMIT 1
"""
WITH_THE_DOOR_OPEN = "SET LOCAL gonogo.ledger_door = 'append'; "


def refused(sql: str) -> str:
    """Runs the SQL in a transaction of its own, expects that it is refused, and answers the sentence."""
    before = list(LedgerEntry.objects.order_by("pk").values())
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
    assert list(LedgerEntry.objects.order_by("pk").values()) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE releases_ledgerentry SET action = 'test.other'",
        "UPDATE releases_ledgerentry SET document = '{}'",
        "UPDATE releases_ledgerentry SET canonical = 'x'",
        "UPDATE releases_ledgerentry SET at = now()",
        "UPDATE releases_ledgerentry SET sequence = sequence + 10",
        "UPDATE releases_ledgerentry SET hash = NULL, previous = NULL, sequence = NULL",
        "UPDATE releases_ledgerentry SET hash = sha256('x')",
        "UPDATE releases_ledgerentry SET id = id + 10",
        "SET LOCAL gonogo.ledger_door = 'seal'; UPDATE releases_ledgerentry SET action = 'test.other'",
        "SET LOCAL gonogo.ledger_door = 'seal'; UPDATE releases_ledgerentry SET hash = sha256('x')",
    ],
)
def test_it_refuses_every_update_of_an_entry(change: str) -> None:
    write(2)
    assert "append-only: UPDATE on releases_ledgerentry is refused" in refused(change)


@pytest.mark.parametrize("table", [ENTRY, CHECKPOINT])
def test_it_refuses_delete(table: str) -> None:
    write(2)
    ledger.checkpoint()
    assert f"DELETE on {table} is refused" in refused(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", [ENTRY, CHECKPOINT, NODE])
def test_it_refuses_truncate(table: str) -> None:
    write(2)
    assert "TRUNCATE on " in refused(f"TRUNCATE {table} CASCADE")


def test_it_refuses_to_change_or_delete_a_node_of_the_tree() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO releases_ledgernode (level, index, hash) VALUES (8, 0, sha256('x'))")
    assert "UPDATE on releases_ledgernode is refused" in refused("UPDATE releases_ledgernode SET hash = sha256('y')")
    assert "DELETE on releases_ledgernode is refused" in refused("DELETE FROM releases_ledgernode")


@pytest.mark.parametrize("change", ["size = size + 1", "root = sha256('x')", "stored_key = ''", "signature = 'x'"])
def test_it_refuses_to_change_a_checkpoint(change: str) -> None:
    write(2)
    ledger.checkpoint()
    sentence = refused(f"UPDATE releases_ledgercheckpoint SET {change}")
    assert "UPDATE on releases_ledgercheckpoint is refused" in sentence


def test_it_refuses_an_insert_that_does_not_come_through_the_door() -> None:
    write()
    sentence = refused(COPY_OF_ENTRY.format(at="at", action="action", canonical="canonical"))
    assert "only through ledger_append()" in sentence


def test_it_refuses_an_entry_with_another_time_than_now() -> None:
    write()
    at = "at - interval '1 hour'"
    sentence = refused(WITH_THE_DOOR_OPEN + COPY_OF_ENTRY.format(at=at, action="action", canonical="canonical"))
    assert "by the clock of the database" in sentence


def test_it_refuses_bytes_that_do_not_say_what_the_columns_say() -> None:
    write()
    statement = COPY_OF_ENTRY.format(at="clock_timestamp()", action="'test.other'", canonical="canonical")
    assert "do not say what its columns say" in refused(WITH_THE_DOOR_OPEN + statement)


def test_it_refuses_an_entry_that_brings_its_own_seal() -> None:
    write()
    statement = COPY_OF_ENTRY.format(at="at", action="action", canonical="canonical")
    statement = statement.replace("(at,", "(sequence, previous, hash, at,").replace(
        "SELECT at,", "SELECT 9, sha256('a'), sha256('b'), at,"
    )
    assert "sealed when its transaction commits" in refused(WITH_THE_DOOR_OPEN + statement)


def test_it_refuses_to_change_an_entry_that_is_not_sealed_yet() -> None:
    with transaction.atomic():
        ledger.append(action="test.happened", actor=None, document={})
        assert "append-only" in refused("UPDATE releases_ledgerentry SET action = 'test.other' WHERE hash IS NULL")
        ledger.seal_now()
    assert ledger.verify().entries == 1


def test_an_insert_of_several_rows_is_refused_as_a_whole() -> None:
    write(3)
    statement = COPY_OF_ENTRY.format(at="clock_timestamp()", action="action", canonical="canonical")
    refused(statement.replace("LIMIT 1", "LIMIT 3"))
    assert ledger.verify().holds


@pytest.mark.django_db(transaction=True)
def test_an_account_with_the_production_grants_can_only_read_and_append() -> None:
    """Runs grants.sql for real, with a role of its own so that databases of other test processes do not meet."""
    from pathlib import Path

    import psycopg

    write()
    role = f"gonogo_app_{connection.settings_dict['NAME']}"
    script = Path("releases/ledger_sql/grants.sql").read_text().replace("gonogo_app", role)
    script = script.replace("\\set ON_ERROR_STOP on", "")
    settings = connection.get_connection_params()
    address = {key: settings[key] for key in ("dbname", "host", "port", "user", "password") if settings.get(key)}
    with psycopg.connect(**address, autocommit=True) as owner:
        owner.execute(script)
        try:
            owner.execute(f"SET ROLE {role}")
            owner.execute("SELECT count(*) FROM releases_ledgerentry")
            facts = (
                '{"action":"test.granted","actor_id":null,"actor_name":"x","application_id":null',
                '"document":{},"release_id":null,"request_id":"","subject_id":"","subject_type":"","v":1}',
            )
            owner.execute("SELECT ledger_append(%s, %s)", facts)
            for attempt in (
                "INSERT INTO releases_ledgerentry (action) VALUES ('x')",
                "UPDATE releases_ledgerentry SET action = 'x'",
                "DELETE FROM releases_ledgerentry",
                "TRUNCATE releases_ledgerentry",
                "ALTER TABLE releases_ledgerentry DISABLE TRIGGER ALL",
                "SET session_replication_role = replica",
                "INSERT INTO ledger_seal_request VALUES (1)",
                "DELETE FROM releases_ledgercheckpoint",
                "UPDATE releases_ledgercheckpoint SET size = 1",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    owner.execute(attempt)
        finally:
            owner.execute("RESET ROLE")
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")
            owner.execute("GRANT EXECUTE ON FUNCTION ledger_append(text, text) TO PUBLIC")
    assert [entry.action for entry in chain()] == ["test.happened", "test.granted"]
    assert ledger.verify().holds
