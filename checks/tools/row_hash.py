"""SQL of a 64-bit hash over a whole row, in which one changed bit shows and columns cannot change places.

Values are hashed in PostgreSQL's binary form; columns of types that are not built in go through text, because the
binary form holds type numbers that differ between databases. There are two forms:

``recorded``: the hash of one record of all columns. Making the record costs more than hashing it.
``chained``: the columns that may be null in such a record, then one column after the other, each hash being the seed of
the next; texts and bytes are hashed where they stand. It takes 0.55 to 0.8 of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql
from psycopg.sql import SQL, Composable

from checks.tools import bytes_hash
from checks.tools.postgres import Connection

# record_send would write the number of a type that is not built in; reg* types are numbers of other objects; a few
# built-in types have no binary form.
_COLUMNS: LiteralString = """
    SELECT a.attname, t.typname, t.typsend::regproc::text, a.attnotnull,
           t.oid >= 16384 OR t.typnamespace <> 'pg_catalog'::regnamespace OR t.typname LIKE 'reg%%'
           OR t.typname LIKE '\\_reg%%' OR t.typsend = 0 OR t.typtype IN ('c', 'd', 'e', 'p')
           OR COALESCE(e.typsend = 0, false) AS as_text
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typelem <> 0
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attname
"""
_TEXTS = frozenset({"text", "varchar"})
_FLOATS = frozenset({"float4", "float8"})
#: They hold floats, whose NaN has many binary forms.
_OF_FLOATS = frozenset({"point", "lseg", "path", "box", "polygon", "line", "circle"})
#: Encodings in which a session of UTF-8 is sent text as it is stored.
_AS_STORED = frozenset({"UTF8", "SQL_ASCII"})


@dataclass(frozen=True)
class Column:
    """``send``: the function that gives the type's binary form."""

    name: str
    type: str
    send: str
    not_null: bool
    as_text: bool

    @property
    def stored(self) -> Composable:
        """The value as it is put into a record, over the alias t."""
        return SQL("t.{}::text" if self.as_text else "t.{}").format(sql.Identifier(self.name))

    @property
    def holds_floats(self) -> bool:
        return self.type.removeprefix("_") in _OF_FLOATS or self.type in {f"_{name}" for name in _FLOATS}

    @property
    def is_text(self) -> bool:
        return self.as_text or self.holds_floats or self.type in _TEXTS

    @property
    def value(self) -> Composable:
        """The value without what a dump does not keep: NaN has more than one binary form."""
        if self.type in _FLOATS and not self.as_text:
            word = sql.Literal("NaN") + SQL("::" + ("float4" if self.type == "float4" else "float8"))
            return SQL("CASE WHEN {0} = {1} THEN {1} ELSE {0} END").format(self.stored, word)
        if self.holds_floats and not self.as_text:
            return SQL("{}::text").format(self.stored)
        return self.stored


def columns(connection: Connection, oid: int) -> list[Column]:
    """The columns of a table by name, so that their order on disk does not matter."""
    return [Column(*row) for row in connection.execute(_COLUMNS, [oid]).fetchall()]


def recorded(found: Sequence[Column], seed: int, *, server: int) -> Composable:
    """``server``: the version of the one that hashes; the hash is the same on every one."""
    # The outer ROW of one column keeps "no column" and "one null column" apart.
    return _record([column.stored for column in found], seed, server)


def _record(values: Sequence[Composable], seed: int, server: int) -> Composable:
    cells = SQL(", ").join(values)
    return bytes_hash.of(SQL("record_send(ROW({}))").format(cells), seed, server)


def chained(found: Sequence[Column], seed: int, *, encoding: str, server: int) -> Composable:
    """``encoding``: that of the database, ``server``: the version of its server; the hash is the same in every one."""
    nullable = [column.value for column in found if not column.not_null]
    links = [column for column in found if column.not_null]
    if not links:
        return _record(nullable, seed, server)
    # The last column's hash stands outside, around that of all the others: each opens a bracket that ends at the end.
    brackets = [_brackets(column, server, as_stored=encoding in _AS_STORED) for column in links]
    first = _record(nullable, seed, server) if nullable else sql.Literal(seed)
    opened = [opening for opening, _ in reversed(brackets)]
    chain = SQL("").join([*opened, first, *(closing for _, closing in brackets)])
    # NOT NULL may be declared and not validated: such a row has its hash all the same.
    return SQL("COALESCE({}, {})").format(chain, _record([column.value for column in found], seed, server))


def _brackets(column: Column, server: int, *, as_stored: bool) -> tuple[Composable, Composable]:
    """A column's hash up to its seed, and what closes it."""
    if column.is_text and as_stored:
        return SQL('hashtextextended({} COLLATE "C", ').format(column.value), SQL(")")
    if column.type == "bytea" and not column.as_text:
        return bytes_hash.opening(column.value, server), bytes_hash.closing(server)
    send = "textsend" if column.is_text else column.send
    sent = SQL("{}({})").format(sql.Identifier(send), column.value)
    return bytes_hash.opening(sent, server), bytes_hash.closing(server)
