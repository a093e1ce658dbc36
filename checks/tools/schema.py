# ruff: noqa: S608 - every query is put together from constants of this file
"""The schema of a database, object by object, so that what differs can be named."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from hashlib import sha256
from typing import Any, LiteralString

from checks.tools import printed_sql
from checks.tools.postgres import Connection


class Depth(IntEnum):
    """How closely a schema is looked at; manifests of before are compared as it was done then.

    LOOSE: casts, brackets and the number of spaces were left out also where they mean something, and nothing was said
    of what a domain demands. EXACT: nothing was said of what ``_BESIDES`` lists. WHOLE: all of it.
    """

    LOOSE = 1
    EXACT = 2
    WHOLE = 3


def schema_objects(connection: Connection, *, depth: Depth = Depth.WHOLE) -> dict[str, str]:
    """Every object of the schema -> a hash of its definition, for naming what differs."""
    loose = depth is Depth.LOOSE
    found = _definitions_before(connection) if loose else schema_definitions(connection, depth=depth)
    return {name: sha256(definition.encode()).hexdigest()[:16] for name, definition in found.items()}


def schema_definitions(connection: Connection, *, depth: Depth = Depth.WHOLE) -> dict[str, str]:
    """Every object of the schema -> its definition; on one line, except for functions, which are as they are written.

    Only what PostgreSQL itself prints otherwise after a restore is brought into one form; see ``printed_sql``.
    """
    found: dict[str, str] = {}
    for query in (*_SCHEMA, *_DOMAINS, *(_BESIDES if depth is Depth.WHOLE else ())):
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
#: What changes how a table, a view or a type works, and stands in no definition above.
_BESIDES: Sequence[LiteralString] = (
    # security_invoker and security_barrier decide who sees what through a view, check_option what may be written
    "SELECT format('options of view %I.%I', n.nspname, c.relname), COALESCE((SELECT string_agg(o, ' ' ORDER BY o)"
    " FROM unnest(c.reloptions) AS o), '')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'v' AND " + _RELATION,
    "SELECT format('rule %s on %I.%I', quote_ident(r.rulename), n.nspname, c.relname),"
    " concat_ws(' ', r.ev_enabled, pg_get_ruledef(r.oid))"
    " FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND " + _RELATION,
    "SELECT format('roles of policy %s on %I.%I', quote_ident(p.polname), n.nspname, c.relname),"
    " (SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ' ' ORDER BY"
    " CASE WHEN r = 0 THEN '' ELSE pg_get_userbyid(r) END) FROM unnest(p.polroles) AS r)"
    " FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " + _RELATION,
    # what reads a parent reads its children too; partitions have their bound above
    "SELECT format('parents of table %I.%I', n.nspname, c.relname),"
    " string_agg(i.inhparent::regclass::text, ' ' ORDER BY i.inhseqno)"
    " FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND NOT c.relispartition"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'f') AND " + _RELATION + " GROUP BY 1",
    # a NOT NULL that was never validated (PostgreSQL 18): the column above only says NOT NULL
    "SELECT format('unproven constraint %s on %I.%I', quote_ident(o.conname), n.nspname, c.relname),"
    " pg_get_constraintdef(o.oid)"
    " FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE o.contype = 'n' AND NOT o.convalidated AND " + _RELATION,
    "SELECT format('aggregate %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),"
    " concat_ws(' ', a.aggkind, a.aggtransfn, a.aggtranstype::regtype, a.aggfinalfn, a.aggfinalextra, a.aggcombinefn,"
    " a.aggmtransfn, a.aggmfinalfn, NULLIF(a.aggsortop, 0)::regoperator, quote_nullable(a.agginitval))"
    " FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_proc", "p.oid"),
    "SELECT format('range of type %I.%I', n.nspname, t.typname), concat_ws(' ', r.rngsubtype::regtype,"
    " NULLIF(r.rngcollation, 0)::regcollation,"
    " (SELECT c.opcname FROM pg_catalog.pg_opclass c WHERE c.oid = r.rngsubopc),"
    " r.rngcanonical, r.rngsubdiff)"
    " FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
    # the version of the library that sorts is the server's, and the names of its locale differ between versions
    # (before 15 one of ICU had it twice, where one of the system's library has it)
    "SELECT format('collation %I.%I', n.nspname, l.collname), concat_ws(' ', l.collprovider, l.collisdeterministic,"
    " CASE WHEN l.collprovider <> 'i' THEN l.collcollate END, CASE WHEN l.collprovider <> 'i' THEN l.collctype END,"
    " COALESCE(to_jsonb(l)->>'colllocale', to_jsonb(l)->>'colliculocale',"
    " CASE WHEN l.collprovider = 'i' THEN l.collcollate END),"
    " to_jsonb(l)->>'collicurules')"
    " FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_collation", "l.oid"),
    "SELECT format('event trigger %I', e.evtname), concat_ws(' ', e.evtevent, e.evtenabled, e.evtfoid::regprocedure,"
    " array_to_string(e.evttags, ','))"
    " FROM pg_catalog.pg_event_trigger e WHERE " + not_of_extension("pg_catalog.pg_event_trigger", "e.oid"),
)  # fmt: skip
