"""Looking into a database for personal data: read-only, bounded in rows, bytes and time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import errors, sql

from checks.tools import column_facts as catalog
from checks.tools import column_texts, personal
from checks.tools.column_facts import Column
from checks.tools.postgres import Connection
from checks.tools.transition.work import SCHEMA as KEPT

#: Of each value only so much is read; documents are read whole up to the second figure.
TEXT_CHARACTERS = 400
DOCUMENT_CHARACTERS = 20_000
#: A table with more rows than this is sampled by pages; a smaller one is read from its beginning.
SMALL_TABLE = 20_000
#: A column with fewer values than this in the sample of its table is asked for values of its own.
FEW = 20


@dataclass
class Audit:
    """``unread``: columns whose values could not be looked at in time, with the reason; they are no pass."""

    columns: list[Column]
    findings: list[personal.Finding] = field(default_factory=list)
    unread: dict[tuple[str, str, str], str] = field(default_factory=dict)
    values: int = 0


def read_only(connection: Connection, statement_timeout: timedelta) -> None:
    """From now on the session cannot write, and no statement takes longer."""
    milliseconds = max(1, int(statement_timeout.total_seconds() * 1000))
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{milliseconds}ms"])
    connection.execute("SELECT set_config('default_transaction_read_only', 'on', false)")


def audit(connection: Connection, *, rows: int, progress: Callable[[str, int, int], None] | None = None) -> Audit:
    """Look at every column of the database. ``rows``: how many of each table. The connection is read-only already.

    What this program keeps there for the way back of a transition is left out: it is dropped from every masked clone.
    """
    found = Audit([column for column in catalog.columns(connection) if column.schema != KEPT])
    tables = catalog.by_table(found.columns)
    for index, ((schema, table), members) in enumerate(tables.items()):
        if progress is not None:
            progress(f"{schema}.{table}", index, len(tables))
        wanted = [column for column in members if column.shape in ("text", "json", "array", "parts", "inet")]
        seen = _sample(connection, wanted, rows, found)
        for column in members:
            values = seen.get(column.name, [])
            found.values += len(values)
            finding = personal.look_at(column, values)
            if finding is not None:
                found.findings.append(finding)
    return found


def _sample(connection: Connection, wanted: list[Column], rows: int, found: Audit) -> dict[str, list[Any]]:
    """Column name -> some of its values that are not null and not empty."""
    if not wanted:
        return {}
    seen: dict[str, list[Any]] = {column.name: [] for column in wanted}
    try:
        for row in connection.execute(_table_query(wanted, rows)).fetchall():
            for column, value in zip(wanted, row, strict=True):
                if value not in (None, ""):
                    seen[column.name].append(value)
    except (errors.QueryCanceled, errors.InsufficientPrivilege):
        seen = {column.name: [] for column in wanted}
    for column in wanted:
        # A column that is mostly empty shows nothing in a sample of rows; it is asked for its own values.
        if len(seen[column.name]) < FEW:
            _ask_column(connection, column, rows, seen, found)
    return seen


def _ask_column(connection: Connection, column: Column, rows: int, seen: dict[str, list[Any]], found: Audit) -> None:
    query = sql.SQL("SELECT v FROM (SELECT {} AS v FROM {} WHERE {} IS NOT NULL) s WHERE v <> '' LIMIT {}").format(
        _read(column), column.table_identifier, column.identifier, sql.Literal(rows)
    )
    try:
        values = [value for (value,) in connection.execute(query).fetchall()]
    except errors.QueryCanceled:
        if not seen[column.name]:
            found.unread[column.key] = "no value was found in the time that a statement may take"
    except errors.InsufficientPrivilege:
        found.unread[column.key] = "the role of the plan may not read it"
    except psycopg.DataError as error:
        found.unread[column.key] = f"its values could not be read (SQLSTATE {error.sqlstate})"
    else:
        seen[column.name] = values


def _table_query(wanted: list[Column], rows: int) -> sql.Composed:
    first = wanted[0]
    part: sql.Composable = sql.SQL("")
    if first.rows > SMALL_TABLE and first.relation == "r":
        # Pages from all over the table; several times the rows, because pages are not equally full.
        percent = min(100.0, max(0.001, 400.0 * rows / first.rows))
        part = sql.SQL(" TABLESAMPLE SYSTEM ({})").format(sql.Literal(round(percent, 4)))
    return sql.SQL("SELECT {} FROM {}{} LIMIT {}").format(
        sql.SQL(", ").join(_read(column) for column in wanted), first.table_identifier, part, sql.Literal(rows)
    )


def _read(column: Column) -> sql.Composed:
    limit = DOCUMENT_CHARACTERS if column.shape in ("json", "parts") else TEXT_CHARACTERS
    value: sql.Composable = column.identifier
    if column.shape == "parts":
        value = column_texts.document(column, value)
    if column.shape == "array":
        # One element a value is enough of a look: a list of addresses looks like its first one.
        value = sql.SQL("(SELECT e FROM unnest({}) AS e WHERE e <> '' LIMIT 1)").format(column.identifier)
    return sql.SQL("left({}::text, {})").format(value, sql.Literal(limit))
