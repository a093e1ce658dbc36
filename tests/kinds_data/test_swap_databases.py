"""What belongs to a database beside its rows, when another takes its place: it comes along, or stops it."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from checks.enums import RunState
from checks.tools.postgres import Address
from tests.harness import Harness
from tests.kinds_data.support import Shop, administration, databases, log_of
from tests.kinds_data.test_restore_backup import backed_up, restore, restoring

__all__ = ["backed_up", "restoring"]

SPACE_OF = "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = %s"


@pytest.fixture
def space() -> Iterator[str]:
    """A tablespace, which has to outlive the databases in it."""
    name = f"fast_{uuid.uuid4().hex[:10]}"
    with administration() as server:
        server.execute("SET allow_in_place_tablespaces = on")
        server.execute(sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(sql.Identifier(name)))
        yield name
        server.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


def moved(shop: Shop, space: str) -> None:
    with administration() as server:
        statement = sql.SQL("ALTER DATABASE {} SET TABLESPACE {}")
        server.execute(statement.format(sql.Identifier(shop.address.database), sql.Identifier(space)))


def untouched(shop: Shop) -> None:
    assert shop.sql("SELECT count(*) FROM added_since") == [(0,)]
    assert not [name for name in databases() if name.startswith("gonogo_")]


def test_a_restored_database_stands_in_the_tablespace_of_the_old_one_and_what_stood_elsewhere_is_named(
    space: str, backed_up: Shop
) -> None:
    moved(backed_up, space)
    with administration() as server:
        grant = sql.SQL("GRANT CREATE ON TABLESPACE {} TO {}")
        for name in (space, "pg_default"):
            server.execute(grant.format(sql.Identifier(name), sql.Identifier(backed_up.role)))
    backed_up.sql("ALTER TABLE customer SET TABLESPACE pg_default")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    with administration() as server:
        assert server.execute(SPACE_OF, [backed_up.address.database]).fetchone() == (space,)
    assert "public.customer stood in the tablespace pg_default; now it stands in that of the database." in log_of(run)
    assert "public.purchase" not in log_of(run)


def test_a_tablespace_in_which_the_role_may_put_nothing_stops_the_restore(space: str, backed_up: Shop) -> None:
    moved(backed_up, space)
    backed_up.sql("CREATE TABLE added_since (n integer)")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert f"stands in the tablespace {space}" in run.error
    assert "is untouched" in run.error
    assert run.remedy == f"GRANT CREATE ON TABLESPACE {space} TO {backed_up.role};"
    untouched(backed_up)


def test_a_security_label_that_cannot_be_given_stops_the_swap_and_is_named_without_its_text(backed_up: Shop) -> None:
    """Its provider is not loaded, as after an upgrade that forgot it."""
    backed_up.sql("CREATE TABLE added_since (n integer)")
    with administration() as server:
        server.execute("SET allow_system_table_mods = on")
        server.execute(
            "INSERT INTO pg_shseclabel SELECT oid, 'pg_database'::regclass, 'warden', 'under the oak'"
            " FROM pg_database WHERE datname = %s",
            [backed_up.address.database],
        )
    run = restore(backed_up, clean=True)
    assert run.state == RunState.ERRORED
    assert "its security label of warden" in run.error
    assert "is untouched" in run.error
    assert "oak" not in run.error + log_of(run)
    untouched(backed_up)


def test_a_subscription_stops_the_restore_before_anything_is_made(backed_up: Shop) -> None:
    backed_up.sql("CREATE TABLE added_since (n integer)")
    with administration(backed_up.address.database) as database:
        database.execute(
            "CREATE SUBSCRIPTION orders CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE)"
        )
        try:
            earlier = backed_up.run("backup")
            run = restore(backed_up, clean=True)
            found = database.execute("SELECT subname FROM pg_subscription").fetchall()
        finally:
            database.execute("DROP SUBSCRIPTION orders")
    assert "has the subscription orders, which no backup holds. Restoring into its place is refused" in log_of(earlier)
    assert run.state == RunState.ERRORED
    assert "while it has the subscription orders" in run.error
    assert "is untouched" in run.error
    assert "DROP SUBSCRIPTION" in run.remedy
    assert found == [("orders",)]
    assert "pg_restore" not in log_of(run)
    untouched(backed_up)


@pytest.fixture
def logical_server() -> Iterator[Address]:
    """A database with a logical replication slot, on a server that allows one."""
    harness = Harness()
    try:
        url = harness.start_postgres(wal_level="logical")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE watched")
            address = Address.parse(url).named("watched")
        with psycopg.connect(address.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_create_logical_replication_slot('changes', 'pgoutput')")
        yield address
    finally:
        harness.stop()


def test_a_replication_slot_stops_the_restore_and_is_named(backed_up: Shop, logical_server: Address) -> None:
    run = restore(backed_up, clean=True, url=logical_server.url())
    assert run.state == RunState.ERRORED
    assert "while it has the logical replication slot changes" in run.error
    assert "The database watched is untouched." in run.error
    with psycopg.connect(logical_server.conninfo()) as connection:
        assert connection.execute("SELECT slot_name, database FROM pg_replication_slots").fetchall() == [
            ("changes", "watched")
        ]


def test_publications_come_back_with_the_backup(backed_up: Shop) -> None:
    backed_up.sql("CREATE PUBLICATION sales FOR TABLE purchase (id, amount)")
    assert backed_up.run("backup").state == RunState.PASSED
    backed_up.sql("DROP PUBLICATION sales")
    run = restore(backed_up, clean=True)
    assert run.state == RunState.PASSED, (run.error, log_of(run))
    assert backed_up.sql("SELECT pubname, tablename, attnames FROM pg_publication_tables") == [
        ("sales", "purchase", ["id", "amount"])
    ]


def superuser(shop: Shop) -> None:
    with administration() as server:
        server.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(shop.role)))


def test_a_drill_makes_no_subscription_and_leaves_no_database(plain_shop: Shop, storage_folder: Any) -> None:
    """Nobody can drop a database with a subscription, and a second one would draw from the first one's slot."""
    superuser(plain_shop)
    plain_shop.sql(
        "CREATE SUBSCRIPTION orders CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    )
    try:
        assert plain_shop.run("backup").state == RunState.PASSED
        run = plain_shop.run("drill")
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert not [name for name in databases() if name.startswith("gonogo_")]
        assert plain_shop.run("drill").state == RunState.PASSED
    finally:
        plain_shop.sql("DROP SUBSCRIPTION orders")


def test_a_right_that_a_restore_lacks_is_no_fault_of_the_backup(plain_shop: Shop, storage_folder: Any) -> None:
    """Only a superuser may publish all tables."""
    with administration(plain_shop.address.database) as database:
        database.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    assert plain_shop.run("backup").state == RunState.PASSED
    run = plain_shop.run("drill")
    assert run.state == RunState.ERRORED, (run.state, run.summary)
    assert f"Role {plain_shop.role} lacks a right" in run.error
