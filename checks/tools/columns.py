"""What each column holds, as one checksum a column, so that what a migration left alone can be proved the same.

The checksum of a column is the sum of a 64-bit hash over all rows, each of the primary key and the value, both as
PostgreSQL prints them. So a column whose type was widened without changing a value keeps its checksum, and two values
that changed places do not. A table without a key is compared as a bag of values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import sql

from checks.tools import bytes_hash, digest
from checks.tools.postgres import Connection

#: A query may return so many columns; wider tables are asked in parts.
AT_ONCE = 400
_COLUMNS: LiteralString = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid = 'bytea'::regtype
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
"""
_KEY: LiteralString = """
    SELECT a.attname FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = %s AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)
"""


@dataclass(frozen=True)
class Content:
    """One table: rows, its key, and for each column (type, checksum); no columns where only rows were asked for."""

    rows: int
    key: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def read(
    connection: Connection,
    *,
    seed: int,
    keys: Mapping[str, tuple[str, ...]] | None = None,
    note: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
    values: bool = True,
) -> dict[str, Content]:
    """'schema.table' -> content, of all tables. ``keys``: by which columns rows were told apart before.

    Without ``values`` only rows are counted. ``note(name, done, all)`` is called before each table.
    """
    found = digest.tables(connection)
    contents = {}
    for index, table in enumerate(found):
        note(table.label, index, len(found))
        key = (keys or {}).get(table.label)
        contents[table.label] = _content(connection, table, seed, key) if values else _counted(connection, table)
    return contents


def _counted(connection: Connection, table: digest.Table) -> Content:
    query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(table.schema, table.name))
    row = connection.execute(query).fetchone()
    assert row is not None
    return Content(int(row[0]))


def _content(connection: Connection, table: digest.Table, seed: int, key: tuple[str, ...] | None) -> Content:
    columns = connection.execute(_COLUMNS, [table.oid]).fetchall()
    names = {name for name, _, _ in columns}
    if key is None or not set(key) <= names:
        key = tuple(name for (name,) in connection.execute(_KEY, [table.oid]).fetchall())
    if not columns:
        return _counted(connection, table)
    rows, sums = 0, []
    for start in range(0, len(columns), AT_ONCE):
        rows, *part = _sums(connection, table, seed, key, columns[start : start + AT_ONCE])
        sums += part
    found = {name: (kind, value) for (name, kind, _), value in zip(columns, sums, strict=True)}
    return Content(rows, key, found)


def _sums(
    connection: Connection, table: digest.Table, seed: int, key: Sequence[str], columns: Sequence[tuple[Any, ...]]
) -> list[Any]:
    keys = [sql.SQL("{}::text").format(sql.Identifier("t", name)) for name in key]
    cells = [
        sql.SQL(", ").join([*keys, sql.SQL("{}" if raw else "{}::text").format(sql.Identifier("t", name))])
        for name, _, raw in columns
    ]
    hashes = [
        bytes_hash.of(sql.SQL("record_send(ROW({}))").format(each), seed, connection.info.server_version)
        for each in cells
    ]
    sums = [sql.SQL("COALESCE(sum({}), 0)::text").format(each) for each in hashes]
    query = sql.SQL("SELECT count(*), {} FROM ONLY {} AS t").format(
        sql.SQL(", ").join(sums), sql.Identifier(table.schema, table.name)
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return [int(row[0]), *row[1:]]


def compare(before: Mapping[str, Content], after: Mapping[str, Content]) -> list[dict[str, Any]]:
    """Every table that was there before and is there after: rows, and columns that are identical, changed, gone, new.

    Where rows came or went, no column can be the same as a whole; ``rows_changed`` says so and ``identical`` is empty.
    """
    rows = []
    for name in sorted(before.keys() & after.keys()):
        was, now = before[name], after[name]
        common = sorted(was.columns.keys() & now.columns.keys())
        same = [column for column in common if was.columns[column][1] == now.columns[column][1] and was.key == now.key]
        rows.append(
            {
                "table": name,
                "rows_before": was.rows,
                "rows_after": now.rows,
                "rows_changed": was.rows != now.rows,
                "identical": same,
                "changed": [column for column in common if column not in same],
                "retyped": [column for column in common if was.columns[column][0] != now.columns[column][0]],
                "gone": sorted(was.columns.keys() - now.columns.keys()),
                "new": sorted(now.columns.keys() - was.columns.keys()),
            }
        )
    return rows
