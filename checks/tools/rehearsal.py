"""A database before and after its migration: tables, rows, files on disk, schema, and Django's own list."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from psycopg import sql

from checks.tools import digest, schema
from checks.tools.postgres import Connection, one

_FILES: LiteralString = """
    SELECT c.oid::bigint, c.relkind::text, format('%I.%I', n.nspname, c.relname), pg_relation_filenode(c.oid)::bigint,
           COALESCE(i.indrelid, c.oid)::bigint
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TOAST: LiteralString = """
    SELECT t.oid::bigint, c.oid::bigint FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid WHERE c.reltoastrelid <> 0
"""
_INVALID: LiteralString = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND n.nspname !~ '^pg_' ORDER BY 1
"""
_DJANGO: LiteralString = """
    SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'django_migrations' AND c.relkind = 'r' AND n.nspname !~ '^pg_' ORDER BY 1 LIMIT 1
"""


@dataclass(frozen=True)
class Applied:
    """One row of django_migrations. ``at``: when its work was done, on the clock of the command."""

    name: str
    at: datetime


@dataclass(frozen=True)
class State:
    """``files``: relation number -> (name, file on disk). ``owners``: relation number -> the table it belongs to."""

    size: int
    rows: dict[str, int]
    files: dict[int, tuple[str, int | None]]
    tables: dict[int, str]
    owners: dict[int, str]
    objects: dict[str, str]
    invalid: list[str]
    migrations: list[Applied] = field(default_factory=list)
    wal: int = 0


def observe(connection: Connection) -> State:
    """Everything about the connected database that a migration may change. Counts every row exactly."""
    rows = {table.label: _count(connection, table) for table in digest.tables(connection)}
    found = connection.execute(_FILES).fetchall()
    tables = {oid: name for oid, kind, name, _, _ in found if kind in "rpm"}
    owners = {oid: tables[owner] for oid, _, _, _, owner in found if owner in tables}
    owners |= {toast: tables[owner] for toast, owner in connection.execute(_TOAST).fetchall() if owner in tables}
    return State(
        size=int(one(connection, "SELECT pg_database_size(current_database())")),
        rows=rows,
        files={oid: (name, node) for oid, _, name, node, _ in found},
        tables=tables,
        owners=owners,
        objects=schema.schema_objects(connection),
        invalid=[name for (name,) in connection.execute(_INVALID).fetchall()],
        migrations=applied(connection),
        wal=int(one(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")),
    )


def _count(connection: Connection, table: digest.Table) -> int:
    query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(table.schema, table.name))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def applied(connection: Connection) -> list[Applied]:
    """What Django says was applied, in that order; empty for an application that is not Django's."""
    where = one(connection, _DJANGO)
    if where is None:
        return []
    query = sql.SQL("SELECT app, name, applied FROM {} ORDER BY id").format(sql.Identifier(where, "django_migrations"))
    return [Applied(f"{app}.{name}", at) for app, name, at in connection.execute(query).fetchall()]


@dataclass(frozen=True)
class Change:
    """What a migration did to a database."""

    rewrites: list[dict[str, Any]]
    rebuilt_indexes: list[str]
    rows: list[dict[str, Any]]
    schema: list[dict[str, str]]
    invalid: list[str]
    migrations: list[Applied]
    unapplied: list[str]
    size_before: int
    size_after: int
    wal_bytes: int

    @property
    def anything(self) -> bool:
        return bool(self.rewrites or self.rebuilt_indexes or self.rows or self.schema or self.migrations)


def change(before: State, after: State) -> Change:
    """Compare two states of one database."""
    swapped = [oid for oid, (_, node) in after.files.items() if oid in before.files and before.files[oid][1] != node]
    rewritten = {oid for oid in swapped if oid in before.tables}
    names = {migration.name for migration in before.migrations}
    missing, surplus, changed = schema.differences(before.objects, after.objects)
    said = [(missing, "removed"), (surplus, "added"), (changed, "changed")]
    return Change(
        rewrites=sorted(
            (_rewrite(before, after, oid) for oid in rewritten), key=lambda row: (-row["rows"], row["table"])
        ),
        rebuilt_indexes=sorted(
            after.files[oid][0]
            for oid in swapped
            if oid not in before.tables and before.owners.get(oid) not in {before.tables[table] for table in rewritten}
        ),
        rows=_row_changes(before.rows, after.rows),
        schema=[{"object": name, "change": word} for names_, word in said for name in names_],
        invalid=[name for name in after.invalid if name not in before.invalid],
        migrations=[migration for migration in after.migrations if migration.name not in names],
        unapplied=sorted(names - {migration.name for migration in after.migrations}),
        size_before=before.size,
        size_after=after.size,
        wal_bytes=after.wal - before.wal,
    )


def _rewrite(before: State, after: State, oid: int) -> dict[str, Any]:
    name = before.tables[oid]
    label = name.replace('"', "")
    rows = before.rows.get(label, 0)
    return {"table": name, "rows": rows, "emptied": bool(rows) and not after.rows.get(label, rows)}


def _row_changes(before: Mapping[str, int], after: Mapping[str, int]) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            rows.append({"table": name, "before": was, "after": now})
    return rows


def durations(migrations: list[Applied], began: datetime | None) -> list[dict[str, Any]]:
    """Each migration with its seconds: from the end of the one before (the first one: from ``began``) to its own end.

    ``ended`` is in seconds of the epoch. ``seconds`` is None where nothing says when the first one began.
    """
    rows: list[dict[str, Any]] = []
    for migration in migrations:
        start = min(began, migration.at) if began is not None else None
        rows.append(
            {
                "migration": migration.name,
                "seconds": round((migration.at - start).total_seconds(), 3) if start is not None else None,
                "began": start.timestamp() if start is not None else None,
                "ended": migration.at.timestamp(),
            }
        )
        began = migration.at
    return rows


def under_way(rows: list[dict[str, Any]], began: float, seconds: float) -> str:
    """The migration that shares most of a span of time; "" when none shares any. ``began``: seconds of the epoch."""

    def shared(row: dict[str, Any]) -> float:
        if row["began"] is None:
            return 0.0
        return float(min(row["ended"], began + seconds) - max(row["began"], began))

    best = max(rows, key=shared, default=None)
    return str(best["migration"]) if best is not None and shared(best) > 0 else ""


def timeline(migrations: list[dict[str, Any]], held: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Migrations and locks as bars on one axis: ``x`` and ``width`` in thousandths of it. In order of their begin."""
    spans = [(row["migration"], "", row["began"], row["seconds"]) for row in migrations if row["began"] is not None]
    spans += [(row["table"], row["blocks"], row["began"], row["seconds"]) for row in held]
    if not spans:
        return []
    first = min(began for _, _, began, _ in spans)
    whole = max(began + seconds for _, _, began, seconds in spans) - first or 1.0
    return [
        {
            "label": label,
            "blocks": blocks,
            "x": round((began - first) / whole * 1000, 1),
            "width": max(2.0, round(seconds / whole * 1000, 1)),
            "offset": round(began - first, 3),
            "seconds": seconds,
        }
        for label, blocks, began, seconds in sorted(spans, key=lambda span: (span[2], span[1] != ""))
    ]
