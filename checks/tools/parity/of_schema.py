# ruff: noqa: S608 - every query is put together from constants of this file
"""What parity asks of a schema beside, or otherwise than, backups and drills do: see ``checks.tools.schema``.

Options of a table and extended statistics change how fast a statement is, and nothing that a restore would lose. Roles
are each environment's own.
"""

from collections.abc import Sequence
from typing import LiteralString

from checks.tools import schema
from checks.tools.postgres import Connection
from checks.tools.schema import OURS, not_of_extension

_TABLE: LiteralString = OURS + " AND " + not_of_extension("pg_catalog.pg_class", "c.oid")
#: (name, definition) of each.
_MORE: Sequence[LiteralString] = (
    "SELECT format('options of table %I.%I', n.nspname, c.relname),"
    " (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o)"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.reloptions IS NOT NULL AND c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND " + _TABLE,
    "SELECT format('statistics %I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)"
    " FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE "
    + OURS + " AND " + not_of_extension("pg_catalog.pg_statistic_ext", "s.oid"),
    # By the name under which ``schema`` tells who they are: here, only how many.
    "SELECT format('roles of policy %s on %I.%I', quote_ident(p.polname), n.nspname, c.relname),"
    " CASE WHEN 0 = ANY (p.polroles) THEN 'everybody' ELSE cardinality(p.polroles)::text END"
    " FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE " + _TABLE,
)  # fmt: skip


def facts(connection: Connection) -> dict[str, str]:
    """Every object of the schema -> its definition; extensions are an area of their own."""
    found = schema.schema_definitions(connection)
    for query in _MORE:
        found |= {name: definition or "" for name, definition in connection.execute(query).fetchall()}
    return {name: definition for name, definition in found.items() if not name.startswith("extension ")}
