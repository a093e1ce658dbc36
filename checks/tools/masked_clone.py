"""Masking a clone: every classified column in one transaction, set by set, and never anywhere but on a clone."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, LiteralString, NoReturn

import psycopg
from psycopg import sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import column_facts as catalog
from checks.tools import pseudonyms, scratch
from checks.tools.background import patiently
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry, PrivacySection
from checks.tools.postgres import Address, Connection, connected, one
from checks.tools.transition.work import SCHEMA as KEPT

#: Told in the run's own thread: the table, how many rows are masked, and about how many there are.
Progress = Callable[[str, int, int], None]
#: What a server is given for one session that writes every row: plans compiled or dealt out do not help an UPDATE.
_SESSION: dict[str, str] = {
    "jit": "off", "work_mem": "64MB", "maintenance_work_mem": "256MB", "client_min_messages": "notice",
}  # fmt: skip

_KEYS: LiteralString = """
    SELECT format('%%I.%%I', n.nspname, c.relname), quote_ident(k.conname), pg_get_constraintdef(k.oid)
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND (
        EXISTS (SELECT 1 FROM unnest(k.conkey) p JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = p
                WHERE (n.nspname || '.' || c.relname || '.' || a.attname) = ANY (%(columns)s))
     OR EXISTS (SELECT 1 FROM unnest(k.confkey) p JOIN pg_catalog.pg_attribute a ON a.attrelid = f.oid AND a.attnum = p
                WHERE (fn.nspname || '.' || f.relname || '.' || a.attname) = ANY (%(columns)s)))
    ORDER BY 1, 2
"""
_TRIGGERS: LiteralString = """
    SELECT format('%%I.%%I', n.nspname, c.relname), quote_ident(t.tgname), t.tgenabled::text
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0 AND (n.nspname || '.' || c.relname) = ANY (%s)
    ORDER BY 1, 2
"""
_VIEWS: LiteralString = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname !~ '^pg_' ORDER BY c.oid
"""
_ENABLE: dict[str, LiteralString] = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


@dataclass(frozen=True)
class Masking:
    """What was masked. ``tables``: rows of {table, columns, rows, seconds, emptied}.

    ``dropped``: tables in which this program keeps the way back of a transition; no clone needs them.
    """

    tables: list[dict[str, Any]] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    seconds: float = 0.0
    dropped: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(int(table["rows"]) for table in self.tables)

    @property
    def values(self) -> int:
        """Rows times masked columns: how many values were written anew."""
        return sum(int(table["rows"]) * max(1, len(table["columns"])) for table in self.tables)


def key_of(context: RunContext, section: PrivacySection) -> bytes:
    """The key of the pseudonyms: of the secret that the plan names, or fresh and told to nobody."""
    if section.pseudonym_key:
        return sha256(b"gonogo pseudonyms\0" + context.secret(section.pseudonym_key).encode()).digest()
    return secrets.token_bytes(pseudonyms.KEY_BYTES)


def mask(
    context: RunContext, clone: Address, section: PrivacySection, key: bytes, progress: Progress | None = None
) -> Masking:
    """Mask a clone that this very run made; CheckError for any other database, before anything is written.

    Triggers are off and foreign keys over masked columns are taken down meanwhile; both are back in the same
    transaction, so a key that no longer holds undoes all of it. Materialised views are filled anew.
    """
    _refuse_originals(context, clone)
    with connected(clone, what="the clone") as connection:
        work = _Work(connection, section, key)
        connection.add_notice_handler(work.heard)
        try:
            return patiently(context, connection, work.run, lambda: work.tell(progress))
        except psycopg.Error as error:
            _tell(error)


def _refuse_originals(context: RunContext, clone: Address) -> None:
    if not scratch.is_of_this_run(context, clone.database):
        raise CheckError(
            f"{clone.database} is no clone that this run made, and was not masked: masking overwrites data for ever.",
            remedy="This is an error in the kind's module.",
        )


class _Work:
    """The masking of one clone, in a thread; what it says of its progress is read from another one."""

    def __init__(self, connection: Connection, section: PrivacySection, key: bytes) -> None:
        self._connection, self._section, self._key = connection, section, key
        self._label = ""
        self._rows = self._expected = 0

    def heard(self, notice: psycopg.errors.Diagnostic) -> None:
        """The server says now and then how many rows it has masked."""
        word, _, count = (notice.message_primary or "").partition(": ")
        if word == pseudonyms.ROWS and count.isdecimal():
            self._rows = int(count)

    def tell(self, progress: Progress | None) -> None:
        if progress is not None and self._label:
            progress(self._label, self._rows, max(self._expected, self._rows))

    def run(self) -> Masking:
        connection, began = self._connection, time.monotonic()
        dropped = _drop_kept(connection)
        plans = planned(catalog.columns(connection), self._section)
        for name, value in _SESSION.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        self._expected = sum(members[0][0].rows for members in plans.values())
        with connection.transaction():
            # What names a table without its schema, such as a rule of the application's, finds nothing here and fails.
            pseudonyms.install(connection, self._key, self._section.date_window)
            every = [column for members in plans.values() for column, _ in members]
            with _keys_down(connection, every), _triggers_off(connection, plans):
                tables = self._tables(plans)
                self._label = "proving foreign keys"
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            self._label = "filling materialised views"
            views = _fill_views(connection)
        # The server's statistics hold the most common values of each column, in clear, until they are made anew.
        self._label = "making statistics anew"
        connection.execute("ANALYZE")
        return Masking(tables, views, round(time.monotonic() - began, 3), dropped)

    def _tables(self, plans: Mapping[str, list[tuple[Column, InventoryEntry]]]) -> list[dict[str, Any]]:
        masks: set[str] = {entry.mask for members in plans.values() for column, entry in members if column.unique}
        phones = [column for members in plans.values() for column, entry in members if entry.mask in ("phone", "json")]
        self._label = "giving telephone numbers others"
        pseudonyms.fill_phones(self._connection, phones)
        self._label = "giving keys of documents others"
        pseudonyms.fill_keys(self._connection, [each for members in plans.values() for each in members])
        tables = []
        for label, members in plans.items():
            self._label = label
            tables.append(_mask_table(self._connection, label, members, masks))
        return tables


def _drop_kept(connection: Connection) -> list[str]:
    """People's rows as they were before a transition, under names that hold a run's number: no inventory can say how
    they are masked.
    """
    rows = connection.execute(
        "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p')"
        " AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = %s) ORDER BY 1",
        [KEPT],
    ).fetchall()
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(KEPT)))
    return [f"{KEPT}.{name}" for (name,) in rows]


def planned(found: list[Column], section: PrivacySection) -> dict[str, list[tuple[Column, InventoryEntry]]]:
    """Table label -> its columns to mask, each with its entry. CheckError names a mask that does not fit."""
    entries = section.by_column()
    plans: dict[str, list[tuple[Column, InventoryEntry]]] = {}
    for column in found:
        entry = entries.get(column.key)
        if entry is not None and entry.mask != "keep":
            if problem := pseudonyms.misfit(column, entry):
                raise CheckError(problem, remedy="Correct the inventory in the plan. Nothing was masked.")
            plans.setdefault(column.table_label, []).append((column, entry))
    return plans


def _mask_table(
    connection: Connection, label: str, members: list[tuple[Column, InventoryEntry]], unique_masks: set[str]
) -> dict[str, Any]:
    began = time.monotonic()
    first = members[0][0]
    names = [column.name for column, _ in members]
    emptied = any(entry.mask == "delete_rows" for _, entry in members)
    if emptied:
        done = connection.execute(sql.SQL("DELETE FROM {}").format(first.table_identifier))
    else:
        sets = [
            sql.SQL("{} = {}").format(
                column.identifier, pseudonyms.expression(column, entry, own=entry.mask in unique_masks)
            )
            for column, entry in members
        ]
        there = [sql.SQL("t.{} IS NOT NULL").format(column.identifier) for column, _ in members]
        done = connection.execute(
            sql.SQL("UPDATE {} AS t SET {} WHERE ({}) AND pg_temp.seen()").format(
                first.table_identifier, sql.SQL(", ").join(sets), sql.SQL(" OR ").join(there)
            )
        )
    seconds = round(time.monotonic() - began, 3)
    return {"table": label, "columns": names, "rows": done.rowcount, "seconds": seconds, "emptied": emptied}


@contextmanager
def _keys_down(connection: Connection, masked: list[Column]) -> Iterator[None]:
    """Foreign keys over masked columns come down and are proved anew: a pseudonym on one side is one on the other."""
    names = [f"{column.schema}.{column.table}.{column.name}" for column in masked]
    keys = connection.execute(_KEYS, {"columns": names}).fetchall()
    for table, name, _ in keys:
        connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.SQL(table), sql.SQL(name)))
    yield
    for table, name, definition in keys:
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(sql.SQL(table), sql.SQL(name), sql.SQL(definition))
        )


@contextmanager
def _triggers_off(connection: Connection, plans: dict[str, list[tuple[Column, InventoryEntry]]]) -> Iterator[None]:
    """The application's triggers are off meanwhile: one that keeps old values would keep them in clear."""
    tables = [f"{members[0][0].schema}.{members[0][0].table}" for members in plans.values()]
    triggers = connection.execute(_TRIGGERS, [tables]).fetchall()
    for table, name, _ in triggers:
        connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(sql.SQL(table), sql.SQL(name)))
    yield
    for table, name, state in triggers:
        connection.execute(
            sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(sql.SQL(table), sql.SQL(_ENABLE[state]), sql.SQL(name))
        )


def _fill_views(connection: Connection) -> list[str]:
    """Materialised views are copies of what was masked; they are filled again from the masked tables."""
    views = connection.execute(_VIEWS).fetchall()
    for schema, name in views:
        connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(sql.Identifier(schema, name)))
    return [f"{schema}.{name}" for schema, name in views]


def large_objects(connection: Connection) -> int:
    """How many large objects a database has; their content is not looked into and not masked."""
    return int(one(connection, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata"))


def foreign_tables(connection: Connection) -> list[str]:
    """Tables that only show what stands in another server; a copy of them shows the original."""
    rows = connection.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.relkind = 'f' ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def _tell(error: psycopg.Error) -> NoReturn:
    """What PostgreSQL refused, without its own words: those may hold a value in clear."""
    about = error.diag
    where = ", ".join(
        f"{what} {name}"
        for what, name in (
            ("table", about.table_name), ("column", about.column_name), ("constraint", about.constraint_name),
        ) if name
    )  # fmt: skip
    raise CheckError(
        f"The clone could not be masked: SQLSTATE {error.sqlstate or 'unknown'}"
        f"{f' at {where}' if where else ''} ({type(error).__name__}). All of it was undone; the original is untouched.",
        remedy="Choose a mask that the named constraint admits; PostgreSQL's own words are left out, because they may"
        " hold a value in clear.",
    ) from None
