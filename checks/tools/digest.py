"""What a database holds, in numbers that can be compared: rows, checksums, sequences.

A table's checksum is the sum of a 64-bit hash of each row, so the order of rows does not matter and one changed bit
does.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import LiteralString, cast

from psycopg import sql

from checks.tools import bytes_hash, row_hash
from checks.tools.postgres import Connection

_TABLES: LiteralString = """
    SELECT c.oid::bigint, n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 2, 3
"""

_SEQUENCES: LiteralString = """
    SELECT n.nspname, c.relname, s.seqincrement,
           (SELECT format('%I.%I', tn.nspname, tc.relname) FROM pg_catalog.pg_depend d
              JOIN pg_catalog.pg_class tc ON tc.oid = d.refobjid JOIN pg_catalog.pg_namespace tn
              ON tn.oid = tc.relnamespace WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
              AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1),
           (SELECT a.attname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a
              ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
              AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
              AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) LIMIT 1)
    FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 1, 2
"""

#: What a column may take numbers from: (sequence, table that is fed, place of the column). It belongs to the column, or
#: the column's default takes numbers from it. Other relations than sequences are among them.
FEEDING: LiteralString = """
    (SELECT objid AS sequence, refobjid AS fed, refobjsubid::int AS place FROM pg_catalog.pg_depend
     WHERE classid = 'pg_catalog.pg_class'::regclass AND refclassid = 'pg_catalog.pg_class'::regclass
       AND deptype IN ('a', 'i')
     UNION ALL SELECT d.refobjid, f.adrelid, f.adnum::int
     FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d ON d.objid = f.oid
     WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass)
"""
#: Whether the type ``t`` is one of whole numbers, or a domain over one.
WHOLE_NUMBERS: LiteralString = """
    COALESCE(NULLIF(t.typbasetype, 0), t.oid) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
"""
_FED: LiteralString = f"""
    SELECT DISTINCT sn.nspname || '.' || s.relname, n.nspname, c.relname, a.attname
    FROM {FEEDING} d
    JOIN pg_catalog.pg_class s ON s.oid = d.sequence AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_catalog.pg_class c ON c.oid = d.fed AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.place
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND {WHOLE_NUMBERS}
    ORDER BY 1, 2, 3, 4
"""  # noqa: S608 - of constants


@dataclass(frozen=True)
class Table:
    oid: int
    schema: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class TableDigest:
    """``checksum`` is the decimal sum of the row hashes, "0" for no row."""

    rows: int
    checksum: str


def tables(connection: Connection) -> list[Table]:
    """Every ordinary table of the database, partitions one by one; what belongs to an extension is left out."""
    return [Table(*row) for row in connection.execute(_TABLES).fetchall()]


def digest_table(
    connection: Connection, table: Table, seed: int, *, chained: bool = False, without: Collection[str] = ()
) -> TableDigest:
    """Count and checksum of one table, in whatever snapshot the connection has. ``chained``: see ``row_hash``.

    ``without``: columns that are left out.
    """
    columns = [one for one in row_hash.columns(connection, table.oid) if one.name not in without]
    if chained:
        encoding = connection.info.parameter_status("server_encoding") or ""
        value = row_hash.chained(columns, seed, encoding=encoding, server=connection.info.server_version)
    else:
        value = row_hash.recorded(columns, seed, server=connection.info.server_version)
    query = sql.SQL("SELECT count(*), COALESCE(sum({}), 0)::text FROM ONLY {} AS t").format(
        value, sql.Identifier(table.schema, table.name)
    )
    rows, checksum = cast("tuple[int, str]", connection.execute(query).fetchone())
    return TableDigest(rows, checksum)


def digest_tables(
    connection: Connection,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    chained: bool = False,
) -> dict[str, TableDigest]:
    """'schema.table' -> digest, for all tables. ``progress``: label, tables done, tables in all; before each one."""
    found = tables(connection)
    digests = {}
    for index, table in enumerate(found):
        if progress is not None:
            progress(table.label, index, len(found))
        digests[table.label] = digest_table(connection, table, seed, chained=chained)
    return digests


def digest_large_objects(connection: Connection, seed: int) -> TableDigest:
    """Count and checksum of the large objects, each hashed with its number."""
    server = connection.info.server_version
    query = sql.SQL(
        "SELECT count(*), COALESCE(sum({}{} # oid::bigint{}), 0)::text FROM pg_catalog.pg_largeobject_metadata"
    ).format(bytes_hash.opening(sql.SQL("lo_get(oid)"), server), sql.Literal(seed), bytes_hash.closing(server))
    rows, checksum = cast("tuple[int, str]", connection.execute(query).fetchone())
    return TableDigest(rows, checksum)


@dataclass(frozen=True)
class SequenceState:
    """``position``: the last value given out, or None where none was. ``following``: the one that comes next.

    ``owner``: (table, quoted where it needs it by the server, and column) or None.
    """

    position: int | None
    following: int
    increment: int
    owner: tuple[LiteralString, str] | None

    def passed(self, other: "SequenceState") -> bool:
        """Whether what this one gives out next comes no earlier than the other's, in the direction of the sequence."""
        return self.gives_from(other.following)

    def gives_from(self, value: int) -> bool:
        """Whether this one gives out nothing before ``value`` any more, in its direction."""
        return self.following >= value if self.increment > 0 else self.following <= value


def sequences(connection: Connection) -> dict[str, SequenceState]:
    """'schema.sequence' -> state. Sequences are outside of snapshots: this is now, whatever the transaction sees."""
    states = {}
    for schema, name, increment, table, column in connection.execute(_SEQUENCES).fetchall():
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        last, called = cast("tuple[int, bool]", connection.execute(query).fetchone())
        owner = (table, column) if table and column else None
        following = last + increment if called else last
        states[f"{schema}.{name}"] = SequenceState(last if called else None, following, increment, owner)
    return states


def fed_by(connection: Connection) -> dict[str, list[tuple[str, str]]]:
    """'schema.sequence' -> the columns that take numbers from it: (label of the table, column)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, schema, table, column in connection.execute(_FED).fetchall():
        found.setdefault(name, []).append((f"{schema}.{table}", column))
    return found


def behind_their_column(connection: Connection) -> list[tuple[str, int | None, int]]:
    """Sequences that would give out a value a column that they feed already holds: (sequence, position, value)."""
    states = sequences(connection)
    behind: dict[str, tuple[str, int | None, int]] = {}
    for name, schema, table, column in connection.execute(_FED).fetchall():
        state = states.get(name)
        if state is None:
            continue
        extreme_of = sql.SQL("max" if state.increment > 0 else "min")
        row = connection.execute(
            sql.SQL("SELECT {}({})::bigint FROM {}").format(
                extreme_of, sql.Identifier(column), sql.Identifier(schema, table)
            )
        ).fetchone()
        extreme = row[0] if row else None
        if extreme is None or state.gives_from(extreme + (1 if state.increment > 0 else -1)):
            continue
        worst = (max if state.increment > 0 else min)(extreme, behind.get(name, (name, None, extreme))[2])
        behind[name] = (name, state.position, worst)
    return list(behind.values())
