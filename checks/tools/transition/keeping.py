"""What is kept in the target itself for the way back: a schema of its own, written in the transaction that moves.

``gonogo_transition.journal`` has one row for each transition; beside it, for each table of it, ``r<run>_<n>_keys``
(source key, target key, what was done, hash of the row as it was left) and ``r<run>_<n>_before`` (merged rows as they
were, in the target's own types). Stages and maps stand there as well until the transaction ends (see ``work``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.catalog import OwnSequence
from checks.tools.transition.work import SCHEMA, Action, TableWork, column, listed, row_hash

_JOURNAL = sql.Identifier(SCHEMA, "journal")
# Whom rights were given, but for the owner; null for PUBLIC.
_TABLE_GRANTEES: LiteralString = """
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee WHERE c.oid = %s::regclass AND a.grantee <> c.relowner
"""
_SCHEMA_GRANTEES: LiteralString = """
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
    pg_catalog.aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE c.oid = %s::regclass AND a.grantee <> n.nspowner
"""


@dataclass(frozen=True)
class Position:
    """Where a sequence stands: ``last`` and whether that number was given out."""

    last: int
    called: bool


def keys_table(run: int, number: int) -> sql.Identifier:
    return sql.Identifier(SCHEMA, f"r{run}_{number}_keys")


def before_table(run: int, number: int) -> sql.Identifier:
    return sql.Identifier(SCHEMA, f"r{run}_{number}_before")


def exists(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('gonogo_transition.journal') IS NOT NULL").fetchone()
    return bool(row and row[0])


def open_journal(connection: Connection) -> None:
    """Make the schema and the journal where they are not there yet; nobody else may read what is kept in it."""
    if exists(connection):
        _shut(connection, _JOURNAL)
        return
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (run bigint PRIMARY KEY, run_id uuid NOT NULL, section text NOT NULL, release text,"
            " build text, moved_at timestamptz NOT NULL DEFAULT now(), document jsonb NOT NULL)"
        ).format(_JOURNAL)
    )
    _shut(connection, _JOURNAL)


def _shut(connection: Connection, table: sql.Identifier) -> None:
    """Take every right on the schema and this table from everybody but their owner: the target's default privileges
    may have given some to others."""
    for kind, thing, query in (
        ("SCHEMA", sql.Identifier(SCHEMA), _SCHEMA_GRANTEES),
        ("TABLE", table, _TABLE_GRANTEES),
    ):
        for (role,) in connection.execute(query, [table.as_string(connection)]).fetchall():
            whom = sql.Identifier(role) if role is not None else sql.SQL("PUBLIC")
            connection.execute(sql.SQL("REVOKE ALL ON {} {} FROM {}").format(sql.SQL(kind), thing, whom))


def write_journal(connection: Connection, *, run: int, facts: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (run, run_id, section, release, build, document) VALUES (%s, %s, %s, %s, %s, %s)"
        ).format(_JOURNAL),
        [run, facts["run_id"], facts["section"], facts["release"], facts["build"], json.dumps(document)],
    )


@dataclass(frozen=True)
class Standing:
    """A transition that stands in the target: the number of its run, the digest of its build, what was done."""

    run: int
    build: str | None
    document: dict[str, Any]


def newest(connection: Connection, section: str) -> Standing | None:
    """The newest transition of a section that stands; None where there is none."""
    if not exists(connection):
        return None
    row = connection.execute(
        sql.SQL("SELECT run, build, document FROM {} WHERE section = %s ORDER BY run DESC LIMIT 1").format(_JOURNAL),
        [section],
    ).fetchone()
    return Standing(*row) if row else None


def later(connection: Connection, run: int) -> list[int]:
    """Transitions that were made after this one and stand: they are undone first."""
    query = sql.SQL("SELECT run FROM {} WHERE run > %s ORDER BY run").format(_JOURNAL)
    return [number for (number,) in connection.execute(query, [run]).fetchall()]


def stands(connection: Connection, run: int) -> bool:
    if not exists(connection):
        return False
    row = connection.execute(sql.SQL("SELECT 1 FROM {} WHERE run = %s").format(_JOURNAL), [run]).fetchone()
    return row is not None


def forget(connection: Connection, run: int, numbers: list[int]) -> None:
    """Remove what was kept for a transition; with the last one, the schema."""
    for number in numbers:
        for name in (keys_table(run, number), before_table(run, number)):
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(sql.SQL("DELETE FROM {} WHERE run = %s").format(_JOURNAL), [run])
    left = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_JOURNAL)).fetchone()
    if left and left[0] == 0:
        connection.execute(sql.SQL("DROP TABLE {}").format(_JOURNAL))
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))


def keep_before(connection: Connection, work: TableWork, run: int) -> None:
    """The rows that are about to be merged, as they are."""
    connection.execute(
        sql.SQL("CREATE TABLE {} AS SELECT t.* FROM {} t JOIN {} m ON {} WHERE m.action = {}").format(
            before_table(run, work.number), work.target.identifier, work.map, work.at_target(),
            sql.Literal(int(Action.MERGE)),
        )
    )  # fmt: skip
    _shut(connection, before_table(run, work.number))


def keep_keys(connection: Connection, work: TableWork, run: int, seed: int) -> None:
    """Source key, target key, action, and the hash of the row as this transition left it."""
    names = [*work.key_names, *work.target_key_names]
    # Within an outer join, each row is hashed where it is read, so that the join carries its key and hash alone.
    rows = sql.SQL("SELECT {}, {} AS h FROM {} t").format(
        listed(column("t", name) for name in work.mapping.keys_in_target), row_hash(work.target, seed),
        work.target.identifier,
    )  # fmt: skip
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} AS SELECT {}, m.action, m.rule, t.h FROM {} m LEFT JOIN ({}) t ON {}"
            " AND m.action IN ({}, {})"
        ).format(
            keys_table(run, work.number), listed(column("m", name) for name in names), work.map, rows,
            work.at_target(), sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE)),
        )
    )  # fmt: skip
    _shut(connection, keys_table(run, work.number))


def hold_sequence(connection: Connection, own: OwnSequence) -> Position:
    """Keep everybody from the sequence until the transaction ends, and read where it stands.

    ALTER SEQUENCE waits for nobody who only reads rows, is undone by a rollback, and gives the sequence a file of its
    own in this transaction, so that ``set_sequence`` is undone by a rollback too (by itself, setval is not).
    """
    lock = sql.SQL("ALTER SEQUENCE {} INCREMENT BY {}").format(own.identifier, sql.Literal(own.increment))
    connection.execute(lock)
    before = position(connection, own)
    connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(own.identifier))
    set_sequence(connection, own, before)
    return before


def position(connection: Connection, own: OwnSequence) -> Position:
    row = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(own.identifier)).fetchone()
    assert row is not None
    return Position(row[0], row[1])


def set_sequence(connection: Connection, own: OwnSequence, to: Position) -> None:
    connection.execute(
        sql.SQL("SELECT setval({}::regclass, {}, {})").format(
            sql.Literal(f'"{_quoted(own.schema)}"."{_quoted(own.name)}"'), sql.Literal(to.last), sql.Literal(to.called)
        )
    )


def _quoted(name: str) -> str:
    return name.replace('"', '""')
