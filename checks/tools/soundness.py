"""Whether a restored database can be used: it takes writes, and its pages and indexes are in order."""

import psycopg
from psycopg import sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import digest, server_words
from checks.tools.postgres import Address, Connection, binary, connected, one

_TABLE = "gonogo_write_test"


def write_test(connection: Connection) -> str:
    """Insert, change, read and delete in a table made for it, and take a value of each sequence; "" when all went well.

    Only for a database that is thrown away: the sequences move on.
    """
    name = sql.Identifier("public", _TABLE)
    try:
        connection.execute("CREATE SCHEMA IF NOT EXISTS public")
        connection.execute(sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, text text NOT NULL)").format(name))
        connection.execute(
            sql.SQL("INSERT INTO {} SELECT n, repeat('x', 100) FROM generate_series(1, 1000) n").format(name)
        )
        connection.execute(sql.SQL("UPDATE {} SET text = 'y' WHERE id <= 500").format(name))
        connection.execute(sql.SQL("DELETE FROM {} WHERE id > 900").format(name))
        row = connection.execute(
            sql.SQL("SELECT count(*), count(*) FILTER (WHERE text = 'y') FROM {}").format(name)
        ).fetchone()
        if row != (900, 500):
            return f"The restored database does not keep what is written: it read {row} instead of (900, 500)."
        connection.execute(sql.SQL("DROP TABLE {}").format(name))
        for sequence in digest.sequences(connection):
            schema, _, relation = sequence.partition(".")
            connection.execute("SELECT nextval(format('%%I.%%I', %s::text, %s::text)::regclass)", [schema, relation])
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return f"The restored database refuses to be written to: {' '.join(server_words.of(error).split())}"
    return ""


def why_no_amcheck(address: Address) -> str:
    """Why pg_amcheck cannot be run on this database; "" when it can."""
    try:
        binary("pg_amcheck")
    except CheckError:
        return "this worker has no pg_amcheck"
    with connected(address) as connection:
        if not one(connection, "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'"):
            return "the server has no amcheck extension"
        if not one(connection, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"):
            return f"only a superuser may, and {connection.info.user} is none"
    return ""


def amcheck(context: RunContext, address: Address, *, timeout: float = 3600) -> str:
    """Run pg_amcheck with its extension installed into the database; "" when it found nothing wrong."""
    dbname, variables = address.for_command()
    done = context.command(
        [binary("pg_amcheck"), "--install-missing", "--no-password", dbname],
        timeout=timeout, variables={**variables, "LC_ALL": "C"}, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return ""
    if done.returncode == 2:
        return "pg_amcheck found damaged pages or indexes in the restored database; the log names them."
    raise CheckError(f"pg_amcheck could not be run to its end (exit status {done.returncode}); the log says why.")
