"""What the database of an example holds, row by row, so that what was lost or changed can be named afterwards."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

#: Every ordinary table of the schema, its columns in order, and those of its primary key.
_TABLES = """
SELECT c.relname,
    array(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum)::text[],
    array(SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum)::text[]
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname
"""

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Table:
    """``rows``: each row's columns as text, by its primary key; by the whole row and its number where there is none."""

    columns: tuple[str, ...]
    rows: dict[Row, Row]


def read(url: str) -> dict[str, Table]:
    """Every table in one snapshot, with each value as PostgreSQL writes it."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET TIME ZONE 'UTC'")
        found: dict[str, Table] = {}
        for name, columns, key in connection.execute(_TABLES).fetchall():
            statement = sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns),
                sql.Identifier(name),
            )
            rows = connection.execute(statement).fetchall()
            found[name] = Table(tuple(columns), _by_key(rows, [columns.index(column) for column in key]))
        return found


def _by_key(rows: list[Row], places: list[int]) -> dict[Row, Row]:
    if places:
        return {tuple(row[place] for place in places): row for row in rows}
    seen: Counter[Row] = Counter()
    keyed = {}
    for row in rows:
        seen[row] += 1
        keyed[*row, f"number {seen[row]}"] = row
    return keyed


def count(tables: dict[str, Table], names: Collection[str]) -> str:
    return ", ".join(f"{len(tables[name].rows):,} {name}" for name in names)


def differences(before: dict[str, Table], now: dict[str, Table], changing: Collection[str]) -> Iterator[str]:
    """What is no longer there as it was: a table, a column, a row, a value. What is more than before is no difference.

    ``changing``: tables, and columns as ``table.column``, that are expected to change or to go.
    """
    for name, table in before.items():
        if name in changing:
            continue
        if name not in now:
            yield f"table {name} is gone"
            continue
        compared = [column for column in table.columns if f"{name}.{column}" not in changing]
        if gone := [column for column in compared if column not in now[name].columns]:
            yield f"{name} has no {', '.join(gone)} any more"
            compared = [column for column in compared if column not in gone]
        ours = [table.columns.index(column) for column in compared]
        theirs = [now[name].columns.index(column) for column in compared]
        for key, row in table.rows.items():
            other = now[name].rows.get(key)
            if other is None:
                yield f"{name} {', '.join(map(str, key))} is gone"
            elif unlike := [
                column for column, here, there in zip(compared, ours, theirs, strict=True) if row[here] != other[there]
            ]:
                yield f"{name} {', '.join(map(str, key))} differs in {', '.join(unlike)}"
