# ruff: noqa: S608 - every query is put together from constants of this file
"""The schema of a database, object by object, so that what differs can be named."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, LiteralString

from checks.tools import printed_sql
from checks.tools.postgres import Connection


def schema_objects(connection: Connection, *, exact: bool = True) -> dict[str, str]:
    """Every object of the schema -> a hash of its definition, for naming what differs.

    ``exact``: False as it was before, for manifests of that time: casts, brackets and the number of spaces were left
    out also where they mean something, and nothing was said of what a domain demands.
    """
    found = schema_definitions(connection) if exact else _definitions_before(connection)
    return {name: sha256(definition.encode()).hexdigest()[:16] for name, definition in found.items()}


def schema_definitions(connection: Connection) -> dict[str, str]:
    """Every object of the schema -> its definition; on one line, except for functions, which are as they are written.

    Only what PostgreSQL itself prints otherwise after a restore is brought into one form; see ``printed_sql``.
    """
    found: dict[str, str] = {}
    for query in (*_SCHEMA, *_DOMAINS):
        for name, definition in connection.execute(query.replace("«", "").replace("»", "")).fetchall():
            found[name] = definition if name.startswith("function ") else printed_sql.settled(definition)
    return found


def _definitions_before(connection: Connection) -> dict[str, str]:
    found: dict[str, str] = {}
    for query in _SCHEMA:
        plain = query.replace("«", "regexp_replace(").replace("»", ", " + _CASTS_AND_BRACKETS + ", '', 'g')")
        for name, definition in connection.execute(plain).fetchall():
            found[name] = " ".join(definition.split())
    return found


def schema_digest(objects: Mapping[str, str]) -> str:
    """One hash over all objects."""
    return sha256("\n".join(f"{name} {value}" for name, value in sorted(objects.items())).encode()).hexdigest()


def differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Names that are (missing, surplus, different) in ``found``, each sorted."""
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    changed = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    return missing, surplus, changed


_CASTS_AND_BRACKETS: LiteralString = (
    r"'(::(character varying|double precision|time(stamp)? with(out)? time zone|[a-z_0-9.\"]+)(\[\])?)|[()]'"
)
#: A condition: its schema ``n`` is none of the server's own.
OURS: LiteralString = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"


def not_of_extension(catalog: LiteralString, oid: LiteralString) -> LiteralString:
    """A condition: no extension brought it."""
    return (
        "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.classid = '"
        + catalog + "'::regclass AND d.objid = " + oid + ")"
    )  # fmt: skip


_RELATION: LiteralString = OURS + " AND " + not_of_extension("pg_catalog.pg_class", "c.oid")
#: (name, definition) of each object. What stands in «» is an expression as PostgreSQL prints it.
_SCHEMA: Sequence[LiteralString] = (
    "SELECT 'schema ' || quote_ident(n.nspname), '' FROM pg_catalog.pg_namespace n WHERE " + OURS,
    "SELECT 'extension ' || extname, extname FROM pg_catalog.pg_extension",
    # tables, views, sequences: kind, persistence, row security, partitioning
    "SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '"
    " WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || format('%I.%I', n.nspname, c.relname),"
    " concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,"
    " pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),"
    " CASE WHEN c.relkind IN ('v', 'm') THEN «pg_get_viewdef(c.oid)» END,"
    " (SELECT concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)"
    " FROM pg_catalog.pg_sequence s WHERE s.seqrelid = c.oid))"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND " + _RELATION,
    "SELECT format('column %I.%I.%I', n.nspname, c.relname, a.attname), concat_ws(' ',"
    " format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation,"
    " «pg_get_expr(x.adbin, x.adrelid)»)"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum"
    " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')"
    " AND c.relpersistence <> 't' AND " + _RELATION,
    # not-null constraints are columns' business here; older servers do not list them
    "SELECT format('constraint %s on %I.%I', quote_ident(o.conname), n.nspname, c.relname),"
    " concat_ws(' ', o.contype, o.convalidated, «pg_get_constraintdef(o.oid)»)"
    " FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE o.contype <> 'n' AND c.relpersistence <> 't' AND " + _RELATION,
    "SELECT format('index %I.%I', n.nspname, c.relname), concat_ws(' ', i.indisvalid, «pg_get_indexdef(c.oid)»)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND " + _RELATION,
    "SELECT format('function %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),"
    " CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE p.prosrc END"
    " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_proc", "p.oid"),
    "SELECT format('trigger %s on %I.%I', quote_ident(g.tgname), n.nspname, c.relname),"
    " concat_ws(' ', g.tgenabled, «pg_get_triggerdef(g.oid)»)"
    " FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND " + _RELATION,
    "SELECT format('type %I.%I', n.nspname, t.typname), concat_ws(' ', t.typtype,"
    " (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)"
    " FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), format_type(t.typbasetype, t.typtypmod), t.typnotnull)"
    " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typtype IN ('e', 'd', 'r') AND " + OURS + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
    "SELECT format('policy %s on %I.%I', quote_ident(p.polname), n.nspname, c.relname), concat_ws(' ', p.polcmd,"
    " p.polpermissive, «pg_get_expr(p.polqual, p.polrelid)»,"
    " «pg_get_expr(p.polwithcheck, p.polrelid)»)"
    " FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " + _RELATION,
)  # fmt: skip
_DOMAINS: Sequence[LiteralString] = (
    "SELECT format('constraint %s on domain %I.%I', quote_ident(o.conname), n.nspname, t.typname),"
    " concat_ws(' ', o.contype, o.convalidated, pg_get_constraintdef(o.oid))"
    " FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_type t ON t.oid = o.contypid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE o.contype <> 'n' AND " + OURS
    + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
    "SELECT format('default of domain %I.%I', n.nspname, t.typname), pg_get_expr(t.typdefaultbin, 0)"
    " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typtype = 'd' AND t.typdefaultbin IS NOT NULL AND " + OURS
    + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
    "SELECT format('collation of domain %I.%I', n.nspname, t.typname), t.typcollation::regcollation::text"
    " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
    " WHERE t.typtype = 'd' AND t.typcollation <> 0 AND " + OURS
    + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
)  # fmt: skip
