"""A database before and after its migration: tables, rows, files on disk, schema, and Django's own list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, LiteralString

from psycopg import sql

from checks.tools import columns, schema, tracing
from checks.tools.columns import Content
from checks.tools.postgres import Connection, one

_FILES: LiteralString = """
    SELECT c.oid::bigint, c.relkind::text, format('%I.%I', n.nspname, c.relname),
           n.nspname || '.' || c.relname, pg_relation_filenode(c.oid)::bigint,
           COALESCE(i.indrelid, d.refobjid, c.oid)::bigint, COALESCE(NULLIF(c.reltoastrelid, 0), 0)::bigint,
           CASE WHEN c.relkind IN ('r', 'm') THEN pg_total_relation_size(c.oid) ELSE 0 END,
           COALESCE(pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid), 0),
           COALESCE(pg_stat_get_tuples_inserted(c.oid), 0),
           COALESCE(pg_partition_root(c.oid), c.oid)::bigint
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.objid = c.oid AND d.refobjsubid > 0
      AND d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S', 'i', 'I') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_TOAST: LiteralString = """
    SELECT t.oid::bigint, c.oid::bigint, pg_relation_filenode(t.oid)::bigint FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
#: A materialized view that was never filled cannot be read.
_FILLED: LiteralString = """
    SELECT n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname !~ '^pg_'
"""
#: The wrapper of Django's migrations asks it too.
_SHAPE: LiteralString = (tracing.FOLDER / "shape.sql").read_text(encoding="utf-8")
_INVALID: LiteralString = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND n.nspname !~ '^pg_' ORDER BY 1
"""
_DJANGO: LiteralString = """
    SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'django_migrations' AND c.relkind = 'r' AND n.nspname !~ '^pg_' ORDER BY 1 LIMIT 1
"""
_OTHERS: LiteralString = """
    SELECT COALESCE(sum(tup_inserted + tup_updated + tup_deleted), 0)::bigint FROM pg_catalog.pg_stat_database
    WHERE datname <> current_database()
"""


@dataclass(frozen=True)
class Applied:
    """One row of django_migrations. ``at``: when its work was done, on the clock of the command."""

    name: str
    at: datetime


@dataclass(frozen=True)
class Relation:
    """A table, view, sequence or index. ``node``: its file on disk; None where it has none (a partitioned one).

    ``owner``: number of the table it belongs to, whose column a sequence feeds. ``quoted`` and ``label``: its name for
    the server, and for people.
    ``changed``, ``inserted``: rows since its statistics began. ``root``: number of the partitioned table that it is a
    part of, at the top; its own where it is none.
    """

    kind: str
    quoted: str
    label: str
    node: int | None
    owner: int
    size: int = 0
    changed: int = 0
    inserted: int = 0
    root: int = 0

    @property
    def is_table(self) -> bool:
        return self.kind in "rpm"

    @property
    def is_index(self) -> bool:
        return self.kind in "iI"


@dataclass(frozen=True)
class State:
    """``relations``: number -> relation, TOAST tables not among them. ``toast``: number -> (table, file on disk).
    ``views``: materialized view -> rows. ``shape``: one word for all of the schema, as the wrapper of Django says it.
    """

    size: int
    content: dict[str, Content]
    relations: dict[int, Relation]
    toast: dict[int, tuple[int, int | None]]
    objects: dict[str, str]
    invalid: list[str]
    migrations: list[Applied] = field(default_factory=list)
    wal: int = 0
    written_elsewhere: int = 0
    views: Mapping[str, int] = field(default_factory=dict)
    shape: str = ""

    @property
    def owners(self) -> dict[int, str]:
        """Number of a table, index or TOAST table -> the table that people know."""
        names = {
            oid: self.relations[relation.owner].label
            for oid, relation in self.relations.items()
            if relation.owner in self.relations
        }
        return names | {oid: self.relations[owner].label for oid, (owner, _) in self.toast.items()}

    @property
    def tables_of(self) -> dict[int, int]:
        """Number of a table, index or TOAST table -> number of its table. Nobody who reads feels a sequence's lock."""
        return {oid: relation.owner for oid, relation in self.relations.items() if relation.kind != "S"} | {
            oid: owner for oid, (owner, _) in self.toast.items()
        }

    def rows(self, label: str) -> int:
        """Rows of a table or materialized view; of a partitioned one, which holds none itself, those of its parts."""
        if label in self.views:
            return self.views[label]
        found = self.content.get(label)
        if found is not None:
            return found.rows
        root = next((oid for oid, each in self.relations.items() if each.label == label and each.kind == "p"), None)
        parts = [each.label for each in self.relations.values() if root is not None and each.root == root]
        return sum(self.content[name].rows for name in parts if name in self.content)


def observe(
    connection: Connection,
    *,
    seed: int,
    values: bool,
    keys: Mapping[str, tuple[str, ...]] | None = None,
    note: Callable[[str, int, int], None] = lambda _name, _done, _all: None,
) -> State:
    """Everything about the connected database that a migration may change. Counts every row exactly."""
    content = columns.read(connection, seed=seed, keys=keys, values=values, note=note)
    found = connection.execute(_FILES).fetchall()
    relations = {
        oid: Relation(kind, quoted, label, node, owner, size, changed, inserted, root)
        for oid, kind, quoted, label, node, owner, _, size, changed, inserted, root in found
    }
    toast = {oid: (owner, node) for oid, owner, node in connection.execute(_TOAST).fetchall() if owner in relations}
    return State(
        size=int(one(connection, "SELECT pg_database_size(current_database())")),
        content=content,
        relations=relations,
        toast=toast,
        objects=schema.schema_objects(connection),
        invalid=[name for (name,) in connection.execute(_INVALID).fetchall()],
        migrations=applied(connection),
        wal=int(one(connection, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")),
        written_elsewhere=int(one(connection, _OTHERS)),
        views=_views(connection),
        shape=str(one(connection, _SHAPE)),
    )


def _views(connection: Connection) -> dict[str, int]:
    """Materialized view -> rows."""
    views = {}
    for schema_, name in connection.execute(_FILLED).fetchall():
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema_, name))).fetchone()
        views[f"{schema_}.{name}"] = int(row[0]) if row is not None else 0
    return views


def applied(connection: Connection) -> list[Applied]:
    """What Django says was applied, in that order; empty for an application that is not Django's."""
    where = one(connection, _DJANGO)
    if where is None:
        return []
    query = sql.SQL("SELECT app, name, applied FROM {} ORDER BY id").format(sql.Identifier(where, "django_migrations"))
    return [Applied(f"{app}.{name}", at) for app, name, at in connection.execute(query).fetchall()]


@dataclass(frozen=True)
class Change:
    """What a migration did to a database.

    ``rewrites``: table, rows, bytes, how ('rewritten', 'emptied', 'replaced', 'toast'). ``written``: tables that the
    server counts as written to, where what they hold was not compared.
    """

    rewrites: list[dict[str, Any]]
    rebuilt_indexes: list[str]
    rows: list[dict[str, Any]]
    schema: list[dict[str, str]]
    invalid: list[str]
    migrations: list[Applied]
    unapplied: list[str]
    data: list[dict[str, Any]]
    size_before: int
    size_after: int
    wal_bytes: int
    wal_shared: bool
    written: list[str] = field(default_factory=list)

    @property
    def anything(self) -> bool:
        data = any(row["changed"] or row["rows_changed"] for row in self.data)
        return bool(
            self.rewrites or self.rebuilt_indexes or self.rows or self.schema or self.migrations or data or self.written
        )


def change(before: State, after: State) -> Change:
    """Compare two states of one database."""
    names = {migration.name for migration in before.migrations}
    missing, surplus, changed = schema.differences(before.objects, after.objects)
    said = [(missing, "removed"), (surplus, "added"), (changed, "changed")]
    rewritten = _rewritten(before, after)
    return Change(
        rewrites=sorted(
            [*rewritten.values(), *_replaced(before, after), *_toast_alone(before, after, rewritten)],
            key=lambda row: (-row["rows"], row["table"]),
        ),
        rebuilt_indexes=_rebuilt(before, after, rewritten),
        rows=_row_changes(before, after),
        schema=[{"object": name, "change": word} for names_, word in said for name in names_],
        invalid=[name for name in after.invalid if name not in before.invalid],
        migrations=[migration for migration in after.migrations if migration.name not in names],
        unapplied=sorted(names - {migration.name for migration in after.migrations}),
        data=columns.compare(before.content, after.content),
        size_before=before.size,
        size_after=after.size,
        wal_bytes=after.wal - before.wal,
        wal_shared=after.written_elsewhere != before.written_elsewhere,
        written=[] if any(each.columns for each in before.content.values()) else _written(before, after),
    )


def _written(before: State, after: State) -> list[str]:
    both = [(was, after.relations[oid]) for oid, was in before.relations.items() if oid in after.relations]
    return sorted(
        now.label for was, now in both if was.is_table and (was.changed, was.inserted) != (now.changed, now.inserted)
    )


def _rewritten(before: State, after: State) -> dict[int, dict[str, Any]]:
    """Tables, partitions and materialized views that are the same ones and have another file now."""
    rows = {}
    for oid, was in before.relations.items():
        now = after.relations.get(oid)
        if now is None or not was.is_table or was.node is None or now.node is None or was.node == now.node:
            continue
        emptied = bool(before.rows(was.label)) and not after.rows(now.label)
        rows[oid] = _rewrite(before, was, "emptied" if emptied else "rewritten")
    return rows


def _rewrite(before: State, relation: Relation, how: str) -> dict[str, Any]:
    return {
        "table": relation.label,
        "rows": before.rows(relation.label),
        "bytes": relation.size,
        "how": how,
        "emptied": how == "emptied",
        "whole": before.relations[relation.root].label if relation.root in before.relations else relation.label,
    }


def _replaced(before: State, after: State) -> list[dict[str, Any]]:
    """Tables whose name a new one has now, with rows: a rewrite by hand, whether the old one is kept or not.

    One that stood there before, and only changed its name, was not written. Of a partitioned table that was replaced
    its parts are not told besides.
    """
    new = {now.label for oid, now in after.relations.items() if now.is_table and oid not in before.relations}
    gone = {
        oid: was for oid, was in before.relations.items() if was.is_table and was.label in new and after.rows(was.label)
    }
    return [_rewrite(before, was, "replaced") for oid, was in gone.items() if was.root == oid or was.root not in gone]


def _toast_alone(before: State, after: State, rewritten: Mapping[int, Any]) -> list[dict[str, Any]]:
    """TOAST tables that were written anew although their tables were not."""
    return [
        _rewrite(before, before.relations[owner], "toast")
        for oid, (owner, node) in before.toast.items()
        if oid in after.toast and after.toast[oid][1] != node and owner not in rewritten
    ]


def _rebuilt(before: State, after: State, rewritten: Mapping[int, Any]) -> list[str]:
    """Indexes that were built again apart from their tables. One that only got a new number keeps its file."""
    by_name = {(was.label, was.owner): was for was in before.relations.values() if was.is_index}
    names = []
    for oid, now in after.relations.items():
        was = before.relations.get(oid) or by_name.get((now.label, now.owner))
        if was is None or not was.is_index or not now.is_index or now.node is None or now.owner in rewritten:
            continue
        if was.node is not None and was.node != now.node:
            names.append(now.label)
    return sorted(names)


def _row_changes(before: State, after: State) -> list[dict[str, Any]]:
    rows = []
    for name in sorted(before.content.keys() | after.content.keys()):
        was = before.content[name].rows if name in before.content else None
        now = after.content[name].rows if name in after.content else None
        if was != now:
            rows.append({"table": name, "before": was, "after": now})
    return rows
