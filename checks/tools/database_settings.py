"""What belongs to a database and is in no dump of it: owner, rights, settings, limits, comment, labels, tablespace.

A database that takes another one's place has to have them all. They are read, given, and read again to compare.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.errors import CheckError
from checks.tools.postgres import Connection

#: PostgreSQL keeps the values of these as a list of quoted names; see GUC_LIST_QUOTE in its sources. No others may be
#: such lists, not even of an extension.
_LISTS: Final = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_NAME: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?:,|$)')

Facts = Mapping[str, Any]


def read(connection: Connection, database: str) -> Facts:
    """Area, as people call it -> what a database has there. CheckError when there is no such database."""
    row = connection.execute(
        "SELECT pg_get_userbyid(d.datdba), d.datconnlimit, d.datallowconn, d.datistemplate,"
        " shobj_description(d.oid, 'pg_database'), t.spcname FROM pg_catalog.pg_database d"
        " JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s",
        [database],
    ).fetchone()
    if row is None:
        raise CheckError(f"There is no database {database} on that server.", remedy="Correct the address in the plan.")
    names = ("owner", "connection limit", "connections allowed", "template", "comment", "tablespace")
    return {
        **dict(zip(names, row, strict=True)),
        "rights": _mapped(connection, _RIGHTS, database),
        "settings": _mapped(connection, _SETTINGS, database),
        "security labels": _mapped(connection, _LABELS, database),
    }


def _mapped(connection: Connection, query: LiteralString, database: str) -> dict[tuple[str, str], Any]:
    return {(first, second): value for first, second, value in connection.execute(query, [database])}


#: (grantee, "" for everybody; right) -> whether it may be passed on. Who granted it is no difference of rights.
_RIGHTS: Final[LiteralString] = (
    "SELECT CASE WHEN a.grantee = 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type,"
    " bool_or(a.is_grantable) FROM pg_catalog.pg_database d,"
    " aclexplode(COALESCE(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = %s GROUP BY 1, 2 ORDER BY 1, 2"
)
#: (role, "" for everybody; name of the setting) -> value.
_SETTINGS: Final[LiteralString] = (
    "SELECT CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, split_part(c.line, '=', 1),"
    " substr(c.line, strpos(c.line, '=') + 1) FROM pg_catalog.pg_db_role_setting s"
    " JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) WITH ORDINALITY c(line, place)"
    " WHERE d.datname = %s ORDER BY s.setrole, c.place"
)
_LABELS: Final[LiteralString] = (
    "SELECT l.provider, '', l.label FROM pg_catalog.pg_shseclabel l JOIN pg_catalog.pg_database d ON d.oid = l.objoid"
    " WHERE l.classoid = 'pg_catalog.pg_database'::regclass AND d.datname = %s ORDER BY 1"
)


def statements(database: str, wanted: Facts, found: Facts) -> list[tuple[str, sql.Composed]]:
    """What gives ``database``, which has ``found``, all that is in ``wanted``, each with what it gives, in words that
    tell no value. The owner first: the rest is the owner's to give, who may at any time.
    """
    name = sql.Identifier(database)
    given: list[tuple[str, sql.Composed]] = []
    if wanted["owner"] != found["owner"]:
        owner = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(wanted["owner"]))
        given.append(("its owner", owner))
    given += [("its rights", right) for right in _rights(name, wanted)]
    given += settings(database, wanted["settings"])
    for area, words in _OPTIONS.items():
        if wanted[area] != found[area]:
            given.append((f"its {area}", sql.SQL(words).format(name, sql.Literal(wanted[area]))))
    for (provider, _), label in wanted["security labels"].items():
        words = "SECURITY LABEL FOR {} ON DATABASE {} IS {}"
        statement = sql.SQL(words).format(sql.Identifier(provider), name, sql.Literal(label))
        given.append((f"its security label of {provider}", statement))
    return given


def settings(database: str, wanted: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, sql.Composed]]:
    """What gives ``database`` these settings: (role, "" for everybody; name) -> value, as ``read`` tells them."""
    name = sql.Identifier(database)
    for (role, key), value in wanted.items():
        told = f"its setting {key} for the role {role}" if role else f"its setting {key}"
        whose = sql.SQL("DATABASE {}").format(name)
        if role:
            whose = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
        yield told, setting(whose, key, value)


_OPTIONS: Final[Mapping[str, LiteralString]] = {
    "connection limit": "ALTER DATABASE {} CONNECTION LIMIT {}",
    "connections allowed": "ALTER DATABASE {} ALLOW_CONNECTIONS {}",
    "template": "ALTER DATABASE {} IS_TEMPLATE {}",
    "comment": "COMMENT ON DATABASE {} IS {}",
}


def _rights(name: sql.Identifier, wanted: Facts) -> Iterator[sql.Composed]:
    owner = sql.Identifier(wanted["owner"])
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}").format(name, owner)
    for (grantee, right), passes_on in wanted["rights"].items():
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(right), name, sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if passes_on else ""),
        )  # fmt: skip


def setting(whose: sql.Composed, key: str, value: str) -> sql.Composed:
    """``whose``: after ALTER, as in "DATABASE shop"."""
    values = listed(value) if key.lower() in _LISTS else [value]
    words = sql.SQL(", ").join(sql.Literal(one_value) for one_value in values)
    return sql.SQL("ALTER {} SET {} TO {}").format(whose, sql.Identifier(key), words)


def listed(value: str) -> list[str]:
    """'app, "$user"' -> ['app', '$user'], as PostgreSQL keeps a list of names."""
    found, at = [], 0
    while at < len(value):
        match = _NAME.match(value, at)
        if match is None:
            raise CheckError(f"The list {value!r} of a setting cannot be read.")
        quoted, plain = match.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"'))
        at = match.end()
    return found or [""]


def differences(wanted: Facts, found: Facts) -> list[str]:
    """A few words for each thing in which two databases differ; none where they are alike."""
    told = []
    for area, value in wanted.items():
        other = found[area]
        if isinstance(value, dict):
            keys = [key for key in {**value, **other} if value.get(key) != other.get(key)]
            told += [f"{area}: {' '.join(part for part in key if part)}" for key in keys]
        elif value != other:
            told.append(area)
    return told


def bound(connection: Connection, database: str) -> list[str]:
    """What belongs to a database and cannot be given to the one that takes its place, in words.

    A slot or a subscription stays with the database that is set aside: what reads from it would see nothing more and
    keep the server's WAL for ever, and what it receives would go on flowing into the old rows.
    """
    rows = connection.execute(_BOUND, [database, database]).fetchall()
    return [f"the {sort} {name}" for sort, name in rows]


_BOUND: Final[LiteralString] = (
    "SELECT 'logical replication slot', slot_name::text FROM pg_catalog.pg_replication_slots"
    " WHERE database = %s AND NOT temporary"
    " UNION ALL SELECT 'subscription', s.subname FROM pg_catalog.pg_subscription s"
    " JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = %s ORDER BY 1, 2"
)


def placed_elsewhere(connection: Connection) -> list[tuple[str, str]]:
    """(tablespace, table or index) of what stands in another tablespace than its database; the dump does not say so."""
    return connection.execute(
        "SELECT t.spcname, format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace"
        " WHERE n.nspname !~ '^pg_' AND c.relpersistence <> 't' AND t.spcname <> 'pg_global' ORDER BY 1, 2"
    ).fetchall()
