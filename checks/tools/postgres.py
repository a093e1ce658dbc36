"""PostgreSQL servers and databases: connect, ask, create, swap, drop; every failure a sentence with its mend."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from checks.errors import CheckError
from checks.tools import server_words

Connection = psycopg.Connection[tuple[Any, ...]]
CONNECT_SECONDS = 10
#: Older servers lack what questions here ask for, and nobody mends them any more.
OLDEST = 130000
#: Sessions say everything in one way, so that two servers print equal values equally.
SESSION = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "search_path": "",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "row_security": "off",
}
#: Of a session that keeps others waiting: the server ends it within about a minute where its client's host is gone, and
#: within seconds, also amid a statement, where the client itself is. Not every server has, or can do, all of them.
_NOTICE = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "client_connection_check_interval": "5000",
}


@dataclass(frozen=True)
class Address:
    """Where a database is. ``parts`` are libpq's own keywords, password included."""

    parts: Mapping[str, str]

    @classmethod
    def parse(cls, url: str, *, what: str = "The database address") -> "Address":
        """A postgresql:// URL -> Address. CheckError when it is none, or names no database."""
        if not re.match(r"postgres(ql)?://", url):
            raise CheckError(
                f"{what} is not a PostgreSQL address.",
                remedy="Write it as postgresql://user:password@host:port/database.",
            )
        try:
            parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
        except psycopg.ProgrammingError as error:
            raise CheckError(
                f"{what} cannot be read: {str(error).strip()}.",
                remedy="Write it as postgresql://user:password@host:port/database.",
            ) from None
        if not parts.get("dbname"):
            raise CheckError(f"{what} names no database.", remedy="End it with /database.")
        return cls(parts)

    @property
    def database(self) -> str:
        return self.parts["dbname"]

    @property
    def server(self) -> str:
        """host:port, for people."""
        host = self.parts.get("host") or self.parts.get("hostaddr") or "local socket"
        return f"{host}:{self.parts.get('port', 5432)}"

    @property
    def role(self) -> str:
        return self.parts.get("user", "")

    def named(self, database: str) -> "Address":
        """The same server and role, another database."""
        return Address({**self.parts, "dbname": database})

    def conninfo(self, **more: Any) -> str:
        return make_conninfo("", **{"connect_timeout": CONNECT_SECONDS, **self.parts, **more})

    def url(self) -> str:
        """A postgresql:// URL again, for commands of the application."""
        from urllib.parse import quote, urlencode

        known = {"user", "password", "host", "port", "dbname"}
        host = self.parts.get("host", "")
        rest = {key: value for key, value in self.parts.items() if key not in known}
        if host.startswith("/") or "," in host:
            rest["host"], host = host, ""
        elif ":" in host:
            host = f"[{host}]"
        login = quote(self.role, safe="")
        if "password" in self.parts:
            login += ":" + quote(self.parts["password"], safe="")
        port = f":{self.parts['port']}" if "port" in self.parts else ""
        query = f"?{urlencode(rest)}" if rest else ""
        return f"postgresql://{login + '@' if login else ''}{host}{port}/{quote(self.database, safe='')}{query}"

    def for_command(self) -> tuple[str, dict[str, str]]:
        """(--dbname value without the password, environment variables with it): nothing secret in an argv."""
        parts = {key: value for key, value in self.parts.items() if key not in ("password", "sslpassword")}
        variables = {"PGCONNECT_TIMEOUT": str(CONNECT_SECONDS), "PGAPPNAME": "gonogo"}
        if "password" in self.parts:
            variables["PGPASSWORD"] = self.parts["password"]
        return make_conninfo("", **parts), variables


def binary(name: str) -> str:
    """The path of a PostgreSQL program of POSTGRES_BIN. CheckError when it is not there."""
    path = Path(settings.POSTGRES_BIN) / name
    if not path.is_file():
        raise CheckError(
            f"The program {name} is not in {path.parent}.",
            remedy="Install PostgreSQL's client programs on the worker, or set POSTGRES_BIN to their folder.",
        )
    return str(path)


@contextmanager
def connected(
    address: Address, *, what: str = "the database", autocommit: bool = True, lock_timeout: timedelta | None = None
) -> Iterator[Connection]:
    """A connection with fixed session settings; any PostgreSQL error inside comes out as CheckError.

    ``lock_timeout``: how long a statement waits for a lock.
    """
    connection = connect(address, what=what, autocommit=autocommit, lock_timeout=lock_timeout)
    try:
        yield connection
    except psycopg.Error as error:
        raise explain(error, address, what=what) from error
    finally:
        connection.close()


def connect(
    address: Address, *, what: str = "the database", autocommit: bool = True, lock_timeout: timedelta | None = None
) -> Connection:
    """Open a connection; the caller closes it. CheckError says why it could not be opened."""
    session = dict(SESSION)
    session["lock_timeout"] = f"{int(lock_timeout.total_seconds() * 1000)}ms" if lock_timeout else "0"
    try:
        connection = psycopg.connect(address.conninfo(application_name="gonogo"), autocommit=True)
    except psycopg.Error as error:
        raise explain(error, address, what=what) from None
    try:
        _refuse_older(connection, address)
        settle(connection, session)
        connection.autocommit = autocommit
    except CheckError:
        connection.close()
        raise
    except psycopg.Error as error:
        connection.close()
        raise explain(error, address, what=what) from error
    return connection


def _refuse_older(connection: Connection, address: Address) -> None:
    version = connection.info.server_version
    if version < OLDEST:
        raise CheckError(
            f"The server {address.server} is PostgreSQL {version_name(version)}; {OLDEST // 10000} is the oldest that"
            " this program works with.",
            remedy="Upgrade it, or let a copy on a newer server stand for it. Nothing was touched.",
        )


def settle(connection: Connection, session: Mapping[str, str]) -> None:
    """Settings of this session, all in one question."""
    query: LiteralString = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)"
    connection.execute(query, [list(session), list(session.values())])


def notice_a_lost_client(connection: Connection) -> None:
    """Before this session takes locks: let the server end it soon after nobody is there any more who could."""
    for name, value in _NOTICE.items():
        with suppress(errors.UndefinedObject, errors.InvalidParameterValue), connection.transaction():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])


_CONNECT_FAULTS = (
    (r"password authentication failed|no password supplied",
     "The password of role {role} is wrong for {what} at {server}",
     "Set the right password in the secret that the plan names."),
    (r'role "(.*?)" does not exist', "There is no role {role} at {server}", "Create it, or correct the address."),
    (r'database "(.*?)" does not exist', "There is no database {database} at {server}",
     "Create it, or correct the address."),
    (r"could not translate host name|Name or service not known|failed to resolve host",
     "The host of {server} is not known", "Correct the host in the address, or the name service of the worker."),
    (r"Connection refused", "Nothing listens at {server}", "Start PostgreSQL there, or correct host and port."),
    (r"timeout expired|timed out|No route to host|Network is unreachable",
     "The host {server} cannot be reached from this worker", "Check host, port, network and firewall."),
    (r"no pg_hba.conf entry", "The server {server} does not let {role} in from this worker",
     "Add the worker to pg_hba.conf there."),
    (r"too many (clients|connections)|remaining connection slots", "The server {server} has no connection left",
     "Raise max_connections there, or end idle sessions."),
    (r"not currently accepting connections", "The database {database} at {server} accepts no connections now",
     "It is being restored or replaced; wait, or ALTER DATABASE ... ALLOW_CONNECTIONS true."),
)  # fmt: skip


def explain(error: psycopg.Error, address: Address, *, what: str = "the database") -> CheckError:
    """A psycopg error -> CheckError that names the cause and the mend; no password and no row is ever in it."""
    text = " ".join(server_words.of(error).split())
    told = {"what": what, "server": address.server, "role": address.role, "database": address.database}
    if (isinstance(error, psycopg.OperationalError) and error.sqlstate is None) or isinstance(
        error, errors.InvalidPassword | errors.InvalidCatalogName
    ):
        for pattern, message, remedy in _CONNECT_FAULTS:
            if re.search(pattern, text):
                return CheckError(f"{message.format(**told)}.", remedy=remedy)
        return CheckError(f"No connection to {what} at {address.server}: {text}", remedy="Check the address.")
    return _explain_statement(error, text, told)


def _explain_statement(error: psycopg.Error, text: str, told: Mapping[str, str]) -> CheckError:
    what, server = told["what"], told["server"]
    if isinstance(error, errors.LockNotAvailable):
        return CheckError(
            f"A table or row of {what} is locked by another session and was not released in time: {text}",
            remedy="Look at pg_stat_activity and pg_locks for the session that holds it, then start again.",
        )
    if isinstance(error, errors.DeadlockDetected):
        return CheckError(
            f"Another session of {what} and this one waited for each other (a deadlock), so PostgreSQL ended this one.",
            remedy="Start it again. If it happens again, find the session that writes the same tables meanwhile.",
        )
    if isinstance(error, errors.SerializationFailure):
        return CheckError(
            f"Another session changed rows of {what} that this one had to write, so PostgreSQL ended this one.",
            remedy="Start it again, when nobody else writes these tables.",
        )
    if isinstance(error, errors.DiskFull):
        return CheckError(
            f"The disk of {server} is full: {text}", remedy="Free space on that server, then start again."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return CheckError(
            f"Role {told['role']} lacks a right on {what}: {text}", remedy="Grant it, or use another role in the plan."
        )
    if isinstance(error, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow):
        return CheckError(
            f"The server {server} was shut down meanwhile, or somebody ended the session of {what}.",
            remedy="See that it runs, then start this again.",
        )
    return CheckError(f"PostgreSQL at {server} refused, for {what}: {text}")


def maintenance(address: Address) -> Address:
    """A database of the same server other than the given one, to give orders from."""
    failure: CheckError | None = None
    for name in ("postgres", "template1"):
        if name == address.database:
            continue
        try:
            connect(address.named(name)).close()
        except CheckError as error:
            failure = failure or error
        else:
            return address.named(name)
    raise failure or CheckError(f"No maintenance database at {address.server} can be used.")


def one(connection: Connection, query: LiteralString, params: Any = None) -> Any:
    """The first column of the first row; None without a row."""
    row = connection.execute(query, params).fetchone()
    return row[0] if row else None


def database_exists(connection: Connection, name: str) -> bool:
    return one(connection, "SELECT 1 FROM pg_database WHERE datname = %s", [name]) is not None


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database with its sessions; one that is not there is fine."""
    if database_exists(connection, name):
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def version_name(number: int) -> str:
    """180006 -> '18.6'."""
    return f"{number // 10000}.{number % 10000}"
