"""What a side holds, as its catalog says: tables with their columns, keys, parts and sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

from psycopg.sql import SQL

from checks.tools.named import InSchema
from checks.tools.postgres import Connection

# Partitions count for their root, as the application sees them. Temporary tables belong to sessions.
_RELATIONS: LiteralString = """
    SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text,
           CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::bigint ELSE c.oid::bigint END,
           c.reltuples::float8,
           EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                   AND d.objid = c.oid AND d.deptype = 'e')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 2, 3
"""

# This waits for whoever holds a table exclusively, so only tables that are locked already are measured.
_SIZES: LiteralString = """
    SELECT t.oid, (pg_relation_size(t.oid::oid) / current_setting('block_size')::int)::bigint
    FROM unnest(%s::bigint[]) AS t(oid)
"""

# NOT NULL may be declared and not validated (PostgreSQL 18): rows from before may still be null. Older servers note no
# such constraint, and declare only what they have looked at.
_NEVER_NULL: LiteralString = """(a.attnotnull AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint o
        WHERE o.conrelid = a.attrelid AND o.contype = 'n' AND o.conkey[1] = a.attnum AND NOT o.convalidated))"""

# record_send would write the number of a type that is not built in; reg* types are numbers of other objects; a few
# built-in types have no binary form; an array's binary form tells whether it ever held a null.
_COLUMNS: LiteralString = """
    SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid::bigint, {never_null},
           t.oid >= 16384 OR t.typnamespace <> 'pg_catalog'::regnamespace OR t.typname LIKE 'reg%'
           OR t.typsend = 0 OR t.typtype IN ('c', 'd', 'e', 'p')
           OR t.typlen = -1 AND t.typelem <> 0,
           a.attgenerated::text, s.correlation::float8,
           COALESCE(l.collisdeterministic, true)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
        AND s.attname = a.attname AND NOT s.inherited
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND a.attnum > 0
      AND NOT a.attisdropped AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 1, 2
"""

# Unique indexes that tell every row apart: whole, on plain columns that are never null, checked. The primary key first.
_KEYS: LiteralString = """
    SELECT i.indrelid::bigint,
           (SELECT array_agg(a.attname ORDER BY k.place)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE k.place <= i.indnkeyatts)::text[]
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                      WHERE k.place <= i.indnkeyatts AND NOT {never_null})
    ORDER BY i.indrelid, NOT i.indisprimary, i.indnkeyatts, i.indexrelid
"""


@dataclass(frozen=True)
class Column:
    """``as_text``: its binary form says more than its value. ``virtual``: computed when read, nothing is stored."""

    name: str
    type: str
    oid: int
    not_null: bool
    as_text: bool
    virtual: bool
    correlation: float
    deterministic: bool


@dataclass(frozen=True)
class Part(InSchema):
    """A table with a file of its own: a plain table, or one leaf of a partitioned one.

    ``tuples``: rows as ANALYZE noted them, -1 before the first one. ``pages``: of its file, once it is measured.
    """

    schema: str
    name: str
    oid: int
    tuples: float
    pages: int = 0


@dataclass(frozen=True)
class Relation(InSchema):
    """A table as an application sees it. ``keys``: column names that tell rows apart, the best first."""

    schema: str
    name: str
    partitioned: bool
    columns: Mapping[str, Column]
    keys: Sequence[tuple[str, ...]]
    parts: Sequence[Part]

    @property
    def estimate(self) -> int:
        """Rows, as the server guesses."""
        return sum(_estimate(part, len(self.columns)) for part in self.parts)


@dataclass(frozen=True)
class Catalog:
    """``relations``: 'schema.table' -> relation. ``left_out``: (table, why) of what holds no rows of its own.

    ``elsewhere``: (table, its partition) where the partition is a foreign table.
    """

    relations: Mapping[str, Relation]
    left_out: Sequence[tuple[str, str]]
    elsewhere: Sequence[tuple[str, str]] = ()


def read(connection: Connection) -> Catalog:
    """Everything of the connected database that may hold rows of the application."""
    columns: dict[int, dict[str, Column]] = {}
    never_null = SQL(_NEVER_NULL)
    for oid, name, type_name, type_oid, not_null, as_text, generated, correlation, plain in connection.execute(
        SQL(_COLUMNS).format(never_null=never_null)
    ).fetchall():
        columns.setdefault(oid, {})[name] = Column(
            name, type_name, type_oid, not_null, as_text, generated == "v", correlation or 0.0, plain
        )
    keys: dict[int, list[tuple[str, ...]]] = {}
    for oid, names in connection.execute(SQL(_KEYS).format(never_null=never_null)).fetchall():
        keys.setdefault(oid, []).append(tuple(names or ()))
    return _relations(connection.execute(_RELATIONS).fetchall(), columns, keys)


_LEFT_OUT = {"f": "a foreign table: its rows live elsewhere", "m": "a materialized view: computed from other tables"}


def _relations(
    found: Sequence[tuple[Any, ...]],
    columns: Mapping[int, dict[str, Column]],
    keys: Mapping[int, list[tuple[str, ...]]],
) -> Catalog:
    relations: dict[str, Relation] = {}
    left_out: list[tuple[str, str]] = []
    leaves: dict[int, list[Part]] = {}
    for oid, schema, name, kind, root, tuples, _ in found:
        if kind == "r":
            leaves.setdefault(root, []).append(Part(schema, name, oid, tuples))
    for oid, schema, name, kind, root, _, of_extension in found:
        label = f"{schema}.{name}"
        if of_extension:
            left_out.append((label, "it belongs to an extension"))
        elif kind in _LEFT_OUT:
            left_out.append((label, _LEFT_OUT[kind]))
        elif oid == root:
            relations[label] = Relation(
                schema, name, kind == "p", columns.get(oid, {}), keys.get(oid, []), leaves.get(oid, [])
            )
    roots = {oid: f"{schema}.{name}" for oid, schema, name, *_ in found}
    elsewhere = [
        (roots[root], f"{schema}.{name}") for oid, schema, name, kind, root, *_ in found if kind == "f" and oid != root
    ]
    return Catalog(relations, left_out, elsewhere)


def measured(connection: Connection, relations: Mapping[str, Relation]) -> dict[str, Relation]:
    """The same tables, which are locked by now, with the pages of their files."""
    oids = [part.oid for relation in relations.values() for part in relation.parts]
    pages: dict[int, int] = dict(connection.execute(_SIZES, [oids]).fetchall())
    return {
        label: replace(relation, parts=[replace(part, pages=pages[part.oid]) for part in relation.parts])
        for label, relation in relations.items()
    }


def _estimate(part: Part, columns: int) -> int:
    """What ANALYZE noted; before the first one a guess from pages and columns."""
    if part.tuples >= 0 and (part.tuples or not part.pages):
        return int(part.tuples)
    return part.pages * max(1, 8000 // (28 + 12 * columns))
