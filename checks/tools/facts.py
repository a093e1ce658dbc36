"""What a backup's manifest says of the database it was taken from, and what a target must offer to take it back."""

from collections.abc import Callable, Mapping
from typing import Any, LiteralString

from checks.errors import CheckError
from checks.tools import belongings, cluster, digest, schema
from checks.tools.crypto import KeyRing
from checks.tools.postgres import Connection, one, version_name

_ROLES: LiteralString = """
    SELECT DISTINCT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' AND oid IN (
        SELECT refobjid FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_database b ON b.oid = d.dbid
        WHERE b.datname = current_database() AND d.refclassid = 'pg_catalog.pg_authid'::regclass
        UNION SELECT relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
    ORDER BY 1
"""
_DATABASE: LiteralString = """
    SELECT pg_encoding_to_char(encoding), COALESCE(to_jsonb(d)->>'datlocprovider', 'c'), datcollate, datctype,
           COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), pg_database_size(d.oid),
           pg_get_userbyid(d.datdba)
    FROM pg_catalog.pg_database d WHERE datname = current_database()
"""
_DUMPED: LiteralString = """
    SELECT COALESCE(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


def server_version(connection: Connection) -> int:
    return connection.info.server_version


def database_facts(connection: Connection) -> dict[str, Any]:
    """Version, encoding, locale, size, extensions and roles of the connected database."""
    row = connection.execute(_DATABASE).fetchone()
    assert row is not None
    names = ("encoding", "locale_provider", "collate", "ctype", "locale", "size", "owner")
    extensions = connection.execute("SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1").fetchall()
    version = server_version(connection)
    roles = [name for (name,) in connection.execute(_ROLES).fetchall()]
    return {
        "server": {"version": version, "name": version_name(version)},
        "database": {"name": connection.info.dbname, **dict(zip(names, row, strict=True))},
        "extensions": dict(extensions),
        "roles": roles,
        "role_facts": cluster.roles_of(connection, roles),
    }


def belonging(connection: Connection, described: Mapping[str, Any], backup_id: str, ring: KeyRing) -> dict[str, Any]:
    """What is in no dump, for the manifest; the roles that it takes come to those that are ``described``."""
    found = belongings.read(connection, described["database"]["name"], described["roles"])
    more = sorted(found.roles - described["role_facts"].keys())
    return {
        "role_facts": described["role_facts"] | cluster.roles_of(connection, more),
        belongings.FIELD: belongings.sealed(found, backup_id, ring),
    }


def expected_dump_size(connection: Connection) -> int:
    """Bytes of all tables without their indexes; a dump is about that long."""
    return int(one(connection, _DUMPED))


def require(connection: Connection, document: Mapping[str, Any]) -> None:
    """Refuse a server that cannot take this backup back. CheckError names each thing that it lacks."""
    made_on, here = document["server"]["version"], server_version(connection)
    if made_on // 10000 > here // 10000:
        raise CheckError(
            f"The backup comes from the newer server version {version_name(made_on)}; this is {version_name(here)}.",
            remedy="Restore it on a server of that version or later. Nothing was restored.",
        )
    rows = connection.execute("SELECT name FROM pg_catalog.pg_available_extensions").fetchall()
    absent = sorted(document["extensions"].keys() - {name for (name,) in rows})
    if absent:
        raise CheckError(
            f"The server lacks extensions that the backup needs: {', '.join(absent)}.",
            remedy="Install them on that server. Nothing was restored.",
        )
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}
    strangers = sorted(set(document["roles"]) - known)
    if strangers:
        raise CheckError(
            f"The server lacks roles that the backup needs: {', '.join(strangers)}.",
            remedy="Create them there. Nothing was restored.",
        )


def content(
    connection: Connection,
    seed: int,
    *,
    chained: bool,
    depth: schema.Depth = schema.Depth.WHOLE,
    note: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Rows and checksums of all tables and large objects, and the schema, in the connection's snapshot.

    ``chained``: how rows are hashed, see ``row_hash``; ``depth``: how the schema is looked at; ``note``: what
    is looked at next, how many tables are done, and how many there are.
    """
    digests = digest.digest_tables(connection, seed, note, chained=chained)
    if note is not None:
        note("large objects, sequences and schema", len(digests), len(digests))
    large = digest.digest_large_objects(connection, seed)
    objects = schema.schema_objects(connection, depth=depth)
    return {
        "tables": {name: {"rows": found.rows, "checksum": found.checksum} for name, found in digests.items()},
        "large_objects": {"rows": large.rows, "checksum": large.checksum},
        "schema": {"digest": schema.schema_digest(objects), "objects": objects},
        "behind": [name for name, _, _ in digest.behind_their_column(connection)],
    }


def noted_sequences(
    before: Mapping[str, digest.SequenceState], after: Mapping[str, digest.SequenceState]
) -> dict[str, dict[str, int | None]]:
    """How a manifest notes where each sequence stood on both sides of the dump, and what it would give out next."""
    noted = {}
    for name, was in before.items():
        now = after.get(name, was)
        noted[name] = {
            "before": was.position, "after": now.position, "next_before": was.following, "next_after": now.following,
        }  # fmt: skip
    return noted
