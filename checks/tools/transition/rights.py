"""Whether the target itself can take the rows: it is not their source, and gives the rights that a clone gives."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import LiteralString

from psycopg import sql

from checks.errors import CheckError
from checks.tools.postgres import Address, Connection, connected, one
from checks.tools.transition import asking, catalog
from checks.tools.transition.declaration import TableMapping
from checks.tools.transition.work import SCHEMA

#: (what the role may not do, how it gets the right)
Missing = tuple[str, str]

_MAY_CREATE: LiteralString = """
    SELECT CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
                ELSE has_schema_privilege(n.oid, 'CREATE') END
    FROM (VALUES (1)) v LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = %s
"""
_MAY_TRY: LiteralString = "SELECT has_database_privilege(current_database(), 'TEMPORARY')"
_OWNS: LiteralString = "SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid = %s::regclass"
#: The same for one database of one running server, under whatever address.
_WHICH_DATABASE: LiteralString = """
    SELECT pg_postmaster_start_time(), oid FROM pg_catalog.pg_database WHERE datname = current_database()
"""
#: What locks a table in the mode that keeps others from writing to it.
_LOCKS = "UPDATE, DELETE, TRUNCATE"


def refuse_missing(target: Address, tables: Sequence[TableMapping], *, triggers_off: bool, wait: timedelta) -> None:
    """CheckError where the role lacks a right in the target. Tables that only the release makes are passed over."""
    with connected(target, what="the target", lock_timeout=wait) as connection:
        missing = list(dict.fromkeys(_missing(connection, tables, triggers_off)))
        role, database = connection.info.user, connection.info.dbname
    if missing:
        raise CheckError(
            f"The role {role} may not do in {database} itself what the move needs:"
            f" {'; '.join(what for what, _ in missing)}. Nothing was written.",
            remedy=f"Give it these rights, as the owner of the database: {' '.join(how for _, how in missing)}",
        )


def refuse_same(source: Address, target: Address, tables: Sequence[TableMapping]) -> None:
    """CheckError where rows would go into the very table from which they come."""
    places = []
    for address, what in ((source, "source"), (target, "target")):
        with connected(address, what=f"the {what}") as connection:
            places.append(connection.execute(_WHICH_DATABASE).fetchone())
    for mapping in tables:
        if places[0] == places[1] and mapping.source_label == mapping.label:
            raise CheckError(
                f"The source's {mapping.label} is the table in which the rows are to arrive: source and target are one"
                f" database, {target.database}. Nothing was written.",
                remedy="Correct the database address of one of the two environments.",
            )


def _missing(connection: Connection, tables: Sequence[TableMapping], triggers_off: bool) -> Iterator[Missing]:
    role = sql.Identifier(connection.info.user).as_string(connection)
    if not one(connection, _MAY_CREATE, [SCHEMA]):
        if one(connection, "SELECT to_regnamespace(%s) IS NULL", [SCHEMA]):
            database = sql.Identifier(connection.info.dbname).as_string(connection)
            yield f"create the schema {SCHEMA}", f"GRANT CREATE ON DATABASE {database} TO {role};"
        else:
            yield f"make tables in the schema {SCHEMA}", f"ALTER SCHEMA {SCHEMA} OWNER TO {role};"
    if connection.info.server_version < asking.SINCE and not one(connection, _MAY_TRY):
        database = sql.Identifier(connection.info.dbname).as_string(connection)
        yield "make functions of its session", f"GRANT TEMPORARY ON DATABASE {database} TO {role};"
    for mapping in tables:
        shape = catalog.shape(connection, mapping.label)
        if shape is not None:
            yield from _of_table(connection, mapping, shape, role, triggers_off)


def _of_table(
    connection: Connection, mapping: TableMapping, shape: catalog.Shape, role: str, triggers_off: bool
) -> Iterator[Missing]:
    name = shape.identifier.as_string(connection)
    wanted = [("read", "SELECT", "SELECT"), ("lock", _LOCKS, "DELETE")]
    wanted += [("insert into", "INSERT", "INSERT"), ("undo", "DELETE", "DELETE")] if mapping.new == "insert" else []
    wanted += [("merge into", "UPDATE", "UPDATE")] if mapping.existing == "merge" else []
    for verb, privileges, right in wanted:
        if not one(connection, "SELECT has_table_privilege(%s, %s)", [name, privileges]):
            yield f"{verb} {shape.label}", f"GRANT {right} ON {name} TO {role};"
    for own in shape.sequences:
        sequence = own.identifier.as_string(connection)
        if not one(connection, _OWNS, [sequence]):
            # A sequence that belongs to a column has the owner of its table.
            yield f"hold the sequence {own.label}", f"ALTER SEQUENCE {sequence} OWNER TO {role};"
    for trigger in shape.triggers if triggers_off else ():
        table = trigger.identifier.as_string(connection)
        if not one(connection, _OWNS, [table]):
            yield f"switch off the triggers of {trigger.label}", f"ALTER TABLE {table} OWNER TO {role};"
