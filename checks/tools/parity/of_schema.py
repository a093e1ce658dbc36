# ruff: noqa: S608 - every query is put together from constants of this file
"""What a schema holds beside the objects that backups and drills know by their definition: see ``checks.tools.schema``.

They change how fast a statement is, or what it does, and nothing that a dump would lose.
"""

from collections.abc import Sequence
from typing import LiteralString

from checks.tools import schema
from checks.tools.postgres import Connection
from checks.tools.schema import OURS, not_of_extension

_TABLE: LiteralString = OURS + " AND " + not_of_extension("pg_catalog.pg_class", "c.oid")
#: (name, definition) of each. Roles are each environment's own, so only how many a policy is for is told.
_MORE: Sequence[LiteralString] = (
    "SELECT format('options of %I.%I', n.nspname, c.relname),"
    " (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.reloptions IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND "
    + _TABLE,
    "SELECT format('parents of %I.%I', n.nspname, c.relname),"
    " string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)"
    " FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND NOT c.relispartition AND "
    + _TABLE + " GROUP BY n.nspname, c.relname",
    # Each view is a rule by itself; its definition is told already.
    "SELECT format('rule %s on %I.%I', quote_ident(r.rulename), n.nspname, c.relname), pg_get_ruledef(r.oid)"
    " FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND " + _TABLE,
    "SELECT format('statistics %I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)"
    " FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_statistic_ext", "s.oid"),
    "SELECT 'event trigger ' || quote_ident(e.evtname), concat_ws(' ', e.evtevent, e.evtenabled, e.evtfoid::regproc,"
    " e.evttags) FROM pg_catalog.pg_event_trigger e WHERE " + not_of_extension("pg_catalog.pg_event_trigger", "e.oid"),
    "SELECT format('roles of policy %s on %I.%I', quote_ident(p.polname), n.nspname, c.relname),"
    " CASE WHEN 0 = ANY (p.polroles) THEN 'everybody' ELSE cardinality(p.polroles)::text END"
    " FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " + _TABLE,
    "SELECT format('aggregate %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),"
    " concat_ws(' ', a.aggtransfn::regproc, a.aggfinalfn::regproc, a.aggtranstype::regtype, a.agginitval)"
    " FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_proc", "p.oid"),
    "SELECT format('range of type %I.%I', n.nspname, t.typname), concat_ws(' ', r.rngsubtype::regtype,"
    " nullif(r.rngcollation, 0)::regcollation)"
    " FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_type", "t.oid"),
)  # fmt: skip


def facts(connection: Connection) -> dict[str, str]:
    """Every object of the schema -> its definition; extensions are an area of their own."""
    found = schema.schema_definitions(connection)
    for query in _MORE:
        found |= {name: definition or "" for name, definition in connection.execute(query).fetchall()}
    return {name: definition for name, definition in found.items() if not name.startswith("extension ")}
