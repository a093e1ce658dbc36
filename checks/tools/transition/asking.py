"""Whether a value is one of a type, asked so that nothing breaks off: of the server's own function where it has one."""

import hashlib
from typing import Final

from psycopg import sql

from checks.tools.postgres import Connection

#: The version that brought pg_input_is_valid.
SINCE: Final = 160000


def takes(connection: Connection, value: sql.Composable, kind: str) -> sql.Composable:
    """A condition: the type ``kind`` reads the value as it is written, with its length and the rules of its domain.

    Before PostgreSQL 16 a function of this session tries it, by an assignment: unlike a cast, that cuts nothing off.
    """
    if connection.info.server_version >= SINCE:
        return sql.SQL("pg_input_is_valid(({})::text, {})").format(value, sql.Literal(kind))
    name = sql.Identifier("pg_temp", f"gonogo_takes_{hashlib.sha256(kind.encode()).hexdigest()[:16]}")
    connection.execute(
        sql.SQL(
            "CREATE OR REPLACE FUNCTION {}(given text) RETURNS boolean LANGUAGE plpgsql AS $tried$ BEGIN"
            " DECLARE held {} := given; BEGIN RETURN true; END; EXCEPTION WHEN others THEN RETURN false; END $tried$"
        ).format(name, sql.SQL(kind))
    )
    return sql.SQL("{}(({})::text)").format(name, value)
