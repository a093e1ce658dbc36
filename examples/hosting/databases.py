"""Make the role and the database of one environment, as the administrator of a PostgreSQL server.

    GONOGO_DEMO_DSN=postgresql://admin@host/postgres python databases.py

    python databases.py --drop

The role and the database are both called DATABASE_NAME; DATABASE_PASSWORD is the role's password.

Run by the Python of an application's virtual environment, which has psycopg. What exists already is kept; only the
password is set again. The role may create databases, so that a rehearsal can clone and a drill can restore.
"""

import sys

import psycopg
from home import OpsError, need
from psycopg import sql


def main(drop: bool) -> None:
    try:
        connection = psycopg.connect(need("GONOGO_DEMO_DSN"), autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise OpsError(f"The server in GONOGO_DEMO_DSN cannot be used: {error}") from error
    with connection, connection.cursor() as cursor:
        if drop:
            drop_database(cursor, need("DATABASE_NAME"))
        else:
            make_database(cursor, need("DATABASE_NAME"), need("DATABASE_PASSWORD"))


def drop_database(cursor: psycopg.Cursor, name: str) -> None:
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    print(f"The database {name} was dropped.")


def make_database(cursor: psycopg.Cursor, name: str, password: str) -> None:
    role = sql.Identifier(name)
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    cursor.execute(
        sql.SQL("{} ROLE {} LOGIN CREATEDB PASSWORD {}").format(verb, role, sql.Literal(password)),
    )
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone():
        print(f"The database {name} exists already and is kept.")
    else:
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(role, role))
        print(f"The database {name} was made.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] == ["--drop"])
    except (OpsError, OSError) as error:
        sys.exit(f"databases: {error}")
