"""Databases that a run makes for itself: named after the run, dropped at its end, swept up when a worker died."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql

from checks.enums import RunState
from checks.errors import Cancelled, CheckError, Fenced
from checks.kinds.base import RunContext
from checks.models import Run
from checks.tools import database_settings, server_words
from checks.tools.background import patiently
from checks.tools.postgres import (
    Address,
    Connection,
    connected,
    database_exists,
    drop_database,
    explain,
    maintenance,
    one,
)

_LOOK_SECONDS = 0.05
#: So many tables and indexes are named one by one.
_NAMED = 20
#: The purpose of one that is to take another database's place.
RESTORE = "restore"
_NAME = re.compile(r"gonogo_(drill|clone|restore)_(?P<run>[0-9a-f]{32})_(?P<attempt>\d+)")


def name_of(context: RunContext, purpose: str) -> str:
    """The scratch database of this attempt. ``purpose``: drill, clone or restore."""
    return f"gonogo_{purpose}_{context.run.id.hex}_{context.run.attempt}"


def is_of_this_run(context: RunContext, name: str) -> bool:
    """Whether a database is a scratch one of this very attempt, which nobody else uses."""
    match = _NAME.fullmatch(name)
    return match is not None and match["run"] == context.run.id.hex and int(match["attempt"]) == context.run.attempt


def sweep(context: RunContext, connection: Connection) -> list[str]:
    """Drop scratch databases of attempts that are over; returns their names. Those of other programs stay."""
    dropped = []
    rows = connection.execute("SELECT datname FROM pg_catalog.pg_database WHERE datname LIKE 'gonogo\\_%'").fetchall()
    for (name,) in rows:
        match = _NAME.fullmatch(name)
        if match is None or not _is_over(context, match["run"], int(match["attempt"])):
            continue
        try:
            drop_database(connection, name)
        except errors.InsufficientPrivilege:
            context.warn(f"The leftover database {name} belongs to another role and stays.")
        else:
            context.note(f"Dropped {name}, which an earlier attempt left behind.")
            dropped.append(name)
    return dropped


def left_of(connection: Connection, run_hex: str) -> list[str]:
    """The scratch databases of a run, of whichever attempt, that stand on this server."""
    rows = connection.execute("SELECT datname FROM pg_catalog.pg_database WHERE datname LIKE 'gonogo\\_%'").fetchall()
    return [name for (name,) in rows if (match := _NAME.fullmatch(name)) is not None and match["run"] == run_hex]


def _is_over(context: RunContext, run_hex: str, attempt: int) -> bool:
    if run_hex == context.run.id.hex:
        return attempt < context.run.attempt
    row = Run.objects.filter(pk=run_hex).values_list("state", "attempt").first()
    # A run that this installation does not know may be another installation's, at work right now.
    return row is not None and (row[0] != RunState.RUNNING or attempt < row[1])


@contextmanager
def scratch_database(
    context: RunContext, server: Address, purpose: str, *, like: Mapping[str, Any] | None = None
) -> Iterator[Address]:
    """An empty database on the server of ``server``, dropped at the end, however the end comes; nobody else's.

    ``like``: the ``database`` part of a manifest, for encoding and locale; else those of ``server``'s own database. One
    for a restore stands in the tablespace of the database whose place it is to take.
    """
    name = name_of(context, purpose)
    orders = maintenance(server)
    with connected(orders, what="the server") as connection:
        sweep(context, connection)
        shape = {**(like or shape_of(connection, server.database))}
        if purpose == RESTORE:
            shape["tablespace"] = _space_of(connection, server)
        drop_database(connection, name)
        try:
            patiently(context, connection, lambda: create_empty(connection, name, shape))
            close_to_others(connection, name)
            yield server.named(name)
        finally:
            drop_at_the_end(context, orders, name)


def _space_of(connection: Connection, server: Address) -> str:
    """The tablespace of a database, "" for the usual one. CheckError where the role may put nothing there."""
    row = connection.execute(
        "SELECT t.spcname, has_tablespace_privilege(t.oid, 'CREATE') FROM pg_catalog.pg_database d"
        " JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s",
        [server.database],
    ).fetchone()
    if row is None or row[0] == "pg_default":
        return ""
    space, may = row
    if not may:
        raise CheckError(
            f"{server.database} stands in the tablespace {space}, and role {connection.info.user} may make no database"
            " there to take its place.",
            remedy=f"GRANT CREATE ON TABLESPACE {space} TO {connection.info.user};",
        )
    return str(space)


def close_to_others(connection: Connection, name: str) -> None:
    """Only its owner may connect to a database from now on: what stands in it is production's, for a while."""
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def drop_at_the_end(context: RunContext, orders: Address, name: str) -> None:
    """Drop a run's database; on a connection of its own, because the run's may be in the midst of a statement.

    Never raises: whatever ended the run must stay what is told of it. What cannot be dropped now, the next run does.
    """
    try:
        with connected(orders, what="the server") as connection:
            if not database_exists(connection, name):
                return
            drop_database(connection, name)
        text, tell = f"Dropped the scratch database {name}.", context.note
    except CheckError as error:
        text = f"The scratch database {name} is still there: {error.message} The next run on this server drops it."
        tell = context.warn
    with contextlib.suppress(Cancelled, Fenced):
        tell(text)


def shape_of(connection: Connection, database: str) -> dict[str, Any]:
    """Encoding and locale of a database."""
    row = connection.execute(
        "SELECT pg_encoding_to_char(encoding), COALESCE(to_jsonb(d)->>'datlocprovider', 'c'), datcollate, datctype,"
        " COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale')"
        " FROM pg_catalog.pg_database d WHERE datname = %s",
        [database],
    ).fetchone()
    if row is None:
        raise CheckError(f"There is no database {database} on that server.", remedy="Correct the address in the plan.")
    return dict(zip(("encoding", "locale_provider", "collate", "ctype", "locale"), row, strict=True))


_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": "libc"}


def create_empty(connection: Connection, name: str, shape: Mapping[str, Any]) -> None:
    """CREATE DATABASE from template0 with the encoding and locale of ``shape``, and in its tablespace."""
    provider = _PROVIDERS[shape["locale_provider"]]
    options: list[sql.Composable] = [
        sql.SQL("TEMPLATE template0"),
        sql.SQL("ENCODING {}").format(sql.Literal(shape["encoding"])),
        sql.SQL("LC_COLLATE {}").format(sql.Literal(shape["collate"])),
        sql.SQL("LC_CTYPE {}").format(sql.Literal(shape["ctype"])),
    ]
    if connection.info.server_version >= 150000:
        options.append(sql.SQL("LOCALE_PROVIDER {}").format(sql.Identifier(provider)))
    if shape["locale"] and provider in ("icu", "builtin"):
        word: LiteralString = "ICU_LOCALE {}" if provider == "icu" else "BUILTIN_LOCALE {}"
        options.append(sql.SQL(word).format(sql.Literal(shape["locale"])))
    if shape.get("tablespace"):
        options.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(shape["tablespace"])))
    statement = sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), sql.SQL(" ").join(options))
    try:
        connection.execute(statement)
    except errors.InvalidParameterValue as error:
        raise CheckError(
            f"The server cannot make a database with the encoding and locale of the original: {server_words.of(error)}",
            remedy="Install that locale on the server, or restore on a server like the original.",
        ) from error
    except errors.InsufficientPrivilege as error:
        raise CheckError(
            f"Role {connection.info.user} may not create databases on the server: {server_words.of(error)}",
            remedy=f"ALTER ROLE {connection.info.user} CREATEDB;",
        ) from error


def swap(context: RunContext, orders: Address, *, fresh: str, target: str, aside: str) -> None:
    """Give ``fresh`` the name ``target``, and ``target`` the name ``aside``, in one transaction.

    Sessions of the old database are ended first. When this raises, or is killed in its midst, the old database is as it
    was: it is never closed, but nobody can enter one while it is given another name.
    """
    with connected(orders, what="the server") as connection:
        refuse_bound(connection, target)
        _tell_placed(context, orders.named(target))
        try:
            _end_sessions(connection, fresh)
            _terminate(connection, target)  # once here, so that a right that is missing is told
            with _kept_empty(connection, orders, target), connection.transaction():
                _rename(connection, fresh=fresh, target=target, aside=aside)
        except psycopg.Error as error:
            told = explain(error, orders, what="the swap of the databases")
            remedy = told.remedy or "Stop what is connected to the database, then try again."
            raise CheckError(f"{told.message} The database {target} is untouched.", remedy=remedy) from error


def refuse_bound(connection: Connection, target: str) -> None:
    """CheckError where something belongs to a database that would not come along when another one takes its place."""
    if bound := database_settings.bound(connection, target):
        raise CheckError(
            f"Another database cannot take the place of {target} while it has {', '.join(bound)}: that would stay with"
            f" the one that is set aside. The database {target} is untouched.",
            remedy="Drop it (pg_drop_replication_slot, DROP SUBSCRIPTION), then try again. Afterwards make it anew, and"
            " let what reads from it begin with a new copy of the rows.",
        )


def _tell_placed(context: RunContext, target: Address) -> None:
    """Name what stood in tablespaces of its own: what takes its place holds it in the database's."""
    try:
        with connected(target) as connection:
            placed = database_settings.placed_elsewhere(connection)
    except CheckError as error:
        context.warn(f"Whether tables of {target.database} stand in tablespaces of their own was not seen: {error}")
        return
    for space, name in placed[:_NAMED]:
        context.warn(f"{name} stood in the tablespace {space}; now it stands in that of the database.")
    if len(placed) > _NAMED:
        context.warn(f"So did {len(placed) - _NAMED:,} more tables and indexes.")


def _rename(connection: Connection, *, fresh: str, target: str, aside: str) -> None:
    """Give the names, and the fresh one all that belongs to the old one and is in no dump; or raise, and give none."""
    old, new = sql.Identifier(target), sql.Identifier(fresh)
    wanted, found = database_settings.read(connection, target), database_settings.read(connection, fresh)
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, sql.Identifier(aside)))
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, old))
    for what, statement in database_settings.statements(target, wanted, found):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            raise CheckError(
                f"What takes the place of {target} cannot be given {what}: {server_words.of(error)}."
                f" The database {target} is untouched.",
                remedy="Give the plan's role the right to do that, or take the setting away, then try again.",
            ) from error
    differing = database_settings.differences(wanted, database_settings.read(connection, target))
    if differing:
        raise CheckError(
            f"What takes the place of {target} would differ from it in {'; '.join(differing[:10])}."
            f" The database {target} is untouched.",
            remedy="Make that the same by hand or take it away from the old one, then try again.",
        )


@contextmanager
def _kept_empty(connection: Connection, orders: Address, database: str) -> Iterator[None]:
    """End whoever came back, on a session of our own, until the block is done.

    Renaming lets nobody in and waits a few seconds for those who are there. By number, because the name is soon that of
    another database.
    """
    number = one(connection, "SELECT oid FROM pg_catalog.pg_database WHERE datname = %s", [database])
    over = threading.Event()

    def work() -> None:
        # What goes wrong here shows in the renaming, which is refused while somebody is there.
        with contextlib.suppress(CheckError), connected(orders, what="the server") as another:
            while not over.wait(_LOOK_SECONDS):
                another.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
                    " WHERE datid = %s AND usesysid IS NOT NULL",
                    [number],
                )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def sessions(connection: Connection, database: str) -> int:
    """How many sessions of people and programs a database has; the server's own workers have no role."""
    query: LiteralString = (
        "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL"
    )
    return int(one(connection, query, [database]))


def nobody_there(connection: Connection, database: str) -> bool:
    """Wait a moment for sessions that are just ending, such as our own."""
    for _ in range(20):
        if not sessions(connection, database):
            return True
        time.sleep(0.05)
    return False


def _terminate(connection: Connection, database: str) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL",
        [database],
    )


def _end_sessions(connection: Connection, database: str) -> None:
    for _ in range(50):
        _terminate(connection, database)
        if nobody_there(connection, database):
            return
    raise CheckError(f"Sessions of the database {database} do not end.", remedy="Stop the application, then try again.")


def set_aside_name(target: str, moment: str) -> str:
    """'shop' -> 'shop_replaced_20260101T120000Z', within the length of a name."""
    return f"{target[: 63 - len('_replaced_') - len(moment)]}_replaced_{moment}"


def drop_older_set_aside(connection: Connection, target: str, keep: str) -> list[str]:
    """Drop what earlier restores of the same database set aside; the newest one stays."""
    prefix = set_aside_name(target, "")
    rows = connection.execute("SELECT datname FROM pg_catalog.pg_database").fetchall()
    older = [name for (name,) in rows if name != keep and re.fullmatch(re.escape(prefix) + r"\d{8}T\d{6}Z", name)]
    for name in older:
        if database_exists(connection, name):
            drop_database(connection, name)
    return older
