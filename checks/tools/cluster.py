"""A new and empty PostgreSQL cluster of a run's own, and the roles that a backup needs in it."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from psycopg import sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools.postgres import Address, Connection

#: Column of pg_roles -> what CREATE ROLE calls it.
ATTRIBUTES: Final[Mapping[str, str]] = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}


@contextmanager
def empty_cluster(context: RunContext) -> Iterator[Address]:
    """A server of this worker's own binaries in the run's work folder; gone at the end, however that comes.

    Yields the superuser's address. CheckError when the server does not come up; the log holds what it said.
    """
    password = secrets.token_urlsafe(24)
    context.mask(password, "cluster")
    argv = [sys.executable, "-m", "config.services.cluster", str(context.scratch / "cluster")]
    variables = {"CLUSTER_PASSWORD": password, "PYTHONPATH": str(settings.BASE_DIR)}
    with context.pipe(argv, stdout=True, variables=variables, shown=["postgres", "of", "a", "new", "cluster"]) as pipe:
        assert pipe.stdout is not None
        word, _, port = pipe.stdout.readline().decode().strip().partition(" ")
        if word != "ready":
            context.check()
            raise CheckError(
                "A new PostgreSQL cluster could not be made on this worker; the log says why.",
                remedy="Nothing was restored. Mend what the log names, then start the drill again.",
            )
        yield Address(
            {"host": "127.0.0.1", "port": port, "user": "postgres", "password": password, "dbname": "postgres"}
        )
        pipe.terminate()


def roles_of(connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
    """Name -> attributes and memberships of roles, without their passwords: enough to make them anew."""
    columns = sql.SQL(", ").join(map(sql.Identifier, ATTRIBUTES))
    query = sql.SQL(
        "SELECT rolname, {}, ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g"
        " ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1) FROM pg_catalog.pg_roles r WHERE rolname = ANY(%s)"
    ).format(columns)
    return {
        name: {
            "attributes": [word for word, is_set in zip(ATTRIBUTES.values(), flags, strict=True) if is_set],
            "member_of": groups,
        }
        for name, *flags, groups in connection.execute(query, [names]).fetchall()
    }


def make_roles(connection: Connection, document: Mapping[str, Any], login: str, password: str) -> list[str]:
    """Make the roles that a backup needs and that are not there, and ``login``, with that password; their names."""
    wanted: dict[str, Any] = {name: {"attributes": [], "member_of": []} for name in document["roles"]}
    wanted |= document.get("role_facts", {})
    wanted.setdefault(login, {"attributes": [], "member_of": []})
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}
    made = sorted(wanted.keys() - known)
    for name in made:
        words = [word for word in wanted[name]["attributes"] if word in ATTRIBUTES.values()]
        options = sql.SQL(" ").join(sql.SQL(word) for word in words)
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), options))
    for name in made:
        for group in wanted[name]["member_of"]:
            if group in known or group in wanted:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)))
    change = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login), sql.Literal(password))
    connection.execute(change)
    return made
