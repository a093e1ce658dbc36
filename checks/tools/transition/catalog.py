"""What a server says of one table: columns, types, keys, what must hold, what fires, and which sequences feed it."""

from dataclasses import dataclass, replace
from typing import Any, LiteralString

from psycopg import errors, sql

from checks.tools.digest import FEEDING, WHOLE_NUMBERS
from checks.tools.named import InSchema
from checks.tools.postgres import Connection

Row = tuple[Any, ...]
_TABLE: LiteralString = """
    SELECT c.oid::bigint, c.relkind::text, c.relrowsecurity OR c.relforcerowsecurity FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
"""
# "Plain": built in, with a binary form that means the same in every database.
_PLAIN: LiteralString = """
    NOT (t.oid >= 16384 OR t.typnamespace <> 'pg_catalog'::regnamespace OR t.typname LIKE 'reg%%'
         OR t.typname LIKE '\\_reg%%' OR t.typsend = 0 OR t.typtype IN ('c', 'd', 'e', 'p')
         OR COALESCE(e.typsend = 0 OR e.oid >= 16384, false))
"""
# "u": the type under a domain, or under a domain over a domain; of any other type, itself.
_COLUMNS: LiteralString = f"""
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), d.typname, d.typtype <> 'd' AND {_PLAIN},
           a.attnotnull, a.atthasdef OR a.attidentity <> '' OR d.typdefault IS NOT NULL, a.attgenerated <> '',
           a.attidentity = 'a', format_type(u.oid, u.modifier), {_PLAIN}, t.typname,
           COALESCE(pg_get_expr(f.adbin, f.adrelid), pg_get_expr(d.typdefaultbin, 0), '')
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    CROSS JOIN LATERAL (
        WITH RECURSIVE under(oid, modifier, level) AS (
            SELECT a.atttypid, a.atttypmod, 0 UNION ALL
            SELECT o.typbasetype, o.typtypmod, under.level + 1
            FROM under JOIN pg_catalog.pg_type o ON o.oid = under.oid AND o.typtype = 'd')
        SELECT * FROM under ORDER BY level DESC LIMIT 1
    ) u
    JOIN pg_catalog.pg_type t ON t.oid = u.oid LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typelem <> 0
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
"""  # noqa: S608 - of constants
# A constraint of a partitioned table has one of its own for each partition: those are left out at the table itself.
_FOREIGN: LiteralString = """
    SELECT o.conname, format('%%s.%%s', n.nspname, c.relname), o.condeferrable,
           COALESCE((to_jsonb(o) ->> 'conperiod')::boolean, false),
           ARRAY(SELECT a.attname::text FROM unnest(o.conkey) WITH ORDINALITY k(n, place) JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = o.conrelid AND a.attnum = k.n ORDER BY k.place),
           ARRAY(SELECT a.attname::text FROM unnest(o.confkey) WITH ORDINALITY k(n, place)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.n ORDER BY k.place)
    FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.{end}
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE o.contype = 'f' AND o.{side} = %s AND NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_constraint p WHERE p.oid = o.conparentid AND p.{side} = o.{side})
    ORDER BY o.conname
"""
# Of an index: for which rows it is, its expressions, and all columns that it depends on.
_INDEX: LiteralString = """
    COALESCE(pg_get_expr(x.indpred, x.indrelid), ''),
    ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true) FROM generate_series(1, x.indnkeyatts) k),
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a
          ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.indexrelid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = x.indrelid
          UNION SELECT a.attname::text FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[]) AND a.attnum > 0)
"""
_UNIQUE: LiteralString = f"""
    SELECT i.relname, {_INDEX}, x.indisvalid, x.indisprimary,
           COALESCE((to_jsonb(x) ->> 'indnullsnotdistinct')::boolean, false),
           ARRAY(SELECT a.attname::text FROM generate_series(0, x.indnkeyatts - 1) k LEFT JOIN pg_catalog.pg_attribute a
                 ON a.attrelid = x.indrelid AND a.attnum = x.indkey[k] AND x.indkey[k] <> 0 ORDER BY k)
    FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = %s AND x.indisunique AND NOT x.indisexclusion ORDER BY i.relname
"""  # noqa: S608 - of constants
# Also primary and unique keys WITHOUT OVERLAPS.
_EXCLUSIONS: LiteralString = f"""
    SELECT o.conname, {_INDEX}, m.amname,
           ARRAY(SELECT format('OPERATOR(%%I.%%s)', n.nspname, p.oprname)
                 FROM unnest(o.conexclop) WITH ORDINALITY e(oid, place) JOIN pg_catalog.pg_operator p ON p.oid = e.oid
                 JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace ORDER BY e.place),
           ARRAY(SELECT format('%%I.%%I', n.nspname, c.opcname)
                 FROM unnest(x.indclass::oid[]) WITH ORDINALITY e(oid, place) JOIN pg_catalog.pg_opclass c
                 ON c.oid = e.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.opcnamespace ORDER BY e.place)
    FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_index x ON x.indexrelid = o.conindid
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_am m ON m.oid = i.relam
    WHERE o.conrelid = %s AND o.conexclop IS NOT NULL ORDER BY o.conname
"""  # noqa: S608 - of constants
# The column that each b-tree begins with; of an expression, where it is about one column.
_LEADING: LiteralString = """
    SELECT COALESCE(a.attname::text, e.name) FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_am m ON m.oid = i.relam
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] AND x.indkey[0] <> 0
    LEFT JOIN LATERAL (
        SELECT min(b.attname::text) AS name FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute b
        ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.indexrelid
          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = x.indrelid
        HAVING count(DISTINCT b.attnum) = 1
    ) e ON a.attname IS NULL
    WHERE x.indrelid = %s AND m.amname = 'btree' AND COALESCE(a.attname::text, e.name) IS NOT NULL ORDER BY i.relname
"""
# One about the row as a whole cannot be asked of anything but a row of the table. Of one without columns they are null.
_CHECKS: LiteralString = """
    SELECT o.conname, pg_get_expr(o.conbin, o.conrelid),
           ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = o.conrelid AND a.attnum = ANY (o.conkey))
    FROM pg_catalog.pg_constraint o WHERE o.contype = 'c' AND o.conrelid = %s
      AND NOT COALESCE(0 = ANY (o.conkey), false)
      AND COALESCE((to_jsonb(o) ->> 'conenforced')::boolean, true) ORDER BY o.conname
"""
# What each partition takes; of a table that is a partition itself, what it takes.
_BOUNDS: LiteralString = """
    SELECT COALESCE(pg_get_partition_constraintdef(p.relid), 'true')
    FROM pg_catalog.pg_partition_tree(%s::oid::regclass) p WHERE p.isleaf ORDER BY p.relid
"""
# The columns of its key, those of expressions too: none of them can go without the table.
_PARTITIONED_BY: LiteralString = """
    SELECT DISTINCT a.attname FROM (SELECT %s::oid::regclass AS own) t, pg_catalog.pg_partitioned_table p
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = p.partrelid
     AND d.refclassid = d.classid AND d.refobjid = d.objid AND d.refobjsubid = 0 AND d.deptype = 'i'
    JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = d.objsubid
    WHERE p.partrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(t.own)
                          UNION SELECT relid FROM pg_catalog.pg_partition_ancestors(t.own)) ORDER BY 1
"""
_ANCESTORS: LiteralString = """
    SELECT format('%%s.%%s', n.nspname, c.relname) FROM pg_catalog.pg_partition_ancestors(%s::oid::regclass) p
    JOIN pg_catalog.pg_class c ON c.oid = p.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
# Of the table and of each partition, which has a state and triggers of its own; partitions after what they are part of.
_TRIGGERS: LiteralString = """
    SELECT n.nspname, c.relname, g.tgname, g.tgenabled::text, COALESCE(to_jsonb(g) ->> 'tgparentid', '0') <> '0'
    FROM (SELECT %s::oid AS own) o
    CROSS JOIN LATERAL (SELECT o.own AS relid, 0 AS level
                        UNION SELECT p.relid::oid, p.level FROM pg_catalog.pg_partition_tree(o.own::regclass) p) m
    JOIN pg_catalog.pg_class c ON c.oid = m.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal ORDER BY m.level, 1, 2, 3
"""
# Sequences that belong to a column of whole numbers, or that its default takes numbers from.
_SEQUENCES: LiteralString = f"""
    SELECT DISTINCT a.attname, n.nspname, s.relname, q.seqincrement, q.seqmin, q.seqmax, s.oid::bigint
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    JOIN {FEEDING} d ON d.fed = a.attrelid AND d.place = a.attnum
    JOIN pg_catalog.pg_class s ON s.oid = d.sequence AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
    JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
    WHERE a.attrelid = %s AND {WHOLE_NUMBERS} ORDER BY 1, 2, 3
"""  # noqa: S608 - of constants


@dataclass(frozen=True)
class Column:
    """``type``: as the server writes it, with its length; ``base``: its name alone. ``plain``: see the query.

    ``stored``, ``stored_plain``, ``stored_base``: the same of the type under a domain. ``not_null``: it, or its domain,
    takes no null. ``default``: the expression of what it takes otherwise, "" for none and for an identity.
    """

    name: str
    type: str
    base: str
    plain: bool
    not_null: bool
    has_default: bool
    generated: bool
    always: bool
    stored: str
    stored_plain: bool
    stored_base: str
    default: str


@dataclass(frozen=True)
class ForeignKey:
    """``columns`` of the child name ``foreign`` of the parent. ``table``: 'schema.table' at the other end."""

    name: str
    table: str
    deferrable: bool
    of_periods: bool
    columns: tuple[str, ...]
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Unique:
    """A unique index. ``keys``: its expressions as SQL; ``plain``: the column, or None for an expression.

    ``valid``: all rows of before it are unique too; one that was made CONCURRENTLY and broke off is not.
    """

    name: str
    predicate: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    valid: bool
    primary: bool
    nulls_equal: bool
    plain: tuple[str | None, ...]


@dataclass(frozen=True)
class Exclusion:
    """No two rows may be, in each of the ``keys`` (SQL), what its operator says; ``method``, ``classes``: its index."""

    name: str
    predicate: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    method: str
    operators: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class OwnSequence(InSchema):
    """A sequence that feeds a column: it belongs to it, or the column's default takes numbers from it."""

    column: str
    schema: str
    name: str
    increment: int
    least: int
    greatest: int
    oid: int


@dataclass(frozen=True)
class Trigger(InSchema):
    """A trigger of the table ``schema.name``; ``state`` as the server writes it. ``inherited``: of a parent."""

    schema: str
    name: str
    trigger: str
    state: str
    inherited: bool

    def switched(self, *, on: bool) -> sql.Composed:
        """The statement that gives it its state back, or switches it off."""
        words = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}
        word = words[self.state] if on else "DISABLE"
        return sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(
            self.identifier, sql.SQL(word), sql.Identifier(self.trigger)
        )


@dataclass(frozen=True)
class Shape(InSchema):
    """One table as its server describes it.

    ``bounds``: what each of its partitions takes, as a condition. ``ancestors``: labels of the tables that it is a
    partition of, and its own where it is one. ``server``: its version, as 180002.
    """

    server: int
    oid: int
    schema: str
    name: str
    partitioned: bool
    bounds: tuple[str, ...]
    partitioned_by: tuple[str, ...]
    ancestors: tuple[str, ...]
    row_security: bool
    columns: dict[str, Column]
    foreign_keys: tuple[ForeignKey, ...]
    children: tuple[ForeignKey, ...]
    uniques: tuple[Unique, ...]
    exclusions: tuple[Exclusion, ...]
    leading: tuple[str, ...]
    checks: tuple[tuple[str, str, tuple[str, ...]], ...]
    triggers: tuple[Trigger, ...]
    sequences: tuple[OwnSequence, ...]


def shape(connection: Connection, label: str) -> Shape | None:
    """The table 'schema.name', or None where the database has none."""
    schema, _, name = label.partition(".")
    row = connection.execute(_TABLE, [schema, name]).fetchone()
    if row is None:
        return None
    oid = row[0]

    def rows(query: LiteralString) -> list[Row]:
        return connection.execute(query, [oid]).fetchall()

    own = _FOREIGN.replace("{end}", "confrelid").replace("{side}", "conrelid")
    others = _FOREIGN.replace("{end}", "conrelid").replace("{side}", "confrelid")
    return Shape(
        server=connection.info.server_version,
        oid=oid,
        schema=schema,
        name=name,
        partitioned=row[1] == "p",
        bounds=tuple(found[0] for found in rows(_BOUNDS)),
        partitioned_by=tuple(found[0] for found in rows(_PARTITIONED_BY)),
        ancestors=tuple(found[0] for found in rows(_ANCESTORS)),
        row_security=row[2],
        columns={found[0]: _column(connection, found) for found in rows(_COLUMNS)},
        foreign_keys=tuple(ForeignKey(*_frozen(found)) for found in rows(own)),
        children=tuple(ForeignKey(*_frozen(found)) for found in rows(others)),
        uniques=tuple(Unique(*_frozen(found)) for found in rows(_UNIQUE)),
        exclusions=tuple(Exclusion(*_frozen(found)) for found in rows(_EXCLUSIONS)),
        leading=tuple(found[0] for found in rows(_LEADING)),
        checks=tuple((found[0], found[1], tuple(found[2])) for found in rows(_CHECKS)),
        triggers=tuple(Trigger(*found) for found in rows(_TRIGGERS)),
        sequences=tuple(OwnSequence(*found) for found in rows(_SEQUENCES)),
    )


def _frozen(found: Row) -> Row:
    return tuple(tuple(one) if isinstance(one, list) else one for one in found)


def _column(connection: Connection, found: Row) -> Column:
    column = Column(*found)
    return column if column.type == column.stored else replace(column, not_null=_refuses_null(connection, column))


def _refuses_null(connection: Connection, column: Column) -> bool:
    """Of a domain's column: it may be NOT NULL itself, the domain, or the one under it; or a CHECK says so."""
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SELECT NULL::{}").format(sql.SQL(column.type)))
    except errors.IntegrityError:
        return True
    except errors.InsufficientPrivilege:
        pass  # A type that the role may not name is only read.
    return column.not_null
