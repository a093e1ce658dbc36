"""A copy of a database to rehearse on, made in the fastest way that lets nobody of the original wait."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import psycopg
from psycopg import errors, sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import database_settings, dumping, facts, scratch, server_words
from checks.tools.background import patiently
from checks.tools.postgres import Address, Connection, connected, drop_database, explain, maintenance, one

Method = Literal["auto", "template", "dump"]
#: How PostgreSQL 18 copies the files of a database: 'clone' shares blocks until one side changes them.
COPY_METHODS = ("clone", "copy")
#: The word for each way, as reports say it.
WAYS = {"clone": "reflink", "copy": "file_copy", "dump": "dump"}


@dataclass(frozen=True)
class Clone:
    """``method``: 'reflink', 'file_copy' or 'dump'. ``passed_over``: (faster way, why not it).

    ``seconds``: what the whole clone cost. ``visitors_seconds``: how long, at most, a new session of the original had
    to wait meanwhile; 0 for a dump. ``size``: bytes that the clone takes when nothing is shared. ``masked``: how it was
    masked (environment, rows, seconds, compared, large_objects), None for one that holds the data as they are.
    ``lacking``: settings of the original that it could not be given, in words that tell no value.
    """

    address: Address
    method: str
    passed_over: list[tuple[str, str]]
    seconds: float
    visitors_seconds: float
    size: int
    masked: Mapping[str, Any] | None = None
    lacking: list[str] = field(default_factory=list)


@dataclass
class _Attempt:
    """Where the copy goes, and what was tried so far."""

    context: RunContext
    source: Address
    server: Address
    orders: Address
    name: str
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    visitors_seconds: float = 0.0

    def pass_over(self, way: str, why: str) -> None:
        self.passed_over.append((way, why))


@contextmanager
def clone(
    context: RunContext,
    source: Address,
    *,
    server: Address,
    method: Method,
    lock_timeout: timedelta,
    visitors_wait: timedelta,
) -> Iterator[Clone]:
    """A copy of ``source`` on the server of ``server``, dropped at the end, however the end comes.

    Nobody but its own role may connect to it: rights of the original's database do not come along with a copy.

    ``visitors_wait``: a copy of files keeps new sessions out of the original while it lasts; after so long it is given
    up for a dump. Not observed when the method is 'template', which is a person's own choice.
    """
    name = scratch.name_of(context, "clone")
    orders = maintenance(server)
    size = _tell_size(context, source)
    with connected(orders, what="the server") as connection:
        scratch.sweep(context, connection)
        drop_database(connection, name)
    began = time.monotonic()
    attempt = _Attempt(context, source, server, orders, name)
    try:
        way = _copy(attempt, method, lock_timeout, visitors_wait)
        with connected(server.named(name), what="the clone") as connection:
            scratch.close_to_others(connection, name)
        lacking = give_settings(source, server.named(name))
        taken = round(time.monotonic() - began, 3)
        context.note(f"Cloned {source.database} as {name} ({way}, {taken:.2f} s)")
        for other, why in attempt.passed_over:
            context.note(f"Not by {other}: {why}")
        visitors = round(attempt.visitors_seconds, 3)
        yield Clone(server.named(name), way, attempt.passed_over, taken, visitors, size, lacking=lacking)
    finally:
        scratch.drop_at_the_end(context, orders, name)


def _copy(attempt: _Attempt, method: Method, lock_timeout: timedelta, visitors_wait: timedelta) -> str:
    """Copy in the first way that is possible; returns its word."""
    why = _why_no_files(attempt, method, visitors_wait)
    if why:
        for way in COPY_METHODS:
            attempt.pass_over(WAYS[way], why)
    else:
        wait = None if method == "template" else visitors_wait
        way = _copy_files(attempt, wait)
        if way:
            return way
    if method == "template":
        _, why = attempt.passed_over[-1]
        raise CheckError(
            f"The database {attempt.source.database} cannot be copied as a template: {why}.",
            remedy="Stop the application, or let the check clone by dump.",
        )
    _copy_by_dump(attempt, lock_timeout)
    return WAYS["dump"]


def _why_no_files(attempt: _Attempt, method: Method, visitors_wait: timedelta) -> str:
    if method == "dump":
        return "the plan asks for a dump"
    if not same_server(attempt.source, attempt.server):
        return f"the clone stands at {attempt.server.server}, another server"
    if method == "auto" and not visitors_wait:
        return "it would let new sessions of the original wait, and the plan allows no waiting"
    return ""


def _copy_files(attempt: _Attempt, visitors_wait: timedelta | None) -> str:
    """Copy file by file, blocks shared where the file system can; returns the way, or "" when none went.

    Both tries together keep new sessions waiting for at most ``visitors_wait``; None: for as long as it takes.
    """
    for index, method in enumerate(COPY_METHODS):
        # A session for each try, so that the time which a copy may take holds for nothing else.
        with connected(attempt.orders, what="the server") as connection:
            if not scratch.nobody_there(connection, attempt.source.database):
                count = scratch.sessions(connection, attempt.source.database)
                for way in COPY_METHODS[index:]:
                    attempt.pass_over(WAYS[way], f"{count} session(s) are connected to {attempt.source.database}")
                return ""
            left = visitors_wait and visitors_wait - timedelta(seconds=attempt.visitors_seconds)
            why = _set_method(connection, method) or _create(attempt, connection, method, left)
            if not why:
                return WAYS[method]
            attempt.pass_over(WAYS[method], why)
    return ""


def _set_method(connection: Connection, method: str) -> str:
    """Choose how files are copied; returns why that cannot be."""
    if connection.info.server_version < 180000:
        return "the server is older than PostgreSQL 18" if method == "clone" else ""
    try:
        connection.execute(sql.SQL("SET file_copy_method = {}").format(sql.Literal(method)))
    except errors.InvalidParameterValue:
        return "this build of PostgreSQL cannot share blocks of files"
    return ""


def _create(attempt: _Attempt, connection: Connection, method: str, wait: timedelta | None) -> str:
    """CREATE DATABASE from the original; returns why it did not go, "" when it went."""
    if wait is not None and wait <= timedelta(0):
        return "new sessions of the original had waited as long as the plan allows"
    milliseconds = max(1, int(wait.total_seconds() * 1000)) if wait else 0  # 0 would be: for as long as it takes
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{milliseconds}ms"])
    # Before PostgreSQL 15 files are copied always, and there is no word for it.
    strategy = sql.SQL("STRATEGY FILE_COPY" if connection.info.server_version >= 150000 else "")
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
        sql.Identifier(attempt.name), sql.Identifier(attempt.source.database), strategy
    )
    began = time.monotonic()
    try:
        patiently(attempt.context, connection, lambda: connection.execute(statement))
    except errors.ObjectInUse:
        return "somebody connected to it meanwhile"
    except errors.QueryCanceled:
        limit = wait.total_seconds() if wait else 0
        return f"it was given up after {limit:g} s, so that new sessions of the original need not wait longer"
    except errors.InsufficientPrivilege:
        return f"the role {attempt.source.role} may not copy this database"
    except errors.DiskFull as error:
        raise explain(error, attempt.orders, what="the clone") from error
    except psycopg.Error as error:
        if method == "clone":
            return f"the file system shares no blocks ({' '.join(server_words.of(error).split())[:200]})"
        raise explain(error, attempt.orders, what="the clone") from error
    finally:
        attempt.visitors_seconds += time.monotonic() - began
    return ""


def give_settings(source: Address, clone: Address) -> list[str]:
    """Give a clone the settings of its original, such as statement_timeout; returns those that could not be given.

    No copy of files and no dump has them. Those for all roles and those for the original's own role come along; nobody
    else may connect to a clone. They hold for sessions that begin afterwards.
    """
    with connected(source, what="the database to clone") as connection:
        # A pooler may have another name for it than the server.
        named = str(one(connection, "SELECT current_database()"))
        found = database_settings.read(connection, named)["settings"]
        role = str(one(connection, "SELECT session_user"))
    with connected(clone, what="the clone") as connection:
        here = str(one(connection, "SELECT session_user"))
        wanted = {(here if whose else "", key): value for (whose, key), value in found.items() if whose in ("", role)}
        lacking = []
        for told, statement in database_settings.settings(clone.database, wanted):
            try:
                connection.execute(statement)
            except psycopg.Error:
                lacking.append(told)
    return lacking


def same_server(one_address: Address, other: Address) -> bool:
    """Whether two addresses lead to one server, by whatever names."""
    with connected(one_address) as first, connected(other) as second:
        query = "SELECT system_identifier::text || current_setting('port') FROM pg_catalog.pg_control_system()"
        try:
            return bool(one(first, query) == one(second, query))
        except psycopg.Error:
            # The function may be closed to this role; then the addresses decide.
            return one_address.server == other.server


def _copy_by_dump(attempt: _Attempt, lock_timeout: timedelta) -> None:
    context, source, server = attempt.context, attempt.source, attempt.server
    with connected(source, what="the database to clone") as connection:
        shape = facts.database_facts(connection)["database"]
    with connected(attempt.orders, what="the server of the clone") as connection:
        drop_database(connection, attempt.name)
        patiently(context, connection, lambda: scratch.create_empty(connection, attempt.name, shape))
    # Another role owns everything on another server, where those of production may not exist.
    strange = ["--no-owner", "--no-acl"] if source.role != server.role or source.server != server.server else []
    pieces = dumping.dump(context, source, lock_timeout=lock_timeout)
    try:
        dumping.load(context, server.named(attempt.name), pieces, arguments=strange)
    finally:
        pieces.close()
    with connected(server.named(attempt.name), what="the clone") as connection:
        patiently(context, connection, lambda: connection.execute("ANALYZE"))


def _tell_size(context: RunContext, source: Address) -> int:
    """A clone needs as much space again. The server says how much the database takes; its disk it does not tell."""
    with connected(source, what="the database to clone") as connection:
        size = int(one(connection, "SELECT pg_database_size(current_database())"))
    context.note(f"{source.database} at {source.server} takes {size / 1e6:,.1f} MB; the clone takes as much again.")
    return size
